"""`synth show`: rows and rejections."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter

from synth.console.screen import ERR, OUT, PRACTICE, conversation
from synth.errors import FolderError
from synth.language.near import hint
from synth.results.manifest import read_manifest
from synth.types import Message, ToolTurn

MESSAGES = TypeAdapter(list[Message | ToolTurn])


def show(folder: Path, ids: tuple[str, ...], *, rejected: bool, reason: str, count: int, as_json: bool) -> None:
    """Rows or rejections of a run; those with the given ids, whichever they are, or made from these.

    Raises FolderError when there are none, or an id is not among them.
    """
    names = ["rejected.jsonl"] if rejected else ["rows.jsonl", "rejected.jsonl"] if ids else ["rows.jsonl"]
    paths = [folder / name for name in names]
    for path in paths:
        if not path.exists():
            raise FolderError(f"There is no {path.name} in {folder}; run or export the recipe first.")
    if (folder / "manifest.json").exists() and read_manifest(folder / "manifest.json").practice:
        (ERR if as_json else OUT).print(PRACTICE)
    reasons = Counter[str]()
    records = (record for record in _records(paths) if not reason or _of_reason(record, reason, reasons))
    chosen = _with_ids(records, ids, count, folder) if ids else list(islice(records, count))
    for record in chosen:
        if as_json:
            sys.stdout.buffer.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
        else:
            _record(record)
    if not chosen:
        told = f"Nothing was refused for {reason!r}" if reason else f"Nothing to show in {paths[0]}"
        there = ", ".join(f"{name} {count:,}" for name, count in reasons.most_common())
        ERR.print(f"{told}{f'; there are {there}' if there else ''}{hint(reason, reasons) or '.'}", markup=False)


def _of_reason(record: dict[str, Any], reason: str, reasons: Counter[str]) -> bool:
    """Whether a sample was refused for a reason; what the others were refused for is counted."""
    reasons[record["reason"]] += 1
    return record["reason"] == reason


def _records(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """The lines of output files as objects, with all that is shown of them."""
    for path in paths:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield _row(line, path, number)


def _row(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        row: Any = orjson.loads(line)
        if row.keys() >= {"id", "messages", "scores"}:
            return row
    except (orjson.JSONDecodeError, AttributeError):
        pass
    raise FolderError(f"{path}:{number}: not a row that synth wrote; export the recipe again.")


def _with_ids(
    records: Iterable[dict[str, Any]], ids: tuple[str, ...], count: int, folder: Path
) -> list[dict[str, Any]]:
    """The records with these ids; for a sample that only went on into others, up to `count` made from it."""
    exact: dict[str, list[dict[str, Any]]] = {one: [] for one in ids}
    made: dict[str, list[dict[str, Any]]] = {one: [] for one in ids}
    for record in records:
        name: str = record["id"]
        if name in exact:
            exact[name].append(record)
        for one in ids:
            if name.startswith(f"{one}/") and len(made[one]) < count:
                made[one].append(record)
    missing = [one for one in ids if not exact[one] and not made[one]]
    if missing:
        raise FolderError(f"There is no {missing[0]!r} in {folder}.")
    return [record for one in ids for record in exact[one] or made[one]]


def _record(record: dict[str, Any]) -> None:
    title = record["id"]
    if "reason" in record:
        title += f"  {record['reason']}  {record['detail']}"
    title += "".join(f"  {score['name']} {score['value']:g}" for score in record["scores"])
    conversation(title, MESSAGES.validate_python(record["messages"]))
