"""The views of a run's rows that its recipe asks for: written beside them, counted, and told in the manifest."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from synth.formats import FORMATS
from synth.formats.convert import Converted, Wanted, gather
from synth.formats.measuring import Lengths, Measured, PairLengths
from synth.formats.pairs import in_words, rows_of, splits_of
from synth.formats.shape import Shape
from synth.formats.writing import Gathered, write
from synth.lint.tokens import Tokens
from synth.recipes.views import AnyOf, Shaped, config_of
from synth.types import Fields, Value

if TYPE_CHECKING:
    from synth.recipes.recipe import LoadedRecipe

FOLDER = "views"
MEGABYTE = 1_000_000


class ViewRecord(Value):
    """One view as it was written."""

    name: str
    kind: str
    rule: str = ""
    """How good answers were told from bad ones; empty where they were not."""
    sha256: str = ""
    """Of its files, in order; empty where it has no row, and so no file."""
    rows: dict[str, int] = {}
    """By split."""
    files: dict[str, tuple[str, ...]] = {}
    """Of each split, relative to the dataset folder."""
    left_out: dict[str, int] = {}
    """Rows that have no place in it, by reason."""
    warnings: dict[str, int] = {}
    """What `synth lint` says of its rows; `damaged_text` where characters were replaced by U+FFFD."""
    labels: dict[str, int] = {}
    """Good and bad answers, where they are labelled."""
    unit: str
    """What lengths are counted in: `tokens` as the student's tokenizer and chat template make them, or `characters`."""
    lengths: Lengths | None = None
    """None where it has no row."""
    pairs: PairLengths | None = None
    """None where it has no pairs."""


def write_views(loaded: LoadedRecipe, run: Path) -> tuple[ViewRecord, ...]:
    """Write the views of the `rows.jsonl` and `rejected.jsonl` in `run`, and remove others of an earlier export.

    Raises RecipeError when the tokenizer cannot be read, FolderError when the disk refuses.
    """
    output, folder = loaded.recipe.output, run / "dataset" / FOLDER
    wanted = output.wanted()
    for left in folder.iterdir() if folder.is_dir() else ():
        if left.name not in {config_of(view) for view in wanted}:
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    tokens = Tokens(str(loaded.folder / output.tokenizer)) if output.tokenizer else None
    return tuple(_written(view, run, tokens, output.shard_mb * MEGABYTE) for view in wanted)


def _written(view: AnyOf, run: Path, tokens: Tokens | None, shard_bytes: int) -> ViewRecord:
    measured, told, labels = Measured(tokens), Converted(), Counter[str]()

    def see(made: Fields, place: str) -> None:
        refusal = measured.see(made)
        if refusal:
            told.warn("template_refuses", place, refusal)
        if "label" in made:
            labels["good" if made["label"] else "bad"] += 1

    rule = None if isinstance(view, Shaped) else view
    render = tokens.text if tokens is not None and view.kind == "text" else None
    wanted, shape = Wanted(view.kind, view.reasoning, render=render, rule=rule), Shape()
    with ExitStack() as spools:
        every = {
            split: gather(rows_of(run, split, rule), FORMATS[view.kind], wanted, told, spools, shape, see)
            for split in splits_of(run)
        }
        splits = {split: gathered for split, gathered in every.items() if len(gathered)}
        files = _in_files(splits, run / "dataset" / FOLDER / config_of(view), view.shuffle, shard_bytes)
        rows = {split: len(gathered) for split, gathered in splits.items()}
    content = hashlib.sha256()
    for path in (path for paths in files.values() for path in paths):
        content.update(path.read_bytes())
    return ViewRecord(
        name=config_of(view),
        kind=view.kind,
        rule=in_words(rule),
        sha256=content.hexdigest() if files else "",
        rows=rows,
        files={
            split: tuple(path.relative_to(run / "dataset").as_posix() for path in paths)
            for split, paths in files.items()
        },
        left_out={reason: one.rows for reason, one in sorted(told.left_out.items())},
        warnings={reason: one.rows for reason, one in sorted(told.warnings.items())},
        labels=dict(sorted(labels.items())),
        unit=measured.unit,
        lengths=measured.lengths(),
        pairs=measured.pairs(),
    )


def _in_files(
    splits: Mapping[str, Gathered], folder: Path, seed: int | None, shard_bytes: int
) -> dict[str, list[Path]]:
    """The files of each split; those of an earlier export are gone."""
    suffix = ".parquet" if find_spec("pyarrow") else ".jsonl"
    written: dict[str, list[Path]] = {}
    with ExitStack() as files:
        for split, gathered in splits.items():
            shards = min(len(gathered), -(-gathered.size // shard_bytes))
            written[split] = [*write(gathered, folder / f"{split}{suffix}", files, seed=seed, shards=shards)]
    known = {path for paths in written.values() for path in paths}
    for left in folder.iterdir() if folder.is_dir() else ():
        if left not in known:
            left.unlink()
    return written
