"""One batch at its host, from its plan to the last of its replies: ordered exactly once, watched, collected.

Every step is on disk before it is taken and after, and named so that the host can be asked what became of it: a crash
at any point leaves each request in exactly one state. What a batch brings is kept as online replies are, before anybody
reads it; whoever waits then looks there.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TypeVar

from synth.admission.buckets import LONGEST_GATE_S
from synth.admission.halt import Halt
from synth.backends.batch import Look, Orders, Sought, Unanswered, Undecided
from synth.batches import batch_journal as journal
from synth.batches.batch_journal import Batch, Member
from synth.errors import Fatal
from synth.money.budget import Budget
from synth.money.prices import Price
from synth.patterns import lazy
from synth.profiles import BatchTerms
from synth.protocol.fates import classify
from synth.storage.found import Stored
from synth.storage.store import Store
from synth.types import UNSERVED, Outcome, Spend

T = TypeVar("T")

LONGEST_POLL = 10
"""How many times longer than at first one waits, in the end, before asking again how far a batch is."""
POLLS_OF_AGE = 10
"""A batch is asked after ten times while it grows twice as old, more or less."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 300.0
"""Before a step that was not answered is taken again."""
PATIENCE_S = 3600.0
"""How long a host may leave a step unanswered; then the run ends, and the next one goes on."""
AT_ONCE = 256
"""Replies that are kept with one commit."""
LOST = "batch"
"""The error of a request that the batch says nothing of though it was worked on to the end."""
CROWDED = lazy(r"token_limit_exceeded|enqueued", re.IGNORECASE)
"""How a host refuses a batch that is more than may stand in line (OpenAI's enqueued tokens of a model)."""

Settle = Callable[[Stored, str], tuple[Spend, Spend]]
"""Works out what a reply was and cost: what had been set aside for it, and what it did cost."""


@dataclass(frozen=True, slots=True)
class BatchDesk:
    """What batches of a teacher are ordered and kept with."""

    name: str
    """The teacher's."""
    host: str
    orders: Orders
    terms: BatchTerms
    price: Price
    store: Store
    budget: Budget
    halt: Halt
    settle: Settle
    wording: Callable[[str, bytes], bytes]
    """The body of a request for a path in the host's own words."""
    moving: Callable[[], tuple[int, int]]
    """How many requests of the run are on the wire, and how many ever landed."""
    patient: bool = True
    """Whether any stage can wait; else what is open is cancelled, and what it did not bring asked online."""


class Left(Exception):
    """A batch is left to the next run."""


class Crowded(Exception):
    """A host refused a batch as more than it lets stand in line; its text is the host's."""


class Waiters:
    """Who waits for what goes by batch, by the key of the request. Lives on the event loop."""

    def __init__(self) -> None:
        self.open: dict[bytes, Batch] = {}
        """The batch of each request that is in one."""
        self.comes: dict[bytes, asyncio.Future[None]] = {}

    def tell(self, members: Sequence[Member]) -> None:
        """Let those look who wait for these."""
        for member in members:
            comes = self.comes.pop(member.key, None)
            if comes is not None and not comes.done():
                comes.set_result(None)

    def send_away(self, key: bytes, reason: Fatal) -> None:
        """Let nobody wait any longer for this request."""
        comes = self.comes.pop(key, None)
        if comes is not None and not comes.done():
            comes.set_exception(reason.with_traceback(None))


