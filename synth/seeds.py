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
import random
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, cast

from pydantic import Field, JsonValue

from synth.errors import Problem, RecipeError
from synth.types import Fields, Seed, Value

LONGEST_LINE = 64 * 1024 * 1024
DEEPEST = 200
ENDINGS = ".jsonl, .ndjson, .csv, .tsv, .parquet, .txt, .md (also .gz of the first four), or a saved dataset's folder"
BROKEN_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


class Jsonl(Value):
    """One JSON object per line."""

    kind: Literal["jsonl"] = "jsonl"
    path: str


class Csv(Value):
    """Comma-separated values with a header (RFC 4180); every value is a text."""

    kind: Literal["csv"] = "csv"
    path: str
    delimiter: str = Field(default=",", min_length=1, max_length=1)


class Parquet(Value):
    """A Parquet file."""

    kind: Literal["parquet"] = "parquet"
    path: str


class HuggingFace(Value):
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


class Text(Value):
    """Text files; `path` may be a pattern such as `texts/**/*.txt`. Seeds have the fields `text` and `file`."""

    kind: Literal["text"] = "text"
    path: str
    by: Literal["file", "paragraph", "line"] = "file"


SeedSource = Annotated[Jsonl | Csv | Parquet | HuggingFace | Grid | Text, Field(discriminator="kind")]


def read(source: SeedSource, folder: Path, limit: int | None = None) -> Iterator[Seed]:
    """The seeds of a source in its order; relative paths count from `folder`. A seed's id is its position.

    Raises RecipeError with file and line at the first row that cannot be used, or when there is none at all.
    """
    empty = True
    for position, fields in enumerate(itertools.islice(_rows(source, folder), limit)):
        empty = False
        yield Seed(id=f"{position:08d}", fields=fields)
    if empty:
        raise RecipeError(f"There are no seeds in {describe(source)}.")


def describe(source: SeedSource, folder: Path | None = None) -> str:
    """A source in words; with `folder`, the hash of its file too."""
    if isinstance(source, Grid):
        return "grid of " + " × ".join(f"{name} ({len(values)})" for name, values in source.axes.items())
    path = None if folder is None else folder / source.path
    if path is None or not path.is_file():
        return f"{source.kind} {source.path}"
    with path.open("rb") as file:
        return f"{source.kind} {source.path} sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


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
        return Text(path=path)
    raise RecipeError(f"Seeds cannot be read from {path!r}: it should end in {ENDINGS}.")


def _rows(source: SeedSource, folder: Path) -> Iterator[Fields]:
    if isinstance(source, Grid):
        return _grid(source)
    if isinstance(source, HuggingFace):
        return _huggingface(source, folder)
    if isinstance(source, Text):
        return _texts(source, folder)
    path = folder / source.path
    if not path.is_file():
        raise RecipeError(f"The seed file {path.absolute()} does not exist; paths count from the recipe's folder.")
    if isinstance(source, Jsonl):
        return _jsonl(path)
    return _csv(path, source.delimiter) if isinstance(source, Csv) else _parquet(path)


def _open(path: Path) -> BinaryIO:
    file = cast("BinaryIO", gzip.GzipFile(path)) if path.suffix == ".gz" else path.open("rb")
    mark = BROKEN_MARKS.get(file.read(2))
    if mark:
        file.close()
        raise RecipeError(Problem(f"it is {mark}; save it as UTF-8", str(path), 1))
    file.seek(0)
    return file


def _decoded(raw: bytes, path: Path, line: int, start: int) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        place = start + error.start
        raise RecipeError(
            Problem(f"byte {place} of the file is not UTF-8; save it as UTF-8", str(path), line)
        ) from error


def _jsonl(path: Path) -> Iterator[Fields]:
    start = 0
    with _open(path) as file:
        for line in itertools.count(1):
            raw = file.readline(LONGEST_LINE)
            if not raw:
                return
            text = _decoded(raw.removeprefix(b"\xef\xbb\xbf") if line == 1 else raw, path, line, start)
            start += len(raw)
            if text.strip():
                yield _object(text, path, line)


