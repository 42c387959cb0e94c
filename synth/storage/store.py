"""Attempts, raw replies and ledger in one SQLite file per run, written by one thread with group commit.

An attempt is journalled, with its reservation, before its request is sent; the raw reply is committed before anything
reads it; what it was and what it cost follows. Rows are only ever added. A crash can therefore cost at most the
attempts without a reply, and those are known: the next run marks them `lost` and leaves them charged.

Durability: WAL with synchronous=FULL, so a commit survives power loss (https://www.sqlite.org/pragma.html).
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import zstandard

from synth.errors import FolderError, StoreStopped
from synth.language.text import several
from synth.storage.database import (
    DAMAGED,
    Ledger,
    connect,
    create,
    damage,
    read_ledger,
    read_spent,
    readable,
)
from synth.storage.emergency import take_in
from synth.storage.found import FINDING, Reading, Stored, Together
from synth.storage.lock import Lock
from synth.storage.pace import Pace, read_pace
from synth.storage.seen import Seen
from synth.storage.writer import Writer
from synth.types import Outcome, Planned, Spend, Usage

FILES = "(files)"
"""What stands for the recipe's name in the store of commands on files; no recipe can be called so."""
OPEN = (
    "SELECT id, reserved_microusd, teacher, key FROM attempt WHERE id NOT IN (SELECT attempt FROM reply) "
    "AND id NOT IN (SELECT attempt FROM settled) AND id NOT IN (SELECT attempt FROM batched WHERE batch IN "
    "(SELECT batch FROM batch_step GROUP BY batch HAVING max(step = 'planned') AND NOT max(step = 'done')))"
)
"""Attempts that were sent, or were about to be, and that no batch will bring."""


