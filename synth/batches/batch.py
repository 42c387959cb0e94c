"""What a teacher is asked by batch: gathered, ordered, watched, collected, and the rest handed back to be asked online.

Money is set aside for a request that can wait, and it is gathered. A batch is ordered when it is full, or when nothing
moves any more: nothing is on the wire and nothing new has come for a moment, so that whatever else the run waits for
waits for this. Its attempts are journalled with it in one commit. Every later step is on disk before it is taken and
after, and named so that the host can be asked what became of it: a crash at any point leaves each request in exactly
one state. What a batch brings is kept as online replies are, before anybody reads it; whoever waits then looks there.
"""

from __future__ import annotations

import asyncio
import random
import re
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from synth.admission.halt import Halt
from synth.admission.scheduler import first_of
from synth.backends.batch import Look, Orders, Sought, Unanswered
from synth.batches import batch_journal as journal
from synth.batches.batch_journal import Batch, Member, Plan
from synth.errors import Fatal, FolderError, StoreStopped
from synth.money.budget import Budget
from synth.money.prices import Price, by_batch, recorded
from synth.profiles import BatchTerms
from synth.protocol.fates import classify
from synth.storage.store import Store, Stored
from synth.types import UNSERVED, Outcome, Planned, Request, Spend

T = TypeVar("T")

LULL_S = 2.0
"""How long nothing may have moved before what was gathered is ordered."""
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
LINE_BYTES = 256
"""What a line of a batch's file has beside the request, at most."""
LOST = "batch"
"""The error of a request that the batch says nothing of though it was worked on to the end."""

CROWDED = re.compile(r"token_limit_exceeded|enqueued", re.IGNORECASE)
"""How a host refuses a batch that is more than may stand in line (OpenAI's enqueued tokens of a model)."""

Settle = Callable[[Stored, str], tuple[Spend, Spend]]
"""Works out what a reply was and cost: what had been set aside for it, and what it did cost."""


class _Left(Exception):
    """A batch is left to the next run."""


class Waiting(NamedTuple):
    """A gathered request."""

    planned: Planned
    worst: Spend

    @property
    def bytes(self) -> int:
        """Of its line in a batch's file, at most."""
        return len(self.planned.request.body) + LINE_BYTES


@dataclass(frozen=True, slots=True)
class Desk:
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


@asynccontextmanager
async def batches(desk: Desk) -> AsyncGenerator[Batches]:
    """The batches of a teacher, those of earlier runs included; at the end they are left to the next run."""
    try:
        async with asyncio.TaskGroup() as group:
            made = Batches(desk, group)
            await made.resume()
            try:
                yield made
            finally:
                made.leave()
    except BaseExceptionGroup as errors:
        raise first_of(errors) from None


