"""The rows of a source: a broken one is an error with its place."""

from __future__ import annotations

import csv
import glob
import gzip
import io
import itertools
import json
import math
import random
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson
from pydantic import JsonValue

from synth.errors import Problem, RecipeError
from synth.language.text import several
from synth.patterns import lazy
from synth.seeds.documents import passages
from synth.seeds.sources import Csv, Documents, Grid, HuggingFace, Jsonl, SeedSource, Text, below, describe
from synth.types import Fields

LONGEST_LINE = 64 * 1024 * 1024
DEEPEST = 150
"""Levels: pydantic reads 200 of them, and what a seed becomes holds it a few levels down."""
SURROGATE = lazy(r"[\ud800-\udfff]")
BROKEN_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def rows_of(source: SeedSource, folder: Path) -> Iterator[Fields]:
    """The rows of a source, each once for every point of its axes, so that rows at the end move none."""
    every = _rows(source, folder)
    if isinstance(source, Grid) or not source.axes:
        return every
    points = list(_grid(Grid(axes=source.axes)))
    return (_apart(fields, point, source) for fields in every for point in points)


def _apart(fields: Fields, point: Fields, source: SeedSource) -> Fields:
    if twice := fields.keys() & point.keys():
        name = min(twice)
        raise RecipeError(f"The seeds in {describe(source)} have a field {name!r} already; rename it in `axes`.")
    return {**fields, **point}


def _rows(source: SeedSource, folder: Path) -> Iterator[Fields]:
    if isinstance(source, Grid):
        return _grid(source)
    if isinstance(source, HuggingFace):
        return _huggingface(source, folder)
    if isinstance(source, Text):
        return _texts(source, folder)
    if isinstance(source, Documents):
        return passages(source, folder)
    path = below(folder, source.path)
    if not path.is_file():
        raise RecipeError(f"The seed file {path.absolute()} does not exist; paths count from the recipe's folder.")
    if isinstance(source, Jsonl):
        return _jsonl(path)
    return _csv(path, source) if isinstance(source, Csv) else _parquet(path)


def opened(path: Path) -> BinaryIO:
    """A file of rows, unpacked where it ends in .gz. Raises RecipeError for UTF-16."""
    file = cast("BinaryIO", gzip.GzipFile(path)) if path.suffix == ".gz" else path.open("rb")
    mark = BROKEN_MARKS.get(file.read(2))
    if mark:
        file.close()
        raise RecipeError(Problem(f"it is {mark}; save it as UTF-8", str(path), 1))
    file.seek(0)
    return file


def _whole(path: Path) -> str:
    with opened(path) as file:
        raw = file.read()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len((raw[: error.start] + b".").splitlines())
        raise _broken(error, raw, path, line, 0) from None


def _jsonl(path: Path) -> Iterator[Fields]:
    start = 0
    with opened(path) as file:
        for line in itertools.count(1):
            raw = file.readline(LONGEST_LINE)
            if not raw:
                return
            try:
                if (fields := _texts_alone(raw)) is not None:
                    yield fields
                else:
                    text = (raw.removeprefix(b"\xef\xbb\xbf") if line == 1 else raw).decode("utf-8")
                    if text.strip():
                        yield _checked(_STRICT.decode(text))
            except (ValueError, RecursionError) as error:
                raise _broken(error, raw, path, line, start) from None
            start += len(raw)


def _texts_alone(raw: bytes) -> Fields | None:
    """The object of a line whose members are texts alone, as most seeds are, in a third of the time that finding out
    what is wrong takes. None for others.

    With four quotes for each member no name can have been given twice.
    """
    try:
        fields: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(fields, dict) or "" in fields or raw.count(b'"') != 4 * len(cast("Fields", fields)):
        return None
    for value in cast("Fields", fields).values():
        if not isinstance(value, str):
            return None
    return cast("Fields", fields)


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(members)
    if len(record) < len(members):
        names = [name for name, _ in members]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is given twice in one object")
    return record


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON; write null or a text")


_STRICT = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant)


def _broken(error: Exception, raw: bytes, path: Path, line: int, start: int) -> RecipeError:
    """What is wrong with one line of a file, which begins `start` bytes into it."""
    column = 0
    if isinstance(error, UnicodeDecodeError):
        message = (
            f"byte {start + error.start + len(raw) - len(error.object)} of the file is not UTF-8; save it as UTF-8"
        )
    elif isinstance(error, json.JSONDecodeError):
        message, column = f"not JSON: {error.msg}; one whole object per line is expected", error.colno
    elif isinstance(error, RecursionError):
        message = "it is nested too deeply to be a seed"
    else:
        message = f"a number is too long ({error})" if "digits" in str(error) else str(error)
    return RecipeError(Problem(message, str(path), line, column))


def _checked(record: Any) -> Fields:
    """The row, unless it holds what no UTF-8 file and no template can. Raises ValueError."""
    if not isinstance(record, dict):
        raise ValueError(f"a JSON object is expected, not {json.dumps(record)[:40]}")
    fields = cast("Fields", record)
    waiting: list[tuple[str, Any, int]] = [("", fields, 0)]
    while waiting:
        name, value, depth = waiting.pop()
        if depth > DEEPEST:
            raise ValueError(f"the field {name!r} is nested more than {DEEPEST} levels deep")
        if isinstance(value, str) and not value.isascii() and SURROGATE.search(value):
            raise ValueError(f"the field {name!r} holds half of a surrogate pair (\\ud800 to \\udfff)")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(
                f"the field {name!r} holds {value}, which JSON does not know: a number too large, or none; write null"
            )
        if isinstance(value, list):
            waiting += [(name, item, depth + 1) for item in cast("list[Any]", value)]
        if isinstance(value, dict):
            members = cast("dict[str, Any]", value)
            waiting += [(name or key, item, depth + 1) for key, item in members.items()]
            waiting += [(name or key, key, depth + 1) for key in members if not key.isascii()]
    if "" in fields:
        raise ValueError("a field has an empty name")
    return fields


