"""The whole way of one row, or of one refused sample, back to the raw replies that it was made of."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import orjson
import zstandard
from pydantic import ValidationError

from synth.datasets.provenance import hosts, templates
from synth.errors import FolderError, RecipeError, Rejected, TeacherError
from synth.protocol.lots import choice_of
from synth.protocol.replies import read
from synth.recipes.recipe import Recipe
from synth.results.manifest import read_manifest
from synth.storage.database import LOTS, RAW, connect, readable
from synth.types import Fields, Outcome

OUTPUTS = ("rows.jsonl", "rejected.jsonl")
SHOWN = {"id", "seed_id", "scores"}
"""What a line has, whether it was kept or refused."""
ATTEMPTS = (
    "SELECT attempt.id, stage, unit, teacher, model, draw, started_ns, body, failure, "  # noqa: S608 (ours alone)
    "cost_microusd, prompt_tokens, completion_tokens, "
    "cached_tokens, reasoning_tokens, place, draws, reply.status, reply.headers, reply.error, "
    f"reply.detail, reply.written, reply.seconds, {RAW} FROM attempt LEFT JOIN reply ON reply.attempt = attempt.id "
    f"LEFT JOIN settled ON settled.attempt = attempt.id {LOTS}WHERE key = ? ORDER BY attempt.id"
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One send of a request."""

    number: int
    """In the run's store."""
    started: str
    """ISO 8601 in UTC."""
    found: str
    """`ok`, `reused` from an earlier run, or the class of its failure; `open` while it is not known."""
    status: int | None
    """Of HTTP; 0 where no answer came, None where nothing is kept."""
    seconds: float | None
    cost_microusd: int
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    headers: Fields
    raw: str
    """The reply's body, as it came."""
    choice: int = 1
    choices: int = 1
    """Which of its choices was this draw's, of how many that one request asked for."""


@dataclass(frozen=True, slots=True)
class Step:
    """One request on the way, with all that was sent of it."""

    request: str
    """Its key, as the row's `requests` has it."""
    stage: str
    unit: str
    teacher: str
    model: str
    served: str
    """The model that the reply says it came from."""
    host: str
    """Where the teacher was asked; empty where the run's recipe is not known."""
    templates: Sequence[str]
    """Those of the stage, as `name sha256`."""
    draw: int
    asked: Fields
    """The body: messages, model and sampling."""
    text: str
    """What was read from the reply that counts: the newest that can be read; empty where none can."""
    reasoning: str
    attempts: Sequence[Attempt]


@dataclass(frozen=True, slots=True)
class Trace:
    """A row, or a refused sample, and the requests that made it, in their order."""

    record: Fields
    """As its file has it."""
    is_row: bool
    steps: Sequence[Step]
    twins: Sequence[str]
    """What was refused as a twin of it, or of what it is made from, by id."""


def trace(folder: Path, row_id: str) -> Trace:
    """The way of a row of a run, or of what it refused, by the `id` in rows.jsonl or rejected.jsonl.

    Raises FolderError when there is no such run, or no such row in it, or a line of its files is not as synth wrote it.
    """
    record, name = _found(folder, row_id)
    if record is None:
        raise FolderError(f"There is no {row_id!r} in {folder}; `synth show {folder}` shows ids.")
    if not (folder / "run.db").exists() and read_manifest(folder / "manifest.json").merged:
        run, _, own = row_id.partition("/")
        raise FolderError(
            f"{folder} was merged; the replies lie in the run {run}, whose row {own} this is: trace it there."
        )
    with readable(folder / "run.db"):
        connection = connect(folder / "run.db")
        keys = cast("list[str]", record.get("requests") or _keys_of(connection, record))
        recipe, hashes = _recipe(folder)
        where, written = (
            ({}, {}) if recipe is None else (hosts(recipe), templates(recipe, lambda name: hashes.get(name, "")))
        )
        steps = [step for step in (_step(connection, key, where, written) for key in keys) if step is not None]
        connection.close()
    own = str(record["id"])
    twins = [
        str(one["id"])
        for one in _lines(folder / "rejected.jsonl", b'"twin_id":"')
        if f"{own}/".startswith(f"{one['twin_id']}/")
    ]
    return Trace(record, name == "rows.jsonl", steps, twins)


def steps_of(folder: Path, requests: Sequence[str]) -> list[Step]:
    """What was asked under these keys, in their order. Raises FolderError when the store cannot be read."""
    with readable(folder / "run.db"):
        connection = connect(folder / "run.db")
        steps = [_step(connection, key, {}, {}) for key in requests]
        connection.close()
    return [step for step in steps if step is not None]


