"""The dataset on disk, written as a stream: memory holds one row group per split, whatever the number of rows.

    <run>/rows.jsonl                 every row, with its split; for people, jq and pandas
    <run>/rejected.jsonl             every refused sample with its reason
    <run>/dataset/README.md          the card
    <run>/dataset/data/train.parquet one file per split; what `datasets.load_dataset("<run>/dataset")` reads

Without pyarrow the splits are JSONL. `data/` never holds both, so no row is loaded twice. The same rows give the same
bytes, with the same pyarrow.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

from synth.datasets.files import PARTIAL, whole_file
from synth.datasets.rows import line, rejected_row
from synth.errors import Problem, RecipeError
from synth.patterns import lazy
from synth.types import Rejection

ROW_GROUP_ROWS = 1000
ROW_GROUP_BYTES = 8 * 1024 * 1024
"""Of JSON. A group is closed by whichever comes first; small groups keep the Hub's viewer quick."""
REPEATED = ["teacher", *(f"{name}.list.element" for name in ("served_by", "repairs")), "messages.list.element.role"]
"""Columns of few different values: of others a table of values is built in vain, and the file a quarter larger."""
LINES_AT_ONCE = 64
"""Of rows.jsonl."""

NO_PYARROW = "Parquet was left out because pyarrow is not installed (pip install 'synth[parquet]')."
NO_PYARROW_JA = "pyarrow がないため Parquet は書いていません（pip install 'synth[parquet]'）。"

_SPLIT = lazy(r"[A-Za-z0-9_]{1,64}")


ORDER = ["train", "validation", "test"]


@dataclass(frozen=True, slots=True)
class Written:
    """What an export left on disk."""

    rows: dict[str, int]
    """Rows by split, as these are usually told: train, validation, test, others."""
    files: dict[str, str]
    """The data file of each split, relative to the dataset folder."""
    sha256: str = ""
    """Of the rows with their splits, in order: the content of `rows.jsonl`."""
    notice: str = ""
    """One sentence when something was left out; empty otherwise."""
    notice_ja: str = ""
    """The same in Japanese."""


def load_parquet() -> None:
    """Import what writes Parquet, if it is there."""
    # what the asking leaves free in the process's own heap then serves again: pyarrow's pool takes 20 MB beside it
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if find_spec("pyarrow") is not None:
        import_module("pyarrow.json")
        import_module("pyarrow.parquet")