class Store:
    """One run's `run.db`. Reads happen on the caller's thread, writes in the writer's."""

    def __init__(self, folder: Path) -> None:
        """Open or create the store of a run folder and lock the folder; take in what an emergency left elsewhere.

        Raises FolderError when another process holds it, it lies on a network filesystem, or what is there is not
        synth's, is damaged, or lacks what was once committed.
        """
        self.folder = folder
        self._path = folder / "run.db"
        self._decompress = zstandard.ZstdDecompressor().decompress
        with contextlib.ExitStack() as opened:
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._lock = Lock(folder)
                opened.callback(self._lock.release)
                create(self._path)
            except (OSError, sqlite3.Error) as error:
                raise FolderError(f"{folder} cannot be a run folder ({error}); choose another one.") from error
            self._reader = connect(self._path, beside=True)
            self._reading = Reading(self._reader)
            opened.callback(self._reader.close)
            with readable(self._path):
                identity, commits = self._complete()
                take_in(self._path, identity)
                self._next_attempt = self._one("SELECT coalesce(max(id), 0) FROM attempt") + 1
                self._next_batch = self._one("SELECT coalesce(max(batch), 0) FROM batch_step") + 1
                self._next_step = self._one("SELECT coalesce(max(id), 0) FROM batch_step") + 1
                self.resumed = self._next_attempt > 1
                """Whether an earlier run left something here."""
                self.sought = Together(self._found).find
                """As `find`, in one look with all that others seek at the time."""
                self._open: dict[int, tuple[int, str, bytes]] = {}
                self._seen = Seen(key for (key,) in self._reader.execute("SELECT key FROM attempt"))
                self.may_hold = self._seen.has
                """Whether `find` may find something: a look that costs little, and seldom says yes in vain."""
                prices = self._reader.execute("SELECT name, value FROM meta WHERE name LIKE 'price %'")
                self._prices = {document: int(name.split()[1]) for name, document in prices}
                self.forgiven = int(self.meta("forgiven") or 0)
                """The last attempt whose failure no longer counts as final."""
            self._lock.mark(identity, commits)
            self._writer = Writer(self._path, identity, commits, lambda number: self._lock.mark(identity, number))
            opened.pop_all()

    def watch(self, stop: Callable[[StoreStopped], None]) -> None:
        """Have `stop` called, on the loop, when nothing more may be begun."""
        self._writer.on_trouble = stop
        if self._writer.trouble is not None:
            stop(self._writer.trouble)

    def asked(self) -> None:
        """Give back the memory that holds which requests were made, as no more are; those are still found."""
        self._seen.forget()

    def find(self, key: bytes) -> Sequence[Stored]:
        """The kept replies to a request, newest first. Raises StoreStopped when they cannot be read."""
        return self._found([key]).get(key, []) if self._seen.has(key) else []

    def _found(self, keys: Sequence[bytes]) -> dict[bytes, list[Stored]]:
        try:
            return self._reading.found(keys)
        except DAMAGED as error:
            raise self._writer.stop(damage(self._path, error)) from error

    def read_from(self, teacher: str) -> Iterator[Outcome]:
        """The kept replies of a teacher that its completions are read from."""
        with readable(self._path):
            for row in self._reader.execute(f"{FINDING} WHERE teacher = ? AND failure IN ('ok', 'reused')", (teacher,)):
                yield self._reading.stored(row).outcome

    def asked_of(self, teacher: str, model: str) -> Iterator[tuple[int, bytes]]:
        """The attempts at a teacher's model that completions are read from, oldest first, each with what was sent."""
        sql = (
            "SELECT attempt.id, body FROM attempt JOIN settled ON settled.attempt = attempt.id "
            "WHERE teacher = ? AND model = ? AND failure IN ('ok', 'reused') ORDER BY attempt.id"
        )
        with readable(self._path):
            for attempt, body in self._reader.execute(sql, (teacher, model)):
                yield attempt, self._decompress(body)

    def reply(self, attempt: int) -> Outcome:
        """What an attempt brought; it must have brought something."""
        with readable(self._path):
            row = self._reader.execute(f"{FINDING} WHERE attempt.id = ?", (attempt,)).fetchone()
            return self._reading.stored(row).outcome

    def unsettled(self) -> list[tuple[str, Stored]]:
        """Replies whose cost was not yet worked out when the run stopped, each with its teacher's name."""
        with readable(self._path):
            rows = self._reader.execute(f"{FINDING} WHERE settled.attempt IS NULL")
            return [(row[-2], self._reading.stored(row)) for row in rows.fetchall()]

    async def begin(self, requests: Sequence[Planned], price: str = "") -> int:
        """Journal attempts, what is set aside for each and the price in force, in one commit; return the first one's
        number, which the others follow, once that is on disk. Several are draws that go in one request.

        Who is cancelled meanwhile has sent nothing, and the attempts are closed as `release` does. Raises StoreStopped
        when the disk refuses, or will before long.
        """
        first, draws = self._next_attempt, len(requests)
        *rows, last = [("attempt", row) for row in self._journal(requests, price)]
        if draws > 1:
            *rows, last = *rows, last, *(("lot", (first + place, first, place, draws)) for place in range(draws))
        for table, row in rows:
            self._writer.add(table, row)
        try:
            await self._writer.durable(*last)
        except asyncio.CancelledError:
            for attempt in range(first, first + draws):
                self.release(attempt)
            raise
        return first

    def _journal(self, requests: Sequence[Planned], price: str) -> list[tuple[Any, ...]]:
        """The next attempts as rows to be written. Raises StoreStopped."""
        if self._writer.trouble is not None:
            raise self._writer.trouble.with_traceback(None)
        if price and price not in self._prices:
            self._prices[price] = len(self._prices) + 1
            self._writer.add("meta", (f"price {self._prices[price]}", price))
        rows: list[tuple[Any, ...]] = []
        now, known = time.time_ns(), self._prices.get(price)
        for attempt, (request, stage, unit, reserved) in enumerate(requests, self._next_attempt):
            self._seen.add(request.key)
            named = (attempt, bytearray(request.key), stage, unit, request.teacher, request.model, request.draw)
            rows.append((*named, now, reserved, request.prompt_tokens + request.max_tokens, known, request.body))
        self._next_attempt += len(rows)
        return rows

    async def keep(self, attempt: int, outcome: Outcome, draws: int = 1) -> None:
        """Commit what came back, whatever it was, for so many draws that were asked for; return once it is on disk.

        Raises StoreStopped only when there was no disk at all that took it.
        """
        headers = orjson.dumps(dict(outcome.headers)).decode() if outcome.headers else "{}"
        for other in range(attempt + 1, attempt + draws):  # in the same commit; the body stands with the first
            told = (outcome.status, headers, outcome.error, outcome.detail, outcome.written, outcome.seconds)
            self._writer.add("reply", (other, *told, b""))
        await self._writer.durable(
            "reply",
            (
                *(attempt, outcome.status, headers, outcome.error, outcome.detail, outcome.written),
                *(outcome.seconds, outcome.body),
            ),
        )

    def settle(
        self, attempt: int, failure: str, usage: Usage, cost_microusd: int, *, usage_unknown: bool = False
    ) -> None:
        """Record what an attempt was (`ok` or a failure class), what it cost and whether that is its worst case."""
        self._writer.add(
            "settled",
            (
                *(attempt, failure, cost_microusd, usage.prompt_tokens, usage.completion_tokens),
                *(usage.cached_tokens, usage.reasoning_tokens, usage.cache_write_tokens, usage_unknown),
            ),
        )

    async def plan(self, teacher: str, said: str, requests: Sequence[Planned], price: str) -> tuple[int, int]:
        """Journal a batch and its attempts, all of them in one commit; return its number, and the first attempt,
        which the others follow.

        Raises StoreStopped as `begin` does.
        """
        batch, first = self._next_batch, self._next_attempt
        for place, row in enumerate(self._journal(requests, price)):
            self._writer.add("attempt", row)
            self._writer.add("batched", (first + place, batch, place))
        self._next_batch += 1
        await self.note_step(batch, teacher, "planned", said)
        return batch, first

    async def note_step(self, batch: int, teacher: str, step: str, said: str = "") -> None:
        """Write down how far a batch is; return once that is on disk."""
        number = self._next_step
        self._next_step += 1
        await self._writer.durable("batch_step", (number, batch, teacher, step, time.time_ns(), said))

    def release(self, attempt: int) -> None:
        """Close an attempt that was journalled and never sent."""
        self.settle(attempt, "unsent", Usage(), 0)

    def pass_over(self, stage: str, unit: str, failure: str, detail: str) -> None:
        """Journal that the gate went on without this unit; when it comes later, it comes after those let through."""
        self._writer.add("passed_over", (stage, unit, int(self.meta("runs") or 0), failure, detail))

    def passed_over(self, stage: str) -> dict[str, int]:
        """Units of a stage that an earlier run went on without, each with that run's number."""
        with readable(self._path):
            rows = self._reader.execute("SELECT unit, run FROM passed_over WHERE stage = ?", (stage,))
            return dict(rows.fetchall())

    def meta(self, name: str) -> str | None:
        """A note about the run; None when it was never made."""
        with readable(self._path):
            row = self._reader.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    async def note(self, name: str, value: str) -> None:
        """Make a note about the run."""
        await self._writer.durable("meta", (name, value))

    async def forgive(self) -> None:
        """Let requests be asked again whose failures so far were taken for final."""
        self.forgiven = self._next_attempt - 1
        await self.note("forgiven", str(self.forgiven))

    async def open_run(self, recoverable: Collection[str] = ()) -> int:
        """Count this run and mark attempts that an earlier one left open as `lost`, as they may have been paid; but not
        those that a batch is to bring, nor those at teachers whose replies can be looked up.

        Returns how many were lost.
        """
        with readable(self._path):
            rows = self._reader.execute(OPEN).fetchall()
        lost = [attempt for attempt, _, teacher, _ in rows if teacher not in recoverable]
        self._open = {attempt: (reserved, teacher, key) for attempt, reserved, teacher, key in rows}
        for attempt in lost:
            self.lose(attempt)
        await self.note("runs", str(int(self.meta("runs") or 0) + 1))
        return len(lost)

    def unanswered(self, teacher: str) -> dict[int, str]:
        """The attempts at a teacher, with their keys in hex, that were open when this run began."""
        return {attempt: key.hex() for attempt, (_, name, key) in self._open.items() if name == teacher}

    def lose(self, attempt: int) -> None:
        """Mark an attempt that was open when this run began as lost: it stays charged in full."""
        self.settle(attempt, "lost", Usage(), self._open[attempt][0], usage_unknown=True)

    def spent(self) -> Spend:
        """Everything charged so far; what is not settled, or was without known usage, counts with its reservation."""
        with readable(self._path):
            return read_spent(self._reader)

    def ledger(self) -> list[Ledger]:
        """Attempts, money and tokens by stage, teacher and class."""
        with readable(self._path):
            return read_ledger(self._reader)

    def pace(self) -> Pace | None:
        """When its requests were sent, and what came of them."""
        with readable(self._path):
            return read_pace(self._reader)

    def close(self) -> None:
        """Write what is queued, close the file and unlock the folder."""
        try:
            self._writer.close(self._reader)
        finally:
            self._lock.note_end()
            self._lock.release()

    def _complete(self) -> tuple[str, int]:
        """The store's name and its number of commits. Raises FolderError when it had more of them once."""
        identity, commits = self.meta("identity") or "", int(self.meta("commits") or 0)
        known, once = self._lock.store()
        if known == identity and once > commits:
            raise FolderError(
                f"{self._path} lacks the last {once - commits} of {several(once, 'commit')}: run.db-wal was deleted or "
                f"an older copy put back. Restore it, or let `synth doctor --repair {self.folder}` go on "
                "with what is left."
            )
        return identity, commits

    def _one(self, sql: str) -> int:
        with readable(self._path):
            return int(self._reader.execute(sql).fetchone()[0])