def _csv(path: Path, source: Csv) -> Iterator[Fields]:
    csv.field_size_limit(LONGEST_LINE)
    reader = csv.reader(io.StringIO(_whole(path), newline=""), delimiter=source.delimiter, strict=True)
    header: list[str] | None = None
    try:
        for row in reader:
            if header is None and source.header:
                header = _header(row, path)
            elif row:
                header = header or [str(number) for number in range(1, len(row) + 1)]
                if len(row) != len(header):
                    message = f"{several(len(row), 'value')} for {several(len(header), 'column')} ({', '.join(header)})"
                    raise RecipeError(Problem(message, str(path), reader.line_num))
                yield dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise RecipeError(Problem(f"not CSV: {error}", str(path), reader.line_num)) from None


def _header(row: list[str], path: Path) -> list[str]:
    names = [name.strip() for name in row]
    if "" in names or len(set(names)) < len(names):
        raise RecipeError(Problem(f"the first line must name each column once; it is {row!r}", str(path), 1))
    return names


def _parquet(path: Path) -> Iterator[Fields]:
    parquet = _library("pyarrow.parquet", "parquet")
    try:
        file = parquet.ParquetFile(path)
        names: list[str] = file.schema_arrow.names
        if "" in names or len(set(names)) < len(names):
            raise RecipeError(Problem(f"each column needs a name of its own; they are {names}", str(path)))
        rows = (record for batch in file.iter_batches(1024) for record in batch.to_pylist())
        yield from _columns(rows, str(path))
    except (import_module("pyarrow").ArrowException, OSError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RecipeError(f"{path} cannot be read as Parquet ({reason}).") from None


def _huggingface(source: HuggingFace, folder: Path) -> Iterator[Fields]:
    datasets = _library("datasets", "hub")
    local = folder / source.path
    place = f"The dataset {source.path!r} (split {source.split!r})"
    try:
        if (local / "dataset_dict.json").exists() or (local / "state.json").exists():
            saved = datasets.load_from_disk(str(local))
            splits = saved if (local / "dataset_dict.json").exists() else {"train": saved}
            if source.split not in splits:
                known = ", ".join(splits) if splits is saved else "no splits; leave `split` out"
                raise RecipeError(f"{place} cannot be loaded: the folder has {known}.")
            rows = splits[source.split]
        else:
            path = str(local) if local.is_dir() else source.path
            rows = datasets.load_dataset(path, source.name, split=source.split, revision=source.revision)
        yield from _columns(rows, place)
    except (OSError, ValueError, KeyError, RuntimeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RecipeError(f"{place} cannot be loaded: {reason}") from error


def _columns(rows: Iterable[Mapping[str, Any]], place: str) -> Iterator[Fields]:
    """Rows of a table as JSON knows them. Raises RecipeError with the row's number, from 1."""
    for number, row in enumerate(rows, 1):
        try:
            yield _checked({name: _plain(value, name) for name, value in row.items()})
        except ValueError as error:
            raise RecipeError(Problem(f"row {number}: {error}", place)) from None


def _plain(value: Any, name: str) -> JsonValue:
    """A column's value as JSON knows it; dates become ISO text, decimals exact text. Raises ValueError for others."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (date, datetime, Decimal)):
        return value.isoformat() if isinstance(value, date) else str(value)
    if isinstance(value, list):
        return [_plain(item, name) for item in cast("list[Any]", value)]
    if isinstance(value, Mapping):
        return {str(key): _plain(item, name) for key, item in cast("Mapping[Any, Any]", value).items()}
    raise ValueError(f"the column {name!r} holds {type(value).__name__}, which is no text or number")


def _library(name: str, extra: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError:
        package = name.split(".")[0]
        raise RecipeError(f"These seeds need the package {package}; install it: pip install 'synth[{extra}]'") from None


def _grid(source: Grid) -> Iterator[Fields]:
    sizes = [len(values) for values in source.axes.values()]
    total = math.prod(sizes)
    chosen: Iterable[int] = range(total)
    if source.sample is not None and source.sample < total:
        chosen = random.Random(source.seed).sample(range(total), source.sample)  # noqa: S311 (a choice, no secret)
    for number in chosen:
        point: Fields = {}
        for name, values in reversed(source.axes.items()):
            number, place = divmod(number, len(values))
            point[name] = values[place]
        yield {name: point[name] for name in source.axes}


def _texts(source: Text, folder: Path) -> Iterator[Fields]:
    paths = sorted(glob.glob(source.path, root_dir=folder, recursive=True))  # noqa: PTH207 (keeps the order plain)
    if not paths:
        raise RecipeError(f"No text file matches {str(below(folder.absolute(), source.path))!r}.")
    for name in paths:
        path = below(folder, name)
        if not path.is_file():
            continue
        text = _whole(path).replace("\r\n", "\n").replace("\r", "\n")
        separator = {"file": None, "paragraph": "\n\n", "line": "\n"}[source.by]
        for piece in [text] if separator is None else text.split(separator):
            if piece.strip():
                yield {"text": piece.strip(), "file": name}
