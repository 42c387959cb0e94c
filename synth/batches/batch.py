"""What a teacher is asked by batch: gathered, ordered, watched, collected, and the rest handed back to be asked online.

Money is set aside for a request that can wait, and it is gathered. A batch is ordered when it is full, or when nothing
moves any more: nothing is on the wire and nothing new has come for a moment, so that whatever else the run waits for
waits for this. Its attempts are journalled with it in one commit. What follows stands in `course.py`.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from synth.admission.scheduler import first_of
from synth.backends.batch import Unanswered
from synth.batches import batch_journal as journal
from synth.batches.batch_journal import Batch, Member, Plan
from synth.batches.course import BatchDesk, Course, Crowded, Left, Waiters, refusal
from synth.errors import Fatal, FolderError, StoreStopped
from synth.language.text import several
from synth.money.prices import by_batch, recorded
from synth.types import Planned, Request, Spend

LULL_S = 2.0
"""How long nothing may have moved before what was gathered is ordered."""
LINE_BYTES = 256
"""What a line of a batch's file has beside the request, at most."""


class Waiting(NamedTuple):
    """A gathered request."""

    planned: Planned
    worst: Spend

    @property
    def bytes(self) -> int:
        """Of its line in a batch's file, at most."""
        return len(self.planned.request.body) + LINE_BYTES


@asynccontextmanager
async def batches(desk: BatchDesk) -> AsyncGenerator[Batches]:
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

    def __init__(self, desk: BatchDesk, group: asyncio.TaskGroup) -> None:
        self.arrived = 0
        self._desk = desk
        self._terms = desk.terms
        self._group = group
        self._jitter = random.Random()  # noqa: S311 (spreads polls, guards nothing)
        self._price = by_batch(desk.price, desk.terms.factor).model_dump_json()
        self._tariff = recorded(self._price)
        self._gathered: dict[tuple[str, float], list[Waiting]] = {}
        self._bytes = 0
        self._waiters = Waiters()
        self._again: set[bytes] = set()
        """Requests that are waited for and are to be gathered once more."""
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
                await self._course(one).release()
                continue
            if one.plan.host != desk.host:
                raise Fatal(
                    f"A batch of {several(len(one.members), 'request')} of the teacher {desk.name!r} is at "
                    f"{one.plan.host}, and it is asked at {desk.host} now: run once more with the base_url it had, "
                    "to collect what is paid for, or choose another folder with --out."
                )
            self._waiters.open |= dict.fromkeys((member.key for member in one.members.values()), one)
            self._group.create_task(self._seen_through(one))

    @property
    def waiting(self) -> int:
        """Requests that are gathered or in a batch."""
        return len(self._waiters.open) + sum(map(len, self._gathered.values()))

    @property
    def left(self) -> tuple[int, int]:
        """How many requests are at the host still, in how many batches."""
        return len(self._waiters.open), len({id(batch) for batch in self._waiters.open.values()})

    def takes(self, request: Request, wait_s: float) -> bool:
        """Whether a request is for a batch, or in one."""
        if request.key in self._waiters.open:
            return True
        return wait_s > 0 and request.path in self._terms.paths and len(request.body) + LINE_BYTES <= self._most_bytes

    async def bring(self, request: Request, stage: str, unit: str, priority: int, wait_s: float) -> None:
        """Have a batch bring the reply to a request that it takes; return when the store has what came of it.

        Raises the reason of a halt: then it is not ordered, or left at the host for the next run.
        """
        while True:
            if request.key not in self._waiters.open:
                await self._set_aside(request, stage, unit, priority, wait_s)
            self._desk.halt.check()
            comes = self._waiters.comes[request.key] = asyncio.get_running_loop().create_future()
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
                if not on_wire and now == before and not (self._alone and self._waiters.open):
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
                self._waiters.send_away(one.planned.request.key, error)
            return None
        batch = Batch(number, plan, {}, len(some))
        for attempt, (request, worst) in enumerate(((one.planned.request, one.worst) for one in some), first):
            batch.members[attempt] = Member(
                attempt, request.key, worst.microusd, worst.tokens, self._price, counted=False
            )
            self._waiters.open[request.key] = batch
        return batch

    def _give_up(self, reason: Fatal) -> None:
        """Send everybody away: what was gathered is not ordered, and what has not come at a last look is for the next
        run to collect."""
        self._last.set()
        gathered, self._gathered = self._gathered, {}
        for one in [one for some in gathered.values() for one in some]:
            self._desk.budget.settle(one.worst, Spend())
            self._waiters.send_away(one.planned.request.key, reason)

    def _course(self, batch: Batch) -> Course:
        return Course(self._desk, batch, self._waiters, self._last, self._jitter)

    async def _seen_through(self, batch: Batch) -> None:
        """From its plan to the last of its replies."""
        keys, course, halt = [member.key for member in batch.members.values()], self._course(batch), self._desk.halt
        try:
            await self._gone(course)
        except Left:
            pass
        except Fatal as error:
            halt.throw(error)
        except Unanswered as error:
            halt.throw(refusal(self._desk, str(error)))
        except FolderError as error:
            halt.throw(StoreStopped(str(error)))
        except OSError as error:
            why = f"A batch could not be written in {self._desk.store.folder} ({error})"
            halt.throw(StoreStopped(f"{why}; nothing of it was sent. Mend that and run again."))
        if halt.error is not None:
            for key in keys:
                self._waiters.send_away(key, halt.error)

    async def _gone(self, course: Course) -> None:
        """Let a batch go its way; gather anew what is more than the host lets stand in line: half as much goes at once,
        and one at a time."""
        try:
            await course.go()
        except Crowded as error:
            others = any(batch is not course.batch for batch in self._waiters.open.values())
            if course.batch.size == 1 and self._alone and not others:
                await course.void(str(error))
            self._alone, self._most = True, max(1, min(self._most, course.batch.size // 2))
            await course.hand_back(str(error), self._gather_anew)

    def _gather_anew(self, members: Sequence[Member]) -> None:
        self._again |= {member.key for member in members if member.key in self._waiters.comes}
        self._waiters.tell(members)