def _object(text: str, path: Path, line: int) -> Fields:
    def fail(message: str, column: int = 0) -> RecipeError:
        return RecipeError(Problem(message, str(path), line, column))

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        record = dict(members)
        if len(record) < len(members):
            names = [name for name, _ in members]
            twice = next(name for name in names if names.count(name) > 1)
            raise fail(f"the key {twice!r} is given twice in one object")
        return record

    def constant(word: str) -> Any:
        raise fail(f"{word} is not JSON; write null or a text")

    try:
        value = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except json.JSONDecodeError as error:
        raise fail(f"not JSON: {error.msg}; one whole object per line is expected", error.colno) from None
    except RecursionError:
        raise fail("it is nested too deeply to be a seed") from None
    except ValueError as error:
        raise fail(f"a number is too long ({error})") from None
    if not isinstance(value, dict):
        raise fail(f"a JSON object is expected, not {text.strip()[:40]!r}")
    record = cast("Fields", value)
    _check_values(record, fail_at=fail)
    return record


def _check_values(record: Fields, fail_at: Any) -> None:
    """Refuse what no UTF-8 file and no template can hold."""
    waiting: list[tuple[str, Any, int]] = [(name, value, 1) for name, value in record.items()]
    if any(not name for name in record):
        raise fail_at("a field has an empty name")
    while waiting:
        name, value, depth = waiting.pop()
        if depth > DEEPEST:
            raise fail_at(f"the field {name!r} is nested more than {DEEPEST} levels deep")
        if isinstance(value, str) and not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            raise fail_at(f"the field {name!r} holds half of a surrogate pair (\\ud800 to \\udfff)")
        if isinstance(value, float) and not math.isfinite(value):
            raise fail_at(f"the field {name!r} holds a number too large for JSON")
        if isinstance(value, list):
            waiting += [(name, item, depth + 1) for item in cast("list[Any]", value)]
        if isinstance(value, dict):
            waiting += [(name, item, depth + 1) for item in cast("dict[str, Any]", value).values()]


def _csv(path: Path, delimiter: str) -> Iterator[Fields]:
    with _open(path) as file:
        raw = file.read()
    lines = [0, *itertools.accumulate(len(line) for line in raw.splitlines(keepends=True))]
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = sum(start <= error.start for start in lines)
        raise RecipeError(
            Problem(f"byte {error.start} of the file is not UTF-8; save it as UTF-8", str(path), line)
        ) from error
    csv.field_size_limit(LONGEST_LINE)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    try:
        for row in reader:
            if header is None:
                header = _header(row, path)
            elif row:
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
        for batch in parquet.ParquetFile(path).iter_batches(1024):
            for record in batch.to_pylist():
                yield {name: _plain(value, name, path) for name, value in record.items()}
    except import_module("pyarrow").ArrowException as error:
        raise RecipeError(f"{path} cannot be read as Parquet ({error}).") from None


def _huggingface(source: HuggingFace, folder: Path) -> Iterator[Fields]:
    datasets = _library("datasets", "hub")
    local = folder / source.path
    try:
        if local.is_dir() and (local / "dataset_dict.json").exists() | (local / "state.json").exists():
            saved = datasets.load_from_disk(str(local))
            rows = saved[source.split] if (local / "dataset_dict.json").exists() else saved
        else:
            path = str(local) if local.is_dir() else source.path
            rows = datasets.load_dataset(path, source.name, split=source.split, revision=source.revision)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RecipeError(f"The dataset {source.path!r} (split {source.split!r}) cannot be loaded: {reason}") from error
    for record in rows:
        yield {name: _plain(value, name, local) for name, value in record.items()}


def _plain(value: Any, name: str, path: Path) -> JsonValue:
    """A column's value as JSON knows it; dates become ISO text, decimals exact text."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (date, datetime, Decimal)):
        return value.isoformat() if isinstance(value, date) else str(value)
    if isinstance(value, list):
        return [_plain(item, name, path) for item in cast("list[Any]", value)]
    if isinstance(value, Mapping):
        return {str(key): _plain(item, name, path) for key, item in cast("Mapping[Any, Any]", value).items()}
    raise RecipeError(
        Problem(f"the column {name!r} holds {type(value).__name__}, which is no text or number", str(path))
    )


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
        with _open(path) as file:
            raw = file.read()
        text = _decoded(raw.removeprefix(b"\xef\xbb\xbf"), path, 0, 0).replace("\r\n", "\n").replace("\r", "\n")
        separator = {"file": None, "paragraph": "\n\n", "line": "\n"}[source.by]
        for piece in [text] if separator is None else text.split(separator):
            if piece.strip():
                yield {"text": piece.strip(), "file": name}
