"""A reply as it was kept, with the attempt that brought it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson

from synth.protocol.lots import choice_of
from synth.storage.database import LOTS, RAW
from synth.types import Outcome

Decompress = Callable[[bytes], bytes]

FINDING = (
    "SELECT reply.attempt, reply.status, reply.headers, reply.error, reply.detail, "  # noqa: S608 (ours alone)
    "reply.written, reply.seconds, "
    f"{RAW}, reserved_microusd, failure, reserved_tokens, value, place, draws, teacher "
    "FROM attempt JOIN reply ON reply.attempt = attempt.id LEFT JOIN settled ON settled.attempt = attempt.id "
    f"LEFT JOIN meta ON meta.name = 'price ' || attempt.price {LOTS}"
)
"""What `stored_of` takes a row of."""


class Stored(NamedTuple):
    """A kept reply and the attempt that brought it."""

    attempt: int
    outcome: Outcome
    reserved_microusd: int = 0
    failure: str | None = None
    """What it was found to be; None when that was not yet written down."""
    reserved_tokens: int = 0
    price: str = ""
    """The price that was in force, as JSON."""
    whole: Outcome | None = None
    """All of the reply, where it brought several draws; `outcome` is this one's choice then."""
    place: int = 0
    draws: int = 1
    """Which of them this one is, from 0, and how many were asked for."""


def read_found(reader: sqlite3.Connection, key: bytes, decompress: Decompress) -> Sequence[Stored]:
    """The kept replies to a request in a run's database, newest first. Raises what SQLite and zstd say of damage."""
    rows = reader.execute(f"{FINDING} WHERE key = ? ORDER BY attempt.id DESC", (key,))
    return [stored_of(row, decompress) for row in rows.fetchall()]


def stored_of(row: tuple[Any, ...], decompress: Decompress) -> Stored:
    """A row of `FINDING` as what it is. Raises what zstd says of damage."""
    attempt, status, headers, error, detail, written, seconds, raw, *found = row
    reserved, failure, tokens, price, place, draws, _ = found
    outcome = Outcome(status, decompress(raw), orjson.loads(headers), error, detail, bool(written), seconds)
    if draws is None:
        return Stored(attempt, outcome, reserved, failure, tokens, price or "")
    own = choice_of(outcome, place, draws)
    return Stored(attempt, own, reserved, failure, tokens, price or "", outcome, place, draws)
