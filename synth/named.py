"""Texts that exist already, by the name that a recipe or a command gives them: a file, a run, a dataset of the Hub."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from synth import seeds
from synth.dedupe import Twins
from synth.dedupe.decontaminate import Benchmarks, Item
from synth.errors import Problem, RecipeError
from synth.seeds import Csv, HuggingFace, Jsonl, SeedSource, Text
from synth.shapes import sample_of
from synth.types import Fields

HUB = "hub:"
USUAL = ("question", "problem", "prompt", "instruction", "query", "text", "sentence")
"""Columns that hold what is asked, the likeliest first."""


def source_of(name: str, folder: Path, field: str, split: str) -> SeedSource:
    """What a name stands for: the path of a file, of a run's folder or of a saved dataset, counted from `folder`, or
    `hub:OWNER/NAME[/CONFIGURATION][@SPLIT]`, where `split` is used unless it names one.

    A `field` that is a number means the column of a table without a header. Raises RecipeError when there is no such
    thing.
    """
    if name.startswith(HUB):
        path, _, named = name.removeprefix(HUB).partition("@")
        owner, _, rest = path.partition("/")
        dataset, _, configuration = rest.partition("/")
        if not owner or not dataset:
            raise RecipeError(f"{name!r} names no dataset of the Hub; write hub:OWNER/NAME[/CONFIGURATION][@SPLIT].")
        return HuggingFace(path=f"{owner}/{dataset}", name=configuration or None, split=named or split)
    path = folder / name
    if (path / "rows.jsonl").is_file():
        return Jsonl(path=str(path / "rows.jsonl"))
    if not path.exists():
        raise RecipeError(f"There is no {str(path)!r} to compare with; give a file, a run's folder, or hub:OWNER/NAME.")
    source = seeds.source_from_path(str(path))
    if isinstance(source, HuggingFace):
        return source.model_copy(update={"split": split}) if not (path / "state.json").exists() else source
    if isinstance(source, Csv):
        return source.model_copy(update={"header": not field.isdigit()})
    return source.model_copy(update={"by": "line"}) if isinstance(source, Text) else source


def benchmarks(names: Iterable[str], folder: Path, field: str) -> Benchmarks:
    """An index of named benchmarks, their test splits where they have splits. Raises RecipeError as `texts` does."""
    return Benchmarks(
        Item(Path(name).name if not name.startswith(HUB) else name, row, text)
        for name in names
        for row, text in texts(name, folder, field, "test")
    )


def prefill(twins: Twins, names: Iterable[str], folder: Path, by: str) -> frozenset[str]:
    """Make twins of what exists already by these names; the ids it goes by. Raises RecipeError as `texts` does."""
    ids: set[str] = set()
    for name in names:
        for row, text in texts(name, folder, by):
            twins.add(f"{name}#{row}", text)
            ids.add(f"{name}#{row}")
    return frozenset(ids)


def texts(name: str, folder: Path, field: str = "", split: str = "train") -> Iterator[tuple[int, str]]:
    """Of each row its number, from 1, and its text: the `field`, or what the row asks when no field is given.

    Raises RecipeError when something cannot be read, or holds no such field.
    """
    source = source_of(name, folder, field, split)
    for number, seed in enumerate(seeds.read(source, folder), 1):
        yield number, _text(seed.fields, field, name, number)


def _text(row: Fields, field: str, name: str, number: int) -> str:
    if field:
        if field in row and isinstance(row[field], (str, int, float)):
            return str(row[field])
        what = "is no text" if row.get(field) is not None else "is missing"
        raise RecipeError(Problem(f"row {number}: the column {field!r} {what}; it has {', '.join(row)}", name))
    sample = sample_of(row, "")
    if sample is not None and sample.question():
        return sample.question()
    for usual in USUAL:
        if isinstance(row.get(usual), str):
            return str(row[usual])
    raise RecipeError(Problem(f"row {number}: which column holds the text? Name it; it has {', '.join(row)}", name))
