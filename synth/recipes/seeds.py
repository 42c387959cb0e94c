"""Seeds from files, datasets and grids: one row in, one `Seed` out; a broken row is an error with its place."""

from __future__ import annotations

import csv
import glob
import gzip
import hashlib
import io
import itertools
import json
import math
import os
import random
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, cast

from pydantic import Field, JsonValue

from synth.errors import Problem, RecipeError
from synth.recipes.documents import Documents, Source, files_of, passages
from synth.types import Fields, Seed, Value

LONGEST_LINE = 64 * 1024 * 1024
DEEPEST = 150
"""Levels: pydantic reads 200 of them, and what a seed becomes holds it a few levels down."""
SURROGATE = re.compile(r"[\ud800-\udfff]")
ENDINGS = ".jsonl, .ndjson, .csv, .tsv, .parquet, .txt, .md (also .gz of the first four), or a saved dataset's folder"
BROKEN_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


class Jsonl(Source):
    """One JSON object per line."""

    kind: Literal["jsonl"] = "jsonl"
    path: str


class Csv(Source):
    """Comma-separated values (RFC 4180); every value is a text."""

    kind: Literal["csv"] = "csv"
    path: str
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    header: bool = True
    """Whether the first line names the columns; else they are called 1, 2, 3 and so on."""


class Parquet(Source):
    """A Parquet file."""

    kind: Literal["parquet"] = "parquet"
    path: str


class HuggingFace(Source):
    """A dataset of the Hugging Face Hub by its id, or one on disk by its folder."""

    kind: Literal["huggingface"] = "huggingface"
    path: str
    name: str | None = None
    """The configuration."""
    split: str = "train"
    revision: str | None = None


class Grid(Value):
    """The cartesian product of some lists."""

    kind: Literal["grid"] = "grid"
    axes: dict[str, list[JsonValue]] = Field(min_length=1)
    sample: int | None = Field(default=None, ge=1)
    """Take so many points, drawn without repetition."""
    seed: int = 0
    """For the drawing."""


class Text(Source):
    """Text files; `path` may be a pattern such as `texts/**/*.txt`. Seeds have the fields `text` and `file`."""

    kind: Literal["text"] = "text"
    path: str
    by: Literal["file", "paragraph", "line"] = "file"


SeedSource = Annotated[Jsonl | Csv | Parquet | HuggingFace | Grid | Text | Documents, Field(discriminator="kind")]


def read(source: SeedSource, folder: Path, limit: int | None = None) -> Iterator[Seed]:
    """The seeds of a source in its order; relative paths count from `folder`. A seed's id is its position.

    Raises RecipeError with file and line at the first row that cannot be used, or when there is none at all.
    """
    empty = True
    try:
        for position, fields in enumerate(itertools.islice(_crossed(source, folder), limit)):
            empty = False
            yield Seed(id=f"{position:08d}", fields=fields)
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise RecipeError(f"The seeds in {describe(source)} cannot be read ({reason}).") from error
    if empty:
        raise RecipeError(f"There are no seeds in {describe(source)}.")


def licence(source: SeedSource) -> str | None:
    """The licence of seeds as it was declared; empty for a grid, the recipe's own words, None when it is not."""
    return "" if isinstance(source, Grid) else source.license or None


def describe(source: SeedSource, folder: Path | None = None) -> str:
    """A source in words; with `folder`, the hash of its file too."""
    axes = [f"{name} ({len(values)})" for name, values in source.axes.items()]
    if isinstance(source, Grid):
        return "grid of " + " × ".join(axes)
    path, crossed = None if folder is None else folder / source.path, "".join(f" × {axis}" for axis in axes)
    if path is None or not path.is_file():
        return f"{source.kind} {source.path}{crossed}"
    with path.open("rb") as file:
        return f"{source.kind} {source.path} sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}{crossed}"


def place_of(source: SeedSource, folder: Path, position: int) -> tuple[str, int]:
    """The file of a seed, and the line on which it begins; 0 where it stands on no line."""
    if isinstance(source, Grid | HuggingFace):
        return "", 0
    path = folder / source.path
    if not isinstance(source, Jsonl | Csv):
        return str(path), 0
    with _open(path) as file:
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


def source_from_path(path: str) -> SeedSource:
    """The source that a path's ending stands for. Raises RecipeError for one that is not known."""
    ending = Path(path.removesuffix(".gz")).suffix.lower()
    if Path(path).is_dir():
        return HuggingFace(path=path)
    if ending in (".jsonl", ".ndjson"):
        return Jsonl(path=path)
    if ending in (".csv", ".tsv"):
        return Csv(path=path, delimiter="\t" if ending == ".tsv" else ",")
    if ending == ".parquet":
        return Parquet(path=path)
    if ending in (".txt", ".md"):
        return Text(path=glob.escape(path) if Path(path).exists() else path)
    raise RecipeError(f"Seeds cannot be read from {path!r}: it should end in {ENDINGS}.")


def _crossed(source: SeedSource, folder: Path) -> Iterator[Fields]:
    """The rows of a source, each once for every point of its axes, so that rows at the end move none."""
    rows = _rows(source, folder)
    if isinstance(source, Grid) or not source.axes:
        return rows
    points = list(_grid(Grid(axes=source.axes)))
    return (_apart(fields, point, source) for fields in rows for point in points)


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
    path = folder / source.path
    if not path.is_file():
        raise RecipeError(f"The seed file {path.absolute()} does not exist; paths count from the recipe's folder.")
    if isinstance(source, Jsonl):
        return _jsonl(path)
    return _csv(path, source) if isinstance(source, Csv) else _parquet(path)


def _open(path: Path) -> BinaryIO:
    file = cast("BinaryIO", gzip.GzipFile(path)) if path.suffix == ".gz" else path.open("rb")
    mark = BROKEN_MARKS.get(file.read(2))
    if mark:
        file.close()
        raise RecipeError(Problem(f"it is {mark}; save it as UTF-8", str(path), 1))
    file.seek(0)
    return file


def _whole(path: Path) -> str:
    with _open(path) as file:
        raw = file.read()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len((raw[: error.start] + b".").splitlines())
        raise _broken(error, raw, path, line, 0) from None


def _jsonl(path: Path) -> Iterator[Fields]:
    start = 0
    with _open(path) as file:
        for line in itertools.count(1):
            raw = file.readline(LONGEST_LINE)
            if not raw:
                return
            try:
                text = (raw.removeprefix(b"\xef\xbb\xbf") if line == 1 else raw).decode("utf-8")
                if text.strip():
                    record: Any = _STRICT.decode(text)
                    members = cast("Fields", record).items() if isinstance(record, dict) else ()
                    # most seeds are a few plain texts, of which there is nothing to find out
                    plain = members and all(
                        name and name.isascii() and isinstance(value, str) and value.isascii()
                        for name, value in members
                    )
                    yield record if plain else _checked(record)
            except (ValueError, RecursionError) as error:
                raise _broken(error, raw, path, line, start) from None
            start += len(raw)


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
                    message = f"{len(row)} values for {len(header)} columns ({', '.join(header)})"
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
        raise RecipeError(f"No text file matches {str(folder.absolute() / source.path)!r}.")
    for name in paths:
        path = folder / name
        if not path.is_file():
            continue
        text = _whole(path).replace("\r\n", "\n").replace("\r", "\n")
        separator = {"file": None, "paragraph": "\n\n", "line": "\n"}[source.by]
        for piece in [text] if separator is None else text.split(separator):
            if piece.strip():
                yield {"text": piece.strip(), "file": name}
