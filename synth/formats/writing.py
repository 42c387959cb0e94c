"""Rows gathered on disk and then written as files: one or several, JSONL or Parquet, in order or shuffled by a seed."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import orjson

from synth.datasets.export import Split, jsonl_sink, load_parquet, parquet_sink
from synth.datasets.files import whole_file
from synth.errors import RecipeError
from synth.formats.shape import Shape
from synth.patterns import lazy
from synth.types import Fields

LINE_ENDS = lazy("[\u0085\u2028\u2029]")
"""What some readers, such as NeMo's, take for the end of a line though JSON lets it stand in a text."""


class Gathered:
    """The rows of one file to be, kept in a file; memory holds eight bytes of each."""

    def __init__(self, file: IO[bytes], shape: Shape | None = None) -> None:
        """Gather into a file; `shape` is that of all files that are read as one with it."""
        self._file = file
        self._starts = array("Q")
        self.size = 0
        """In bytes, as lines of JSON."""
        self.shape = shape or Shape()

    def __len__(self) -> int:
        return len(self._starts)

    def add(self, row: Fields) -> None:
        """Take a row in."""
        self.shape.see(row)
        self._starts.append(self.size)
        self.size += self._file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))

    def rows(self, order: list[int] | range) -> Iterator[Fields]:
        """The rows in an order, without keys that are null in all of them."""
        self._file.flush()
        place = -1
        for number in order:
            if self._starts[number] != place:
                self._file.seek(self._starts[number])
            line = self._file.readline()
            place = self._starts[number] + len(line)
            yield self.shape.without_empty(orjson.loads(line))


def order_of(count: int, seed: int | None) -> list[int] | range:
    """The order in which so many rows are written; shuffled when there is a seed, always alike for the same."""
    if seed is None:
        return range(count)
    order = list(range(count))
    random.Random(seed).shuffle(order)  # noqa: S311 (no secret hangs on it)
    return order


def files_for(path: Path, shards: int) -> list[Path]:
    """The names of a file's shards, as the Hub knows them."""
    if shards == 1:
        return [path]
    return [path.with_name(f"{path.stem}-{number:05d}-of-{shards:05d}{path.suffix}") for number in range(shards)]


def write(
    gathered: Gathered, path: Path, stack: ExitStack, *, seed: int | None = None, shards: int = 1
) -> dict[Path, int]:
    """Write rows into a file, or as many shards, which take their names when the stack ends; how many are in each.

    Raises RecipeError when Parquet cannot hold them, FolderError when the disk refuses.
    """
    order = order_of(len(gathered), seed)
    written: dict[Path, int] = {}
    for number, file in enumerate(files_for(path, shards)):
        part = order[number * len(order) // shards : (number + 1) * len(order) // shards]
        _write(gathered.rows(part), gathered.shape, file, stack)
        written[file] = len(part)
    return written


def _write(rows: Iterator[Fields], shape: Shape, path: Path, stack: ExitStack) -> None:
    file = stack.enter_context(whole_file(path))
    is_table = path.suffix == ".parquet"
    if is_table:
        if find_spec("pyarrow") is None:
            raise RecipeError("Parquet needs the package pyarrow; install it: pip install 'synth[parquet]'")
        load_parquet()
        pyarrow = import_module("pyarrow")
        write, finish = parquet_sink(file, pyarrow.schema(shape.columns(pyarrow)))
    else:
        write, finish = jsonl_sink(file)
    stack.callback(finish)  # also when something fails; ending twice does nothing
    target = Split(file, write, finish)
    try:
        for row in rows:
            target.add(orjson.dumps(row) if is_table else line_of(row))
        target.close()
    except (ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RecipeError(f"The rows cannot be written to {path} ({reason}); write JSONL instead.") from error


def line_of(row: Fields) -> bytes:
    """A row as one line, also for readers that know more line ends than JSON does."""
    text = orjson.dumps(row).decode()
    return LINE_ENDS.sub(lambda match: f"\\u{ord(match[0]):04x}", text).encode()
