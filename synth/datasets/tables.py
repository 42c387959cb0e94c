"""Anybody's dataset, JSONL or Parquet, read in pieces and written back as it was, without the rows that are dropped."""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from itertools import compress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import orjson

from synth.datasets.rows import line
from synth.errors import Problem, RecipeError
from synth.types import Fields

ROWS_AT_ONCE = 1000
LONGEST_LINE = 64 * 1024 * 1024
ENDINGS = ".jsonl, .ndjson (also .gz), .parquet"
LINES = (".jsonl", ".ndjson")


class Piece(NamedTuple):
    """Some rows of a file."""

    rows: list[Fields]
    numbers: list[int]
    """Of each row its line in a file of lines, its place in a table; both from 1."""
    raw: Any
    """As the file holds them: lines, or a record batch."""


Write = Callable[[Piece, Sequence[bool]], None]
"""Write those rows of a piece for which there is a True."""


def pieces(path: Path) -> Iterator[Piece]:
    """The rows of a file in its order. Raises RecipeError when it cannot be read, with the line where there is one."""
    read = _read_table if ending(path) == ".parquet" else _read_lines
    with _readable(path):
        yield from read(path)


def ending(path: Path) -> str:
    """The kind of a file, by its name. Raises RecipeError for one that is neither JSONL nor Parquet."""
    found = Path(path.name.removesuffix(".gz")).suffix.lower()
    if found in LINES or (found == ".parquet" and not path.name.endswith(".gz")):
        return found
    hint = "; a JSON array becomes JSONL with: jq -c '.[]'" if found == ".json" else ""
    raise RecipeError(f"{path} cannot be read: it should end in {ENDINGS}{hint}.")


def writer(like: Path, file: BinaryIO, stack: ExitStack) -> Write:
    """What writes rows of one file into another of its kind, which ends when the stack does."""
    if ending(like) == ".parquet":
        parquet = _parquet()
        with _readable(like):
            schema = parquet.read_schema(like)
        table = parquet.ParquetWriter(file, schema, compression="zstd", write_page_index=True)
        stack.callback(table.close)

        def write_rows(piece: Piece, kept: Sequence[bool]) -> None:
            if any(kept):
                table.write_batch(piece.raw.filter(import_module("pyarrow").array(kept)))

        return write_rows
    lines = file
    if like.name.endswith(".gz"):  # without a time, so that the same rows give the same bytes
        lines = cast("BinaryIO", stack.enter_context(gzip.GzipFile("", "wb", 6, file, mtime=0)))

    def write_lines(piece: Piece, kept: Sequence[bool]) -> None:
        lines.writelines(compress(cast("list[bytes]", piece.raw), kept))

    return write_lines


def _read_lines(path: Path) -> Iterator[Piece]:
    piece = Piece([], [], [])
    with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as file:
        for number, read in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), 1):
            raw = read.removeprefix(b"\xef\xbb\xbf") if number == 1 else read
            if not raw.strip():
                continue
            piece.rows.append(_object(raw, path, number))
            piece.numbers.append(number)
            piece.raw.append(raw if raw.endswith(b"\n") else raw + b"\n")
            if len(piece.rows) == ROWS_AT_ONCE:
                yield piece
                piece = Piece([], [], [])
    if piece.rows:
        yield piece


def _object(raw: bytes, path: Path, number: int) -> Fields:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if (mended := _without_surrogates(raw)) is not None:
            return mended
        if encoding := _not_utf8(raw):
            raise RecipeError(Problem(f"{encoding}; save it as UTF-8", str(path), number)) from None
        more = f"; a line may have {LONGEST_LINE:,} bytes" if len(raw) == LONGEST_LINE else ""
        message = f"not JSON: {error.msg}; one whole object per line is expected{more}"
        raise RecipeError(Problem(message, str(path), number, error.colno)) from None
    if not isinstance(value, dict):
        raise RecipeError(
            Problem(f"a JSON object is expected, not {orjson.dumps(value)[:40].decode()}", str(path), number)
        )
    return cast("Fields", value)


def _without_surrogates(raw: bytes) -> Fields | None:
    """An object in which escapes stand for halves of characters, with U+FFFD in their place; None where it is none."""
    if b"\\ud" not in raw.lower():
        return None
    try:
        value = json.loads(raw)
        return orjson.loads(line(cast("Fields", value))) if isinstance(value, dict) else None
    except ValueError:
        return None


def _not_utf8(raw: bytes) -> str:
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "it is UTF-16"
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"byte {error.start + 1} of the line is not UTF-8"
    return ""


def _read_table(path: Path) -> Iterator[Piece]:
    parquet, start = _parquet(), 1
    with path.open("rb") as file:
        for batch in parquet.ParquetFile(file).iter_batches(ROWS_AT_ONCE):
            rows: list[Fields] = batch.to_pylist()
            yield Piece(rows, list(range(start, start + len(rows))), batch)
            start += len(rows)


@contextmanager
def _readable(path: Path) -> Generator[None]:
    """Turn what a broken file raises into a sentence; pyarrow's errors are values and files too."""
    try:
        yield
    except (OSError, EOFError, ValueError, OverflowError, NotImplementedError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise RecipeError(f"{path} cannot be read ({' '.join(reason.split())[:200]}).") from error


def _parquet() -> Any:
    try:
        return import_module("pyarrow.parquet")
    except ModuleNotFoundError:
        raise RecipeError("Parquet needs the package pyarrow; install it: pip install 'synth[parquet]'") from None
