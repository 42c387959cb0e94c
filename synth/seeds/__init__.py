"""Seeds from files, datasets and grids: one row in, one `Seed` out; a broken row is an error with its place."""

from __future__ import annotations

import csv
import glob
import hashlib
import io
import itertools
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from synth.errors import RecipeError
from synth.seeds.documents import files_of
from synth.seeds.rows import opened, rows_of
from synth.seeds.sources import (
    Csv,
    Documents,
    Grid,
    HuggingFace,
    Jsonl,
    SeedSource,
    Text,
    below,
    describe,
    licence,
    source_from_path,
)
from synth.types import Seed

__all__ = ["SeedSource", "describe", "licence", "place_of", "read", "sha256", "source_from_path"]


def read(source: SeedSource, folder: Path, limit: int | None = None) -> Iterator[Seed]:
    """The seeds of a source in its order; relative paths count from `folder`. A seed's id is its position.

    Raises RecipeError with file and line at the first row that cannot be used, or when there is none at all.
    """
    empty = True
    try:
        for position, fields in enumerate(itertools.islice(rows_of(source, folder), limit)):
            empty = False
            yield Seed(id=f"{position:08d}", fields=fields)
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise RecipeError(f"The seeds in {describe(source)} cannot be read ({reason}).") from error
    if empty:
        raise RecipeError(f"There are no seeds in {describe(source)}.")


def sha256(source: SeedSource, folder: Path) -> str | None:
    """The hash of a source's content, without reading its rows; None where only reading them tells, as for the Hub, or
    nothing can be read.

    A grid's content is its recipe, so that it is the same for all grids.
    """
    if isinstance(source, HuggingFace):
        return None
    content = hashlib.sha256()
    if isinstance(source, Text):
        names = sorted(glob.glob(source.path, root_dir=folder, recursive=True))  # noqa: PTH207 (as they are read)
    elif isinstance(source, Documents):
        try:
            names = [os.path.relpath(path, folder) for path in files_of(source, folder)]
        except RecipeError:
            return None
    else:
        names = [] if isinstance(source, Grid) else [source.path]
    try:
        for name in names:
            if (folder / name).is_file():
                with (folder / name).open("rb") as file:
                    content.update(os.fsencode(name) + hashlib.file_digest(file, "sha256").digest())
    except OSError:
        return None
    return content.hexdigest()


def place_of(source: SeedSource, folder: Path, position: int) -> tuple[str, int]:
    """The file of a seed, and the line on which it begins; 0 where it stands on no line."""
    if isinstance(source, Grid | HuggingFace):
        return "", 0
    path = below(folder, source.path)
    if not isinstance(source, Jsonl | Csv):
        return str(path), 0
    with opened(path) as file:
        lines = _lines_of_csv(file, source) if isinstance(source, Csv) else _lines_of_jsonl(file)
        return str(path), next(itertools.islice(lines, position, None), 0)


def _lines_of_jsonl(file: BinaryIO) -> Iterator[int]:
    return (number for number, line in enumerate(file, 1) if line.removeprefix(b"\xef\xbb\xbf").strip())


def _lines_of_csv(file: BinaryIO, source: Csv) -> Iterator[int]:
    reader, begin = csv.reader(io.TextIOWrapper(file, "utf-8-sig", newline=""), delimiter=source.delimiter), 1
    for number, row in enumerate(reader):
        if row and not (source.header and number == 0):
            yield begin
        begin = reader.line_num + 1
