"""A reply as it was kept, with the attempt that brought it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import orjson
import zstandard

from synth.protocol.lots import choice_of
from synth.storage.database import LOTS, RAW
from synth.types import Outcome

SOUGHT_AT_ONCE = 64
"""Requests whose replies are looked up in one go."""

FINDING = (
    "SELECT reply.attempt, reply.status, reply.headers, reply.error, reply.detail, "  # noqa: S608 (ours alone)
    "reply.written, reply.seconds, "
    f"{RAW}, reserved_microusd, failure, reserved_tokens, price, place, draws, teacher, key "
    f"FROM attempt JOIN reply ON reply.attempt = attempt.id LEFT JOIN settled ON settled.attempt = attempt.id {LOTS}"
)
"""What `Reading` takes a row of."""


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


class Reading:
    """How the kept replies of a run's database are read. All of it raises what SQLite and zstd say of damage."""

    def __init__(self, reader: sqlite3.Connection) -> None:
        self._reader = reader
        self._decompress = zstandard.ZstdDecompressor().decompress
        self._prices: dict[int | None, str] = {None: ""}
        """By their numbers. There are few: to join them to each reply takes a fifth of the looking."""

    def found(self, keys: Sequence[bytes]) -> dict[bytes, list[Stored]]:
        """The kept replies to each of some requests, newest first; a request without any is left out."""
        found: dict[bytes, list[Stored]] = {}
        for row in self._reader.execute(_found_by(len(keys)), [*map(bytearray, keys)]).fetchall():
            found.setdefault(row[-1], []).append(self.stored(row))
        return found

    def stored(self, row: tuple[Any, ...]) -> Stored:
        """A row of `FINDING` as what it is."""
        attempt, status, headers, error, detail, written, seconds, raw, reserved, failure, tokens, number, *lot = row
        place, draws, _, _ = lot
        body = self._decompress(raw)
        outcome = Outcome(status, body, orjson.loads(headers), error, detail, bool(written), seconds)
        price = self._prices.get(number) or self._price(number)
        if draws is None:
            return Stored(attempt, outcome, reserved, failure, tokens, price)
        own = choice_of(outcome, place, draws)
        return Stored(attempt, own, reserved, failure, tokens, price, outcome, place, draws)

    def _price(self, number: int | None) -> str:
        if number not in self._prices:
            known = self._reader.execute("SELECT value FROM meta WHERE name = ?", (f"price {number}",)).fetchone()
            self._prices[number] = "" if known is None else known[0]
        return self._prices[number]


@cache
def _found_by(keys: int) -> str:
    """What finds the replies to so many requests. A text that is made anew each time takes longer than the looking."""
    return f"{FINDING} WHERE key IN ({','.join('?' * keys)}) ORDER BY key DESC, attempt.id DESC"


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
