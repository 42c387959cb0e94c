"""A reply as it was kept, with the attempt that brought it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import orjson

from synth.protocol.lots import choice_of
from synth.storage.database import LOTS, RAW
from synth.types import Outcome

Decompress = Callable[[bytes], bytes]
SOUGHT_AT_ONCE = 64
"""Requests whose replies are looked up in one go."""

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


def read_found(reader: sqlite3.Connection, keys: Sequence[bytes], decompress: Decompress) -> dict[bytes, list[Stored]]:
    """The kept replies to each of some requests in a run's database, newest first; a request without any is left out.

    Raises what SQLite and zstd say of damage.
    """
    found: dict[bytes, list[Stored]] = {}
    for row in reader.execute(_found_by(len(keys)), keys).fetchall():
        found.setdefault(row[0], []).append(stored_of(row[1:], decompress))
    return found


@cache
def _found_by(keys: int) -> str:
    """What finds the replies to so many requests. A text that is made anew each time takes longer than the looking."""
    every = ",".join("?" * keys)
    return f"{FINDING.replace('SELECT ', 'SELECT key, ', 1)} WHERE key IN ({every}) ORDER BY key DESC, attempt.id DESC"


def stored_of(row: tuple[Any, ...], decompress: Decompress) -> Stored:
    """A row of `FINDING` as what it is. Raises what zstd says of damage."""
    attempt, status, headers, error, detail, written, seconds, raw, *found = row
    reserved, failure, tokens, price, place, draws, _ = found
    outcome = Outcome(status, decompress(raw), orjson.loads(headers), error, detail, bool(written), seconds)
    if draws is None:
        return Stored(attempt, outcome, reserved, failure, tokens, price or "")
    own = choice_of(outcome, place, draws)
    return Stored(attempt, own, reserved, failure, tokens, price or "", outcome, place, draws)


class Together:
    """Looks up the replies to many requests in one go: that takes half as long for each as one look after the other.

    Lives on the event loop.
    """

    def __init__(self, look: Callable[[Sequence[bytes]], Mapping[bytes, Sequence[Stored]]]) -> None:
        """`look` finds the replies to some requests by their keys, and may raise StoreStopped."""
        self._look = look
        self._waiting: list[tuple[bytes, asyncio.Future[Sequence[Stored]]]] = []

    async def find(self, key: bytes) -> Sequence[Stored]:
        """The kept replies to a request, newest first. Raises what looking does."""
        if not self._waiting:
            self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self._answer)  # when all that are at work have asked
        found: asyncio.Future[Sequence[Stored]] = self._loop.create_future()
        self._waiting.append((key, found))
        if len(self._waiting) == SOUGHT_AT_ONCE:
            self._answer()
        return await found

    def _answer(self) -> None:
        """Give everybody what there is."""
        waiting, self._waiting = [one for one in self._waiting if not one[1].done()], []
        if not waiting:
            return
        try:
            every = self._look([*{key for key, _ in waiting}])
        except Exception as error:  # noqa: BLE001 (whatever it is, they would wait for ever)
            for _, found in waiting:
                found.set_exception(error.with_traceback(None))
        else:
            for key, found in waiting:
                found.set_result(every.get(key, ()))