def write_dataset(rows: Iterable[tuple[str, bytes]], folder: Path, *, tools: bool = False) -> Written:
    """Write `rows.jsonl` and the split files of `dataset/` into the run folder.

    `rows` are splits and rows as lines of JSON without their ends, in the order to keep; `tools` says whether they have
    the columns of tools.
    A file takes its name only when all of them are complete, so an interrupted export leaves the earlier one standing.
    Raises RecipeError for a split name that `datasets` cannot load, FolderError when the disk refuses.
    """
    data = folder / "dataset" / "data"
    parquet = find_spec("pyarrow") is not None
    load_parquet()
    ending = "parquet" if parquet else "jsonl"
    schema = _schema(import_module("pyarrow"), tools=tools) if parquet else None
    splits: dict[str, Split] = {}
    endings: dict[str, bytes] = {}
    """What each row of a split ends in where all of them lie together."""
    content, lines = hashlib.sha256(), list[bytes]()
    with ExitStack() as files:

        def open_split(name: str) -> Split:
            file = files.enter_context(whole_file(data / f"{_checked(name)}.{ending}"))
            write, finish = parquet_sink(file, schema) if parquet else jsonl_sink(file)
            files.callback(finish)  # also when the export fails; closing twice does nothing
            endings[name] = b',"split":"%b"}\n' % name.encode()
            return Split(file, write, finish)

        def write_lines() -> None:
            block = b"".join(lines)
            content.update(block)
            together.write(block)
            lines.clear()

        together = files.enter_context(whole_file(folder / "rows.jsonl"))
        for name, text in rows:
            split = splits.get(name) or splits.setdefault(name, open_split(name))
            split.add(text)
            lines += text[:-1], endings[name]
            if len(lines) == 2 * LINES_AT_ONCE:
                write_lines()
        write_lines()
        if not splits:
            splits["train"] = open_split("train")
        for split in splits.values():
            split.close()
        together.flush()  # a full disk shows before the first file takes its name
    names = sorted(splits, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    written = {name: f"data/{name}.{ending}" for name in names}
    _remove_others(data, {Path(file).name for file in written.values()})
    return Written(
        rows={name: splits[name].count for name in names},
        files=written,
        sha256=content.hexdigest(),
        notice="" if parquet else NO_PYARROW,
        notice_ja="" if parquet else NO_PYARROW_JA,
    )


def write_rejected(rejections: Iterable[Rejection], path: Path, teachers: Mapping[str, str]) -> dict[str, int]:
    """Write `rejected.jsonl`, one line per refused sample in the order given; return the counts by reason.

    `teachers` maps each stage to the model that answered in it.
    """
    counts: dict[str, int] = {}
    with whole_file(path) as file:
        for rejection in rejections:
            file.write(line(rejected_row(rejection, teachers)) + b"\n")
            counts[rejection.reason] = counts.get(rejection.reason, 0) + 1
    return counts


class Split:
    """One file of rows being written: gathers them and hands them on in groups."""

    def __init__(self, file: BinaryIO, write: Callable[[list[bytes]], None], finish: Callable[[], None]) -> None:
        self._file = file
        self._write = write
        self._finish = finish
        self._group: list[bytes] = []
        self._bytes = 0
        self.count = 0

    def add(self, line: bytes) -> None:
        """Take one more row in, as JSON without an end."""
        self._group.append(line)
        self._bytes += len(line)
        self.count += 1
        if len(self._group) >= ROW_GROUP_ROWS or self._bytes >= ROW_GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        """Write what is left."""
        if self._group:
            self._flush()
        self._finish()
        self._file.flush()

    def _flush(self) -> None:
        self._write(self._group)
        self._group = []
        self._bytes = 0


Sink = tuple[Callable[[list[bytes]], None], Callable[[], None]]
"""What writes a group of rows, and what ends the file."""


def jsonl_sink(file: BinaryIO) -> Sink:
    """Lines of JSON."""

    def write(group: list[bytes]) -> None:
        file.write(b"\n".join(group) + b"\n")

    return write, lambda: None


def parquet_sink(file: BinaryIO, schema: Any) -> Sink:
    """Plain structs and no `huggingface` metadata, so that every version of `datasets` reads the file.

    Rows go in as JSON: made from Python values, pyarrow would load all of pandas first.
    """
    pyarrow: Any = import_module("pyarrow")
    json: Any = import_module("pyarrow.json")
    parquet: Any = import_module("pyarrow.parquet")
    writer = parquet.ParquetWriter(file, schema, compression="zstd", write_page_index=True, use_dictionary=REPEATED)

    parsing = json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")

    def write(group: list[bytes]) -> None:
        text = b"\n".join(group)
        reading = json.ReadOptions(use_threads=False, block_size=len(text) + 1)
        table = json.read_json(pyarrow.BufferReader(text), reading, parsing)
        writer.write_table(table, row_group_size=len(group))

    return write, writer.close


def _schema(pyarrow: Any, *, tools: bool) -> Any:
    text = pyarrow.string()
    turn = [("role", text), ("content", text), ("reasoning_content", text)]
    if tools:
        function = pyarrow.struct([("name", text), ("arguments", text)])
        call = pyarrow.struct([("id", text), ("function", function), ("type", text)])
        turn += [("tool_calls", pyarrow.list_(call)), ("tool_call_id", text), ("name", text)]
    message = pyarrow.struct(turn)
    score = pyarrow.struct([("name", text), ("value", pyarrow.float64()), ("detail", text)])
    columns = {
        "id": text,
        "messages": pyarrow.list_(message),
        "seed_id": text,
        "teacher": text,
        "scores": pyarrow.list_(score),
        "cost_microusd": pyarrow.int64(),
        "repairs": pyarrow.list_(text),
        "requests": pyarrow.list_(text),
        "served_by": pyarrow.list_(text),
        **({"tools": text} if tools else {}),
    }
    return pyarrow.schema(list(columns.items()))


def _checked(split: str) -> str:
    if split == "all" or not _SPLIT.fullmatch(split):
        raise RecipeError(
            Problem(f"{split!r} cannot name a split; use up to 64 letters, digits and underscores, and not 'all'")
        )
    return split


def _remove_others(data: Path, keep: set[str]) -> None:
    """Remove split files of an earlier export, so that nothing is loaded that this one did not write."""
    for file in data.iterdir():
        if file.name not in keep and file.suffix in (".parquet", ".jsonl", PARTIAL):
            file.unlink()
