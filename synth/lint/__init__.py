"""Datasets looked through for what fails, or spoils a training without a word, before anybody trains on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import orjson

from synth.datasets.files import PARTIAL
from synth.datasets.tables import ending, pieces
from synth.errors import RecipeError
from synth.language.text import several
from synth.lint.table import TRAPS
from synth.lint.tokens import Tokens
from synth.lint.traps import Format, format_of, traps_of
from synth.types import Fields

MOST_PLACES = 3
MOST_BYTES = 2_000_000
"""Beyond it the Hub's viewer shows no row."""
SIDECARS = ("tokens", "provenance")
"""Folders of a dataset that nobody trains on."""
TABLES = ("*.jsonl", "*.ndjson", "*.jsonl.gz", "*.ndjson.gz", "*.parquet")


@dataclass(slots=True)
class Trapped:
    """How often one trap was met, and where first."""

    rows: int = 0
    """Or files, for what concerns a whole file."""
    places: list[str] = field(default_factory=list[str])
    """`file:row`, the row a line in JSONL and a place in Parquet, from 1."""

    def note(self, place: str, detail: str = "") -> None:
        """Count a row, or a file, and keep its place if it is one of the first."""
        self.rows += 1
        if len(self.places) < MOST_PLACES:
            self.places.append(f"{place} ({detail})" if detail else place)


@dataclass(slots=True)
class Linted:
    """What was found in some files."""

    rows: int = 0
    formats: Counter[str] = field(default_factory=Counter[str])
    traps: dict[str, Trapped] = field(default_factory=dict[str, Trapped])
    tokens: list[int] = field(default_factory=list[int])
    """Of each row, when a tokenizer was named."""
    passed_over: list[Path] = field(default_factory=list[Path])
    """Files whose rows are not in the format that is asked about."""

    def note(self, name: str, place: str, detail: str = "") -> None:
        """Count a trap that was met at a place."""
        self.traps.setdefault(name, Trapped()).note(place, detail)

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found but warnings."""
        return all(TRAPS[name].severity == "warning" for name in self.traps)


class Aim(NamedTuple):
    """The format that rows are to have, and what matters to its readers."""

    name: str
    rows: Format
    is_labelled: bool
    columns: frozenset[str] | None
    """The only ones that it may have; None where others do no harm."""
    silent: frozenset[str]
    """Traps that do not matter to them."""

    def fits(self, row: Fields) -> bool:
        """Whether a row is of this format."""
        return format_of(row) == self.rows and (row.get("label") is not None) >= self.is_labelled


def lint(
    paths: Iterable[Path], tokens: Tokens | None = None, max_length: int | None = None, aim: Aim | None = None
) -> Linted:
    """Look through files of rows, JSONL or Parquet, or all those in folders; of a run's folder, through its dataset.

    With `tokens` every row is written with the tokenizer's chat template and counted; `max_length` is the most tokens
    that a row may have. With an `aim` only files of that format count, and only what matters to its readers. Raises
    RecipeError when a file cannot be read, or a folder holds none, or none of that format.
    """
    linted = Linted()
    for path in files_of(paths):
        if aim is not None and not _is_aimed_at(path, aim):
            linted.passed_over.append(path)
        else:
            _file(path, linted, tokens, max_length, aim)
    if aim is not None and not linted.formats:
        raise RecipeError(f"None of the files holds rows of the format {aim.name}; `synth convert` makes some.")
    return linted


def _is_aimed_at(path: Path, aim: Aim) -> bool:
    """Whether the first row of a file is of the format."""
    first = next((row for piece in pieces(path) for row in piece.rows), None)
    return first is not None and aim.fits(first)


def files_of(paths: Iterable[Path]) -> list[Path]:
    """The files of rows that paths name. Raises RecipeError for a folder without one, and for other files."""
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise RecipeError(f"There is no file or folder {path}.")
        if not path.is_dir():
            ending(path)
            found.append(path)
            continue
        folder = path / "dataset" if (path / "run.db").exists() else path
        beside = SIDECARS if (folder / "README.md").exists() else ()
        inside = sorted(
            one
            for pattern in TABLES
            for one in folder.rglob(pattern)
            if PARTIAL not in one.name and one.relative_to(folder).parts[0] not in beside
        )
        if not inside:
            raise RecipeError(f"There are no rows in {folder}: no file there ends in .jsonl, .ndjson or .parquet.")
        found += inside
    return found


def _file(path: Path, linted: Linted, tokens: Tokens | None, max_length: int | None, aim: Aim | None) -> None:
    formats: Counter[str] = Counter()
    for piece in pieces(path):
        for row, number in zip(piece.rows, piece.numbers, strict=True):
            place, form = f"{path}:{number}", format_of(row)
            if formats and form not in formats:
                linted.note("mixed_formats", place, f"{form} after {next(iter(formats))}")
            formats[form] += 1
            for name in sorted(traps_of(row) - (aim.silent if aim else frozenset())):
                linted.note(name, place)
            others = _others(row, aim)
            if others:
                linted.note("other_column", place, ", ".join(others))
            if len(orjson.dumps(row, default=str)) > MOST_BYTES:
                linted.note("huge_row", place)
            if tokens is not None:
                _count(tokens, row, place, linted, max_length)
    if ending(path) == ".parquet" and _is_newer(path):  # it has been read, so it can be
        linted.note("newer_parquet", str(path))
    linted.rows += formats.total()
    linted.formats += formats


def _others(row: Fields, aim: Aim | None) -> list[str]:
    """The columns of a row for which its format has no place."""
    if aim is None or aim.columns is None:
        return []
    return sorted(name for name, value in row.items() if value is not None and name not in aim.columns)


def _count(tokens: Tokens, row: Fields, place: str, linted: Linted, max_length: int | None) -> None:
    for count, refused in tokens.of(row):
        if refused:
            linted.note("template_refuses", place, refused)
            continue
        linted.tokens.append(count)
        if max_length is not None and count > max_length:
            linted.note("over_length", place, several(count, "token"))


def _is_newer(path: Path) -> bool:
    """Whether a table's metadata names types of `datasets` that its older versions do not know."""
    metadata: dict[bytes, bytes] = import_module("pyarrow.parquet").read_schema(path).metadata or {}
    told = metadata.get(b"huggingface", b"")
    return b'"_type": "Json"' in told or b'"_type": "List"' in told


def quantiles(counts: Sequence[int], shares: Sequence[float]) -> Iterator[int]:
    """The values below or at which such shares of them lie."""
    ordered = sorted(counts)
    yield from (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in shares)