class Batches:
    """What is gathered, and what is at the host. Lives on the event loop."""

    def __init__(self, desk: Desk, group: asyncio.TaskGroup, jitter: random.Random | None = None) -> None:
        self.arrived = 0
        self._desk = desk
        self._terms = desk.terms
        self._group = group
        self._jitter = jitter or random.Random()  # noqa: S311 (spreads polls, guards nothing)
        self._identity = desk.store.meta("identity") or ""
        self._price = by_batch(desk.price, desk.terms.factor).model_dump_json()
        self._tariff = recorded(self._price)
        self._gathered: dict[tuple[str, float], list[Waiting]] = {}
        self._bytes = 0
        self._open: dict[bytes, Batch] = {}
        """The batch of each request that is in one, by key."""
        self._comes: dict[bytes, asyncio.Future[None]] = {}
        """Who waits, by the key of the request."""
        self._again: set[bytes] = set()
        """Of those the requests that are to be gathered once more."""
        self._most = desk.terms.requests
        self._alone = False
        """Whether one batch is ordered only when there is no other, as the host lets no more stand in line."""
        self._some = asyncio.Event()
        self._last = asyncio.Event()
        """Set when each batch is looked at once more, and no longer waited for."""
        desk.halt.tell(self._give_up)
        self._ordering = group.create_task(self._order_in_lulls())

    async def resume(self) -> None:
        """Go on with the batches of earlier runs, but for what was not ordered: who wants that asks for it anew.

        Raises Fatal when one is at another host.
        """
        desk = self._desk
        for one in journal.open_batches(desk.store.folder / "run.db", desk.name):
            if not one.ordering_ns:
                await self._release(one)
                continue
            if one.plan.host != desk.host:
                raise Fatal(
                    f"A batch of {len(one.members):,} requests of the teacher {desk.name!r} is at {one.plan.host}, and "
                    f"it is asked at {desk.host} now: run once more with the base_url it had, to collect what is paid "
                    "for, or choose another folder with --out."
                )
            self._open |= dict.fromkeys((member.key for member in one.members.values()), one)
            self._group.create_task(self._seen_through(one))

    @property
    def waiting(self) -> int:
        """Requests that are gathered or in a batch."""
        return len(self._open) + sum(map(len, self._gathered.values()))

    @property
    def left(self) -> str:
        """What is at the host still, in a phrase; empty when nothing is."""
        number = len({id(batch) for batch in self._open.values()})
        if not number:
            return ""
        return f"{len(self._open):,} requests in {number} batch{'es' if number > 1 else ''} at {self._desk.host}"

    def takes(self, request: Request, wait_s: float) -> bool:
        """Whether a request is for a batch, or in one."""
        if request.key in self._open:
            return True
        return wait_s > 0 and request.path in self._terms.paths and len(request.body) + LINE_BYTES <= self._most_bytes

    async def bring(self, request: Request, stage: str, unit: str, priority: int, wait_s: float) -> None:
        """Have a batch bring the reply to a request that it takes; return when the store has what came of it.

        Raises the reason of a halt: then it is not ordered, or left at the host for the next run.
        """
        while True:
            if request.key not in self._open:
                await self._set_aside(request, stage, unit, priority, wait_s)
            self._desk.halt.check()
            comes = self._comes[request.key] = asyncio.get_running_loop().create_future()
            await comes
            if request.key not in self._again:
                return
            self._again.remove(request.key)

    async def _set_aside(self, request: Request, stage: str, unit: str, priority: int, wait_s: float) -> None:
        """Reserve what a request may cost, and gather it."""
        self._desk.halt.check()
        worst = self._tariff.worst(request)
        try:
            await self._desk.budget.reserve(worst, priority)
        except Fatal as error:
            self._desk.halt.throw(error)
            raise
        if self._desk.halt.error is not None:
            self._desk.budget.settle(worst, Spend())
            self._desk.halt.check()
        self._gather(Waiting(Planned(request, stage, unit, worst.microusd), worst), wait_s)

    def leave(self) -> None:
        """Look at each batch once more, and watch no longer."""
        self._last.set()
        self._ordering.cancel()

    @property
    def _most_bytes(self) -> int:
        return self._terms.megabytes * 1024 * 1024

    def _gather(self, waiting: Waiting, wait_s: float) -> None:
        if not self._alone and self._bytes + waiting.bytes > self._most_bytes:
            self._order_all()
        some = self._gathered.setdefault((waiting.planned.request.path, wait_s), [])
        some.append(waiting)
        self.arrived += 1
        self._bytes += waiting.bytes
        if not self._alone and len(some) >= self._most:
            self._order_all()
        self._some.set()

    async def _order_in_lulls(self) -> None:
        """Order what was gathered whenever nothing moves any more."""
        lull_s = min(LULL_S, self._terms.poll_s)
        while True:
            await self._some.wait()
            before = None
            while self._gathered:
                on_wire, landed = self._desk.moving()
                now = (on_wire, landed, self.arrived)
                if not on_wire and now == before and not (self._alone and self._open):
                    self._order_all()
                before = now
                await asyncio.sleep(lull_s)
            self._some.clear()

    def _order_all(self) -> None:
        gathered, self._gathered, self._bytes = self._gathered, {}, 0
        if self._alone:  # one batch, and the rest when it has come
            (first, some), *others = gathered.items()
            self._gathered = {key: left for key, left in [(first, some[self._most :]), *others] if left}
            gathered = {first: some[: self._most]}
        for (path, wait_s), some in gathered.items():
            plan = Plan(host=self._desk.host, path=path, wait_s=wait_s, token=secrets.token_hex(4))
            self._group.create_task(self._sent(plan, some))

    async def _sent(self, plan: Plan, some: list[Waiting]) -> None:
        """Journal a batch and see it through."""
        batch = await self._planned(plan, some)
        some.clear()  # the requests lie in the store now
        if batch is not None:
            await self._seen_through(batch)

    async def _planned(self, plan: Plan, some: Sequence[Waiting]) -> Batch | None:
        """Journal a batch; None when the disk refuses."""
        requests, said = [one.planned for one in some], plan.model_dump_json()
        try:
            number, first = await self._desk.store.plan(self._desk.name, said, requests, self._price)
        except Fatal as error:
            self._desk.halt.throw(error)
            for one in some:
                self._desk.budget.settle(one.worst, Spend())
                self._send_away(one.planned.request.key, error)
            return None
        batch = Batch(number, plan, {}, len(some))
        for attempt, (request, worst) in enumerate(((one.planned.request, one.worst) for one in some), first):
            batch.members[attempt] = Member(
                attempt, request.key, worst.microusd, worst.tokens, self._price, counted=False
            )
            self._open[request.key] = batch
        return batch

    def _give_up(self, reason: Fatal) -> None:
        """Send everybody away: what was gathered is not ordered, and what has not come at a last look is for the next
        run to collect."""
        self._last.set()
        gathered, self._gathered = self._gathered, {}
        for one in [one for some in gathered.values() for one in some]:
            self._desk.budget.settle(one.worst, Spend())
            self._send_away(one.planned.request.key, reason)

    def _send_away(self, key: bytes, reason: Fatal) -> None:
        comes = self._comes.pop(key, None)
        if comes is not None and not comes.done():
            comes.set_exception(reason.with_traceback(None))

    async def _seen_through(self, batch: Batch) -> None:
        """From its plan to the last of its replies."""
        keys = [member.key for member in batch.members.values()]
        try:
            if not batch.id and batch.members:
                await self._order(batch)
            if batch.members:
                await self._collect(batch, await self._ended(batch))
            else:
                await self._note(batch, journal.DONE)
        except _Left:
            pass
        except Fatal as error:
            self._desk.halt.throw(error)
        except Unanswered as error:
            self._desk.halt.throw(self._refusal(str(error)))
        except FolderError as error:
            self._desk.halt.throw(StoreStopped(str(error)))
        except OSError as error:
            why = f"A batch could not be written in {self._desk.store.folder} ({error})"
            self._desk.halt.throw(StoreStopped(f"{why}; nothing of it was sent. Mend that and run again."))
        if self._desk.halt.error is not None:
            for key in keys:
                self._send_away(key, self._desk.halt.error)

    async def _order(self, batch: Batch) -> None:
        """Have the host work on a batch, exactly once whatever happens on the way."""
        name = self._name(batch)
        file = self._desk.store.folder / f"batch-{batch.number}.jsonl"
        try:
            await asyncio.to_thread(self._write, file, batch)
            if batch.place is None:
                batch.place = await self._patiently(lambda: self._desk.orders.upload(name, file))
                await self._note(batch, journal.UPLOADED, batch.place)
            while not batch.id:
                if batch.ordering_ns:  # whether that came to the host is not known
                    batch.id = await self._found(batch, name)
                if not batch.id and not self._desk.patient:
                    left = list(batch.members.values())
                    await self._hand_back(batch, "it was not ordered")
                    self._tell(left)
                    return
                if not batch.id:
                    batch.id = await self._ordered(batch, name, file)
            batch.ordered_ns = time.time_ns()
            await self._note(batch, journal.ORDERED, batch.id)
        finally:
            file.unlink(missing_ok=True)

    def _write(self, file: Path, batch: Batch) -> None:
        """Write a batch's file. Runs in a thread."""
        line, worded, path = self._desk.orders.line, self._desk.wording, batch.plan.path
        with file.open("wb") as lines:
            for attempt, body in journal.requests_of(self._desk.store.folder / "run.db", batch.number):
                lines.write(line(self._member_name(attempt), path, worded(path, body)))

    async def _found(self, batch: Batch, name: str) -> str:
        """The host's name for a batch that it may have; empty when it has none, even after the time its list takes."""
        since_s, run_db = batch.ordering_ns / 1e9, self._desk.store.folder / "run.db"
        known = await asyncio.to_thread(journal.ids, run_db)
        own = {self._member_name(attempt) for attempt, _ in journal.requests_of(run_db, batch.number)}
        sought = Sought(name, batch.place or "", since_s, batch.size, own.__contains__, known)
        while True:
            found = await self._patiently(lambda: self._desk.orders.find(sought))
            left_s = since_s + self._terms.poll_s - time.time()
            if found is not None or left_s <= 0:
                return found or ""
            await self._pause(min(left_s, self._terms.poll_s))  # however the clock was set meanwhile

    async def _ordered(self, batch: Batch, name: str, file: Path) -> str:
        """Order a batch once; empty when it is not known what came of that. What was not yet ordered never is at the
        end."""
        if self._last.is_set():
            if not batch.ordering_ns:
                await self._release(batch)
            raise _Left
        batch.ordering_ns = time.time_ns()
        await self._note(batch, journal.ORDERING)
        try:
            return await self._desk.orders.order(name, batch.plan.path, file, batch.place or "")
        except Unanswered as error:
            kind = _kind(error)
            if kind == "fatal":
                raise self._refusal(str(error)) from None
            if kind == "permanent":
                await self._void(batch, str(error))
            await self._pause(error.retry_after_s or self._terms.poll_s)
            return ""

    async def _ended(self, batch: Batch) -> Look:
        """Wait for the end of a batch, and bring it about when it has taken too long."""
        allowed_s = batch.plan.wait_s if self._desk.patient else 0.0
        due_s = batch.ordered_ns / 1e9 + allowed_s
        while True:
            try:
                look = await self._patiently(lambda: self._desk.orders.look(batch.id))
            except Unanswered as error:  # the host does not know it any more
                return Look(str(error), ended=True)
            if look.ended:
                return look
            now_s = time.time()
            if now_s >= due_s and not batch.cancelling:
                await self._note(batch, journal.CANCELLING)
                batch.cancelling = True
                with suppress(Unanswered):  # then it ends by itself, or has
                    await self._patiently(lambda: self._desk.orders.cancel(batch.id))
            await self._pause(self._pause_s(batch, now_s, due_s))

    async def _pause(self, seconds: float) -> None:
        """Wait, at the end no longer. Raises _Left when that has come already."""
        if self._last.is_set():
            raise _Left
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._last.wait()

    def _pause_s(self, batch: Batch, now_s: float, due_s: float) -> float:
        """How long not to ask how far a batch is: longer while it grows older, but not beyond the end of patience."""
        poll_s, age_s = self._terms.poll_s, max(0.0, now_s - batch.ordered_ns / 1e9)
        pause_s = min(LONGEST_POLL * poll_s, max(poll_s, age_s / POLLS_OF_AGE)) * self._jitter.uniform(0.8, 1.2)
        return poll_s if batch.cancelling else max(0.0, min(pause_s, due_s - now_s))

    async def _collect(self, batch: Batch, look: Look) -> None:
        """Keep what a batch brought, and tell those who wait; what it did not bring is known for that then."""
        if look.refused and CROWDED.search(look.refused) and (batch.size > 1 or not self._alone):
            await self._order_in_parts(batch, look.refused)
            return
        if look.refused:
            await self._void(batch, look.refused)
        for place in look.places:
            with suppress(Unanswered):  # it is there no longer
                await self._patiently(lambda place=place: self._read(batch, place))
        if look.whole:
            rest = Outcome(0, error=LOST, detail=f"the batch is {look.said} and has no reply to it")
        else:
            rest = Outcome(0, error=UNSERVED, detail=f"the batch is {look.said}", written=False)
        left = list(batch.members.values())
        for start in range(0, len(left), AT_ONCE):
            await self._keep(batch, [(member, rest) for member in left[start : start + AT_ONCE]])
        await self._note(batch, journal.DONE, look.said)

    async def _read(self, batch: Batch, place: str) -> None:
        """Keep what a file of results holds; of two replies to a request the first."""
        some: dict[int, tuple[Member, Outcome]] = {}
        async for line in self._desk.orders.lines(place):
            row = self._desk.orders.row(line)
            member = None if row is None else batch.members.get(self._attempt_of(row.name))
            if row is not None and member is not None:
                some.setdefault(member.attempt, (member, row.outcome))
            if len(some) >= AT_ONCE:
                await self._keep(batch, list(some.values()))
                some.clear()
        await self._keep(batch, list(some.values()))

    async def _keep(self, batch: Batch, some: Sequence[tuple[Member, Outcome]]) -> None:
        """Keep outcomes, settle what they cost, and let whoever waits look."""
        await self._kept(batch, some)
        self._tell([member for member, _ in some])

    async def _kept(self, batch: Batch, some: Sequence[tuple[Member, Outcome]]) -> None:
        store, budget = self._desk.store, self._desk.budget
        await asyncio.gather(*(store.keep(member.attempt, outcome) for member, outcome in some))
        for member, outcome in some:
            del batch.members[member.attempt]
            reserved = (member.reserved_microusd, None, member.reserved_tokens, member.price)
            worst, cost = self._desk.settle(Stored(member.attempt, outcome, *reserved), batch.plan.path)
            (budget.correct if member.counted else budget.settle)(worst, cost)
            self._open.pop(member.key, None)

    def _tell(self, members: Sequence[Member]) -> None:
        for member in members:
            comes = self._comes.pop(member.key, None)
            if comes is not None and not comes.done():
                comes.set_result(None)

    async def _void(self, batch: Batch, why: str) -> None:
        """End a batch that the host has refused as a whole; nothing of it was paid for. Raises the reason."""
        await self._hand_back(batch, why)
        raise self._refusal(why)

    async def _hand_back(self, batch: Batch, why: str) -> None:
        """End a batch of which nothing was worked on. Nobody is told: of one that was refused not all is to be asked
        online."""
        unserved = Outcome(0, error=UNSERVED, detail=why, written=False)
        await self._kept(batch, [(member, unserved) for member in batch.members.values()])
        await self._note(batch, journal.DONE, why)

    async def _order_in_parts(self, batch: Batch, why: str) -> None:
        """Gather anew what is more than the host lets stand in line: half as much goes at once, and one at a time."""
        self._alone, self._most = True, max(1, min(self._most, batch.size // 2))
        members = list(batch.members.values())
        await self._hand_back(batch, why)
        self._again |= {member.key for member in members if member.key in self._comes}
        self._tell(members)

    async def _release(self, batch: Batch) -> None:
        """End a batch that was never ordered."""
        for member in batch.members.values():
            self._desk.store.release(member.attempt)
            worst = Spend(member.reserved_microusd, member.reserved_tokens, 1)
            (self._desk.budget.correct if member.counted else self._desk.budget.settle)(worst, Spend())
            self._open.pop(member.key, None)
        batch.members.clear()
        await self._note(batch, journal.DONE, "not ordered")

    def _refusal(self, why: str) -> Fatal:
        return Fatal(
            f"{self._desk.host} does not take a batch of {self._desk.name!r}: {why[:300].strip()}. Mend that, or ask "
            "online: leave can_wait_h out, or run with --online."
        )

    async def _patiently(self, step: Callable[[], Awaitable[T]]) -> T:
        """Take a step that may be repeated, until it is answered.

        Raises Unanswered when what it asks for is wrong or is not there, Fatal when nothing can be asked for, or when
        patience has ended.
        """
        ends = time.monotonic() + PATIENCE_S
        wait_s = min(FIRST_WAIT_S, self._terms.poll_s)
        while True:
            try:
                return await step()
            except Unanswered as error:
                kind = _kind(error)
                if kind == "permanent" or error.status == 404:
                    raise
                if kind == "fatal":
                    raise self._refusal(str(error)) from None
                if time.monotonic() >= ends:
                    raise Fatal(
                        f"{self._desk.host} no longer answers about a batch of {self._desk.name!r}, last with "
                        f"{str(error)[:300].strip()!r}; run again to go on with it."
                    ) from None
                await self._pause(error.retry_after_s or wait_s * self._jitter.uniform(0.5, 1))
                wait_s = min(LONGEST_WAIT_S, 2 * wait_s)

    async def _note(self, batch: Batch, step: str, said: str = "") -> None:
        await self._desk.store.note_step(batch.number, self._desk.name, step, said)

    def _name(self, batch: Batch) -> str:
        """A batch's name at the host: no other batch of any run, or of a copy of this one, has it."""
        return f"synth-{self._identity}-{batch.number}-{batch.plan.token}"

    def _member_name(self, attempt: int) -> str:
        return f"{self._identity}-{attempt}"

    def _attempt_of(self, name: str) -> int:
        """The attempt of a name that `_member_name` gave; 0 for others."""
        identity, _, attempt = name.rpartition("-")
        return int(attempt) if identity == self._identity and attempt.isdecimal() else 0


def _kind(error: Unanswered) -> str:
    """The failure class of a step that was not answered well."""
    kind = classify(error.status, str(error)) if error.status else "transient"
    return "permanent" if kind == "teacher_refused" else kind  # no prompt was asked here