class Course:
    """A batch on its way."""

    def __init__(
        self, desk: BatchDesk, batch: Batch, waiters: Waiters, last: asyncio.Event, jitter: random.Random
    ) -> None:
        """`last` is set when the batch is to be looked at once more, and no longer waited for."""
        self.batch = batch
        self._desk = desk
        self._waiters = waiters
        self._last = last
        self._jitter = jitter
        self._identity = desk.store.meta("identity") or ""

    async def go(self) -> None:
        """Have the batch worked on, unless the host does so already, and collect what it brings.

        Raises Left when that is for the next run, Crowded when the host has no room, Fatal, Unanswered or OSError when
        it ends otherwise.
        """
        if not self.batch.id and self.batch.members:
            await self._order()
        if self.batch.members:
            await self._collect(await self._ended())
        else:
            await self._note(journal.DONE)

    async def _order(self) -> None:
        """Have the host work on a batch, exactly once whatever happens on the way."""
        # no other batch of any run, or of a copy of this one, has this name at the host
        name = f"synth-{self._identity}-{self.batch.number}-{self.batch.plan.token}"
        file = self._desk.store.folder / f"batch-{self.batch.number}.jsonl"
        try:
            await asyncio.to_thread(self._write, file)
            if self.batch.place is None:
                self.batch.place = await self._patiently(lambda: self._desk.orders.upload(name, file))
                await self._note(journal.UPLOADED, self.batch.place)
            ends = time.monotonic() + PATIENCE_S
            while not self.batch.id:
                if self.batch.ordering_ns:  # whether that came to the host is not known
                    self.batch.id = await self._found(name)
                if not self.batch.id and not self._desk.patient:
                    await self.hand_back("it was not ordered", self._waiters.tell)
                    return
                if not self.batch.id:
                    self.batch.id = await self._ordered(name, file, ends)
            self.batch.ordered_ns = time.time_ns()
            await self._note(journal.ORDERED, self.batch.id)
        finally:
            file.unlink(missing_ok=True)

    def _write(self, file: Path) -> None:
        """Write its file. Runs in a thread."""
        line, worded, path = self._desk.orders.line, self._desk.wording, self.batch.plan.path
        with file.open("wb") as lines:
            for attempt, body in journal.requests_of(self._desk.store.folder / "run.db", self.batch.number):
                lines.write(line(self._member_name(attempt), path, worded(path, body)))

    async def _found(self, name: str) -> str:
        """The host's name for a batch that it may have; empty when it has none, even after the time its list takes, and
        that in which it ends what may be this one.

        Raises Fatal when that does not end.
        """
        since_s, run_db = self.batch.ordering_ns / 1e9, self._desk.store.folder / "run.db"
        known = await asyncio.to_thread(journal.ids, run_db)
        own = {self._member_name(attempt) for attempt, _ in journal.requests_of(run_db, self.batch.number)}
        sought = Sought(name, self.batch.place or "", since_s, self.batch.size, own.__contains__, known)
        ends_s = since_s + PATIENCE_S + (3600 * self._desk.terms.hours if self._desk.patient else 0)
        while True:
            try:
                found = await self._patiently(lambda: self._desk.orders.find(sought))
            except Undecided as error:
                if time.time() >= ends_s:
                    raise Fatal(
                        f"Whether {self._desk.host} took a batch of {self._desk.name!r} shows only when what it works "
                        f"on has ended: {error}. Run again when it has, to go on with it.",
                        f"{self._desk.host} が教師 {self._desk.name!r} のバッチを受け付けたかどうかは、処理中のバッチが"
                        "終わるまで分かりません。終わってからもう一度実行すると続きます。",
                    ) from None
                await self._pause(LONGEST_POLL * self._desk.terms.poll_s)
                continue
            left_s = since_s + self._desk.terms.poll_s - time.time()
            if found is not None or left_s <= 0:
                return found or ""
            await self._pause(min(left_s, self._desk.terms.poll_s))  # however the clock was set meanwhile

    async def _ordered(self, name: str, file: Path, ends: float) -> str:
        """Order a batch once; empty when it is not known what came of that. What was not yet ordered never is at the
        end.

        Raises Fatal when it is refused, or when that is not answered though patience has ended.
        """
        if self._last.is_set():
            if not self.batch.ordering_ns:
                await self.release()
            raise Left
        self.batch.ordering_ns = time.time_ns()
        await self._note(journal.ORDERING)
        try:
            return await self._desk.orders.order(name, self.batch.plan.path, file, self.batch.place or "")
        except Unanswered as error:
            kind = _kind(error)
            if kind == "fatal":
                raise refusal(self._desk, str(error)) from None
            if kind == "permanent":
                await self.void(str(error))
            if time.monotonic() >= ends:
                raise self._silence(error) from None
            await self._pause(error.retry_after_s or self._desk.terms.poll_s)
            return ""

    async def _ended(self) -> Look:
        """Wait for the end of a batch, and bring it about when it has taken too long.

        Raises Fatal when it does not even end then.
        """
        allowed_s = self.batch.plan.wait_s if self._desk.patient else 0.0
        due_s, ends = self.batch.ordered_ns / 1e9 + allowed_s, inf
        while True:
            try:
                look = await self._patiently(lambda: self._desk.orders.look(self.batch.id))
            except Unanswered as error:  # the host does not know it any more
                return Look(str(error), ended=True)
            if look.ended:
                return look
            now_s = time.time()
            if now_s >= due_s and ends == inf:  # in each run: what an earlier one wished may not have come to the host
                ends = time.monotonic() + PATIENCE_S
                await self._note(journal.CANCELLING)
                with suppress(Unanswered):  # then it ends by itself, or has
                    await self._patiently(lambda: self._desk.orders.cancel(self.batch.id))
            elif time.monotonic() >= ends:
                raise Fatal(
                    f"{self._desk.host} was asked to end a batch of {self._desk.name!r} and has not, it still says "
                    f"{look.said!r}; run again to go on with it."
                )
            await self._pause(self._pause_s(now_s, due_s) if ends == inf else self._desk.terms.poll_s)

    async def _pause(self, seconds: float) -> None:
        """Wait, an hour at most whatever the host wishes, and at the end no longer. Raises Left when that has come
        already."""
        if self._last.is_set():
            raise Left
        with suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, LONGEST_GATE_S)):
                await self._last.wait()

    def _pause_s(self, now_s: float, due_s: float) -> float:
        """How long not to ask how far a batch is: longer while it grows older, but not beyond the end of patience."""
        poll_s, age_s = self._desk.terms.poll_s, max(0.0, now_s - self.batch.ordered_ns / 1e9)
        pause_s = min(LONGEST_POLL * poll_s, max(poll_s, age_s / POLLS_OF_AGE)) * self._jitter.uniform(0.8, 1.2)
        return max(0.0, min(pause_s, due_s - now_s))

    async def _collect(self, look: Look) -> None:
        """Keep what a batch brought, and tell those who wait; what it did not bring is known for that then."""
        if look.refused and CROWDED.search(look.refused):
            raise Crowded(look.refused)
        if look.refused:
            await self.void(look.refused)
        unkept: dict[int, Outcome] = {}
        is_gone = False
        for place in look.places:
            try:
                await self._patiently(lambda place=place: self._read(place, unkept))
            except Unanswered:  # it is there no longer, and what it held may have been paid for
                is_gone = True
        if look.whole or is_gone:
            rest = Outcome(0, error=LOST, detail=f"the batch is {look.said} and has no reply to it")
        else:
            rest = Outcome(0, error=UNSERVED, detail=f"the batch is {look.said}", written=False)
        left = list(self.batch.members.values())
        for start in range(0, len(left), AT_ONCE):
            await self._keep([(one, unkept.get(one.attempt, rest)) for one in left[start : start + AT_ONCE]])
        await self._note(journal.DONE, look.said)

    async def _read(self, place: str, unkept: dict[int, Outcome]) -> None:
        """Keep the replies that a file of results holds, of two to a request the first, and add to `unkept` what says
        of others why they have none: a reply that was paid for may follow."""
        some: dict[int, tuple[Member, Outcome]] = {}
        async for line in self._desk.orders.lines(place):
            row = self._desk.orders.row(line)
            member = None if row is None else self.batch.members.get(self._attempt_of(row.name))
            if row is not None and member is not None and row.outcome.status == 200:
                some.setdefault(member.attempt, (member, row.outcome))
            elif row is not None and member is not None:
                unkept.setdefault(member.attempt, row.outcome)
            if len(some) >= AT_ONCE:
                await self._keep(list(some.values()))
                some.clear()
        await self._keep(list(some.values()))

    async def _keep(self, some: Sequence[tuple[Member, Outcome]]) -> None:
        """Keep outcomes, settle what they cost, and let whoever waits look."""
        await self._kept(some)
        self._waiters.tell([member for member, _ in some])

    async def _kept(self, some: Sequence[tuple[Member, Outcome]]) -> None:
        store, budget = self._desk.store, self._desk.budget
        await asyncio.gather(*(store.keep(member.attempt, outcome) for member, outcome in some))
        for member, outcome in some:
            del self.batch.members[member.attempt]
            reserved = (member.reserved_microusd, None, member.reserved_tokens, member.price)
            worst, cost = self._desk.settle(Stored(member.attempt, outcome, *reserved), self.batch.plan.path)
            (budget.correct if member.counted else budget.settle)(worst, cost)
            self._waiters.open.pop(member.key, None)

    async def void(self, why: str) -> None:
        """End a batch that the host has refused as a whole; nothing of it was paid for. Raises the reason."""
        await self.hand_back(why)
        raise refusal(self._desk, why)

    async def hand_back(self, why: str, tell: Callable[[Sequence[Member]], None] | None = None) -> None:
        """End a batch of which nothing was worked on, and tell those who wait, before anybody asks for the same anew.
        Nobody is told of one that was refused: not all of it is to be asked online."""
        unserved = Outcome(0, error=UNSERVED, detail=why, written=False)
        members = list(self.batch.members.values())
        await self._kept([(member, unserved) for member in members])
        if tell is not None:
            tell(members)
        await self._note(journal.DONE, why)

    async def release(self) -> None:
        """End a batch that was never ordered."""
        for member in self.batch.members.values():
            self._desk.store.release(member.attempt)
            worst = Spend(member.reserved_microusd, member.reserved_tokens, 1)
            (self._desk.budget.correct if member.counted else self._desk.budget.settle)(worst, Spend())
            self._waiters.open.pop(member.key, None)
        self.batch.members.clear()
        await self._note(journal.DONE, "not ordered")

    async def _patiently(self, step: Callable[[], Awaitable[T]]) -> T:
        """Take a step that may be repeated, until it is answered.

        Raises Unanswered when what it asks for is wrong or is not there, Fatal when nothing can be asked for, or when
        patience has ended.
        """
        ends = time.monotonic() + PATIENCE_S
        wait_s = min(FIRST_WAIT_S, self._desk.terms.poll_s)
        while True:
            try:
                return await step()
            except Unanswered as error:
                kind = _kind(error)
                if kind == "permanent" or error.status == 404:
                    raise
                if kind == "fatal":
                    raise refusal(self._desk, str(error)) from None
                if time.monotonic() >= ends:
                    raise self._silence(error) from None
                await self._pause(error.retry_after_s or wait_s * self._jitter.uniform(0.5, 1))
                wait_s = min(LONGEST_WAIT_S, 2 * wait_s)

    def _silence(self, error: Unanswered) -> Fatal:
        """Why a batch that the host says nothing of is left to the next run."""
        return Fatal(
            f"{self._desk.host} no longer answers about a batch of {self._desk.name!r}, last with "
            f"{str(error)[:300].strip()!r}; run again to go on with it."
        )

    async def _note(self, step: str, said: str = "") -> None:
        await self._desk.store.note_step(self.batch.number, self._desk.name, step, said)

    def _member_name(self, attempt: int) -> str:
        return f"{self._identity}-{attempt}"

    def _attempt_of(self, name: str) -> int:
        """The attempt of a name that `_member_name` gave; 0 for others."""
        identity, _, attempt = name.rpartition("-")
        return int(attempt) if identity == self._identity and attempt.isdecimal() else 0


def refusal(desk: BatchDesk, why: str) -> Fatal:
    """Why nothing can be ordered there."""
    return Fatal(
        f"{desk.host} does not take a batch of {desk.name!r}: {why[:300].strip()}. Mend that, or ask online: leave "
        "can_wait_h out, or run with --online."
    )


def _kind(error: Unanswered) -> str:
    """The failure class of a step that was not answered well."""
    kind = classify(error.status, str(error)) if error.status else "transient"
    return "permanent" if kind == "teacher_refused" else kind  # no prompt was asked here