def _found(folder: Path, row_id: str) -> tuple[Fields | None, str]:
    for name in OUTPUTS:
        path = folder / name
        if not path.is_file():
            raise FolderError(f"There is no {name} in {folder}; run or export the recipe first.")
        needle = orjson.dumps(row_id.encode("utf-8", "replace").decode())
        for one in _lines(path, needle):
            if one.get("id") == row_id:
                return one, name
    return None, ""


def _lines(path: Path, needle: bytes = b"") -> Iterator[Fields]:
    """The objects of a file's lines that hold certain bytes."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if needle not in line:
                continue
            try:
                yield _object(orjson.loads(line))
            except ValueError:
                raise FolderError(f"{path}:{number}: not a row that synth wrote; export the recipe again.") from None


def _object(document: Any) -> Fields:
    """Raises ValueError when it is no row, kept or refused."""
    known = cast("Fields", document if isinstance(document, dict) else {})
    keys: Any = known.get("requests", [])
    if not known.keys() >= SHOWN or not isinstance(keys, list):
        raise ValueError
    for key in cast("list[Any]", keys):
        bytes.fromhex(str(key))
    return known


def _keys_of(connection: sqlite3.Connection, record: Fields) -> list[str]:
    """The requests of a refused sample, whose line does not list them: those of its unit and of the units it is from.

    A sample's id begins with its unit's, and a unit's with that of the sample before it.
    """
    own = str(record["id"])
    units = [own[:end] for end in range(1, len(own) + 1) if end == len(own) or own[end] == "/"]
    marks = ", ".join("?" * len(units))
    sql = f"SELECT hex(key), min(id) FROM attempt WHERE unit IN ({marks}) GROUP BY key ORDER BY min(id)"  # noqa: S608 (marks alone)
    return [key.lower() for key, _ in connection.execute(sql, units)]


def _recipe(folder: Path) -> tuple[Recipe | None, Mapping[str, str]]:
    """The recipe as it was run, with the hashes of its templates; None where this synth cannot read it."""
    path = folder / "manifest.json"
    if not path.exists():
        return None, {}
    record = read_manifest(path).recipe
    try:
        return Recipe.model_validate_json(record.text), record.templates
    except (ValidationError, RecipeError):  # another version's, or with code of the user's own
        return None, {}


def _step(
    connection: sqlite3.Connection, key: str, where: Mapping[str, str], written: Mapping[str, Sequence[str]]
) -> Step | None:
    rows = connection.execute(ATTEMPTS, (bytes.fromhex(key),)).fetchall()
    if not rows:
        return None
    unpack = zstandard.ZstdDecompressor().decompress
    attempts: list[Attempt] = []
    text = reasoning = served = ""
    for row in rows:
        outcome, (place, draws) = _outcome(row, unpack), row[14:16]
        attempts.append(_attempt(row, outcome))
        if outcome is not None and draws is not None:
            outcome = choice_of(outcome, place, draws)
        try:
            completion = None if outcome is None else read(outcome, None)
        except (TeacherError, Rejected):
            continue
        if completion is not None:
            text, reasoning, served = completion.text, completion.reasoning or "", completion.model
    _, stage, unit, teacher, model, draw, _, body, *_ = rows[-1]
    asked = orjson.loads(unpack(body))
    told = (where.get(teacher, ""), written.get(stage, ()))
    return Step(key, stage, unit, teacher, model, served, *told, draw, asked, text, reasoning, attempts)


def _outcome(row: Sequence[Any], unpack: Any) -> Outcome | None:
    status, headers, error, detail, written, seconds, raw = row[-7:]
    if status is None:
        return None
    return Outcome(status, unpack(raw), orjson.loads(headers), error, detail, bool(written), seconds)


def _attempt(row: Sequence[Any], outcome: Outcome | None) -> Attempt:
    number, started_ns, failure, cost, prompt, completion, cached, reasoning = row[0], row[6], *row[8:14]
    return Attempt(
        number=number,
        started=datetime.fromtimestamp(started_ns / 1e9, UTC).isoformat(timespec="milliseconds"),
        found=failure or ("open" if outcome is None else "kept"),
        status=None if outcome is None else outcome.status,
        seconds=None if outcome is None else round(outcome.seconds, 3),
        cost_microusd=cost or 0,
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        reasoning_tokens=reasoning,
        headers={} if outcome is None else dict(outcome.headers),
        raw="" if outcome is None else outcome.body.decode("utf-8", "replace"),
        choice=1 + (row[14] or 0),
        choices=row[15] or 1,
    )
