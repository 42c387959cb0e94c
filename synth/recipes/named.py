"""Texts that exist already, by the name that a recipe or a command gives them: a file, a run, a dataset of the Hub."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from synth import seeds
from synth.dedupe import Twins, text_of
from synth.dedupe.decontaminate import Benchmarks, Item
from synth.errors import Problem, RecipeError
from synth.language.near import hint
from synth.seeds.sources import Csv, HuggingFace, Jsonl, SeedSource, Text, below
from synth.shapes import PARTS, sample_of
from synth.types import Fields

HUB = "hub:"
KNOWN = "\0"
"""The first character of a known text's id, which no other id has."""
ROWS_AT_ONCE = 1000
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
    path = below(folder, name).absolute()
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


def sha256(name: str, folder: Path) -> str | None:
    """The hash of what a name stands for; None where only reading it all tells, or it cannot be read."""
    try:
        return seeds.sha256(source_of(name, folder, "", "train"), folder)
    except RecipeError:
        return None


def benchmarks(names: Sequence[str], folder: Path, field: str) -> Benchmarks:
    """An index of named benchmarks, their test splits where they have splits. Raises RecipeError as `texts` does.

    A file goes by its name without its folder, which need not be known to whoever gets the rows.
    """
    last = Counter(Path(name).name for name in names)
    return Benchmarks(
        Item(Path(name).name if not name.startswith(HUB) and last[Path(name).name] == 1 else name, row, text)
        for name in names
        for row, text in texts(name, folder, field, "test")
    )


def prefill(twins: Twins, names: Iterable[str], folder: Path, by: str) -> None:
    """Put what exists already by these names into an index, under ids that begin with KNOWN.

    `by` is what the index compares: where a row has no such column, it is what the row asks. Raises RecipeError as
    `texts` does.
    """
    for name in names:
        rows = texts(name, folder, by, optional=True)
        while batch := list(islice(rows, ROWS_AT_ONCE)):
            twins.add_batch([f"{KNOWN}{name}#{row}" for row, _ in batch], [text for _, text in batch])


def texts(
    name: str, folder: Path, field: str = "", split: str = "train", *, optional: bool = False
) -> Iterator[tuple[int, str]]:
    """Of each row its number, from 1, and its text: the `field` (`question`, `answer` and `messages` are also parts of
    a conversation), or what the row asks when no field is given, or it is `optional` and missing.

    Raises RecipeError when something cannot be read, or holds no such field.
    """
    source = source_of(name, folder, field, split)
    for number, seed in enumerate(seeds.read(source, folder), 1):
        yield number, _text(seed.fields, field, name, number, optional=optional)


def _text(row: Fields, field: str, name: str, number: int, *, optional: bool) -> str:
    if field in row and isinstance(row[field], (str, int, float)):
        return str(row[field])
    sample = sample_of(row, "")
    if field in PARTS and sample is not None:
        return text_of(field)(sample)
    if field and not optional:
        said = f"there is no column {field!r} with a text; the columns are {', '.join(row) or 'none'}{hint(field, row)}"
        raise RecipeError(Problem(f"row {number}: {said}", name))
    if sample is not None and sample.question():
        return sample.question()
    for usual in USUAL:
        if isinstance(row.get(usual), str):
            return str(row[usual])
    raise RecipeError(Problem(f"row {number}: which column holds the text? Name it; it has {', '.join(row)}", name))
