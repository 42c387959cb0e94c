"""What a run asks with, opened and closed again: its budget, and every teacher with what answers for it."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from synth.admission.gauges import watch
from synth.admission.halt import Halt
from synth.admission.scheduler import beside
from synth.backends import Backend
from synth.backends.batch import Orders
from synth.backends.descriptors import usable_in_flight
from synth.backends.online import online
from synth.backends.practice.faults import faults_of
from synth.backends.replay import ALL, ReplayRun, replay
from synth.batches.batch import batches
from synth.batches.batch_journal import has_open
from synth.batches.course import BatchDesk
from synth.errors import FolderError
from synth.money.account import Account
from synth.money.budget import Budget, Caps
from synth.money.prices import UNKNOWN
from synth.protocol.endpoint import LOCAL, REPLAY, Endpoint
from synth.protocol.outgoing import Translate, translation
from synth.results.result import Options
from synth.sending import Sender
from synth.storage.store import Store
from synth.teacher import Teacher
from synth.types import Outcome, Request
from synth.validators.repetition import looping

GIVEN = "given"
"""The note in a store of which earlier runs it was given."""


@asynccontextmanager
async def budgeted(caps: Caps, store: Store, halt: Halt, *, offline: bool = False) -> AsyncGenerator[Budget]:
    """What the run may use; at its end it holds no more of a shared account than it spent."""
    account = None
    if caps.account and not offline:
        run = store.meta("account_run") or uuid.uuid4().hex
        await store.note("account_run", run)  # on disk first: money is never held for a run that nobody knows
        account = await asyncio.to_thread(Account, Path(caps.account), run, store.folder, store.spent().microusd)
    if not offline:
        await store.note("caps", caps.model_dump_json())
    budget = Budget(caps, store.spent(), account=account, note=store.note)
    halt.tell(budget.give_up)
    timer = None
    if caps.hours is not None:
        timer = asyncio.get_running_loop().call_later(caps.hours * 3600, lambda: halt.throw(budget.time_is_up()))
    try:
        yield budget
    finally:
        if timer is not None:
            timer.cancel()
        if account is not None:
            # what was cut off on its way may have been paid for
            try:
                await asyncio.to_thread(account.give_back, budget.spent_microusd + budget.reserved_microusd)
            except FolderError as error:  # no reason to lose what was made
                budget.unreturned = f"{error} It still holds money for this run, which running again gives back."


@asynccontextmanager
async def opened(
    endpoints: Mapping[str, Endpoint],
    folder: Path,
    store: Store,
    budget: Budget,
    halt: Halt,
    options: Options,
    waited_for: Collection[str] = (),
) -> AsyncGenerator[Mapping[str, Teacher]]:
    """Every teacher by its name, ready to be asked; paths count from `folder`. Some can be `waited_for`."""
    async with AsyncExitStack() as stack:
        earlier = [] if options.offline else await _earlier(store, options, stack)
        opening = _Opening(folder, store, budget, halt, options, waited_for, earlier, stack)
        for name, endpoint in endpoints.items():
            await opening.open(name, endpoint)
        yield opening.teachers


async def _earlier(store: Store, options: Options, stack: AsyncExitStack) -> list[ReplayRun]:
    """The earlier runs whose replies are taken over: those that are named, and those that were when this run began or
    went on. Raises FolderError when one that is named is not there, StoreStopped when the disk refuses."""
    before = [Path(path) for path in json.loads(store.meta(GIVEN) or "[]")]
    given = list(dict.fromkeys([*(path.absolute() for path in options.reuse), *before]))
    runs: list[ReplayRun] = []
    for path in given:
        if path in before and not (path / "run.db").exists():
            options.say(
                f"{path}, which was given with --reuse, is gone: what was not yet taken from there is asked anew."
            )
            continue
        run = ReplayRun(path)
        stack.callback(run.close)
        if store.forgiven or options.retry:  # what had failed for good is asked again, wherever it had
            run.forgiven = ALL
        runs.append(run)
    if given != before:
        await store.note(GIVEN, json.dumps([str(path) for path in given]))
    return runs


@dataclass(frozen=True, slots=True)
class _Opening:
    """What teachers are opened with, and those that are open."""

    folder: Path
    store: Store
    budget: Budget
    halt: Halt
    options: Options
    waited_for: Collection[str]
    earlier: Sequence[ReplayRun]
    stack: AsyncExitStack
    teachers: dict[str, Teacher] = field(default_factory=dict[str, Teacher])

    async def open(self, name: str, endpoint: Endpoint) -> None:
        """Reach what answers for a teacher, then take in what earlier runs left of it."""
        members = endpoint.members()
        urls = [await self._base_url(member) for member in members]
        # one after the other: each vLLM takes what the ones before have left of a GPU
        logs = [self.store.folder / f"vllm-{name}{place or ''}.log" for place in range(len(members))]
        found = [await self._backend(member, url, log) for member, url, log in zip(members, urls, logs, strict=True)]
        backends = [backend for backend, _ in found]
        sender = Sender(name, endpoint, backends=backends, store=self.store, budget=self.budget, halt=self.halt)
        self.teachers[name] = teacher = Teacher(sender, salt=self.options.salt, earlier=self.earlier)
        if endpoint.recover and not self.options.offline:
            from synth.backends.recovery import recover  # brings a whole HTTP client

            await recover(name, zip(members, urls, strict=True), self.store)
        teacher.settle_leftovers()
        if self.options.offline:
            return
        for (_, there), lane in zip(found, teacher.admission.lanes, strict=True):
            told = partial(teacher.admission.told, lane)
            await self.stack.enter_async_context(beside(watch(there, told, self.halt.sleep)))
        waits = name in self.waited_for or has_open(self.store.folder / "run.db", name)
        if waits and endpoint.known.batch is not None:
            teacher.batches = await self.stack.enter_async_context(batches(await self._desk(teacher, urls[0])))

    async def _base_url(self, endpoint: Endpoint) -> str:
        """Where an endpoint answers: for the embedded practice teacher a server that is started here."""
        if self.options.offline or not endpoint.is_practice:
            return endpoint.base_url
        from synth.backends.practice.server import practice_server  # brings a whole web server

        return await self.stack.enter_async_context(practice_server(faults_of(endpoint.base_url)))

    async def _backend(self, endpoint: Endpoint, url: str, log: Path) -> tuple[Backend, Endpoint]:
        """What answers for an endpoint, and the endpoint as it is reached: vLLM of the run's own has an address by
        then."""
        if self.options.offline:
            return Nobody(), endpoint
        if endpoint.base_url.startswith(REPLAY):
            return replay(endpoint.base_url, self.folder), endpoint
        if endpoint.base_url.startswith(LOCAL):
            from synth.backends.local import LocalModel

            path = self.folder / endpoint.base_url.removeprefix(LOCAL)
            return await asyncio.to_thread(LocalModel, path), endpoint
        if endpoint.is_own:
            from synth.backends.own_vllm import own_vllm

            vllm = own_vllm(endpoint, self.folder, log, self.halt, self.options.say, looping)
            life = await self.stack.enter_async_context(vllm)
            return life, life.endpoint
        return await self.stack.enter_async_context(online(endpoint, url, looping)), endpoint

    async def _desk(self, teacher: Teacher, url: str) -> BatchDesk:
        """What the batches of a teacher are ordered with at the host that answers there."""
        from synth.backends.batch.hosts import orders  # brings a whole HTTP client

        endpoint = teacher.endpoint
        assert endpoint.known.batch is not None
        at_host: Orders = await self.stack.enter_async_context(orders(endpoint, url))
        return BatchDesk(
            name=teacher.name,
            host=endpoint.host,
            orders=at_host,
            terms=endpoint.known.batch,
            price=endpoint.known_price() or UNKNOWN,
            store=self.store,
            budget=self.budget,
            halt=self.halt,
            settle=teacher.settle,
            moving=self._moving,
            wording=partial(_worded, translation(endpoint)),
            patient=bool(self.waited_for),
        )

    def _moving(self) -> tuple[int, int]:
        """How many requests of the run are on the wire, and how many ever landed."""
        every = self.teachers.values()
        return sum(each.admission.in_flight for each in every), sum(each.landed for each in every)


def _worded(translate: Translate | None, path: str, body: bytes) -> bytes:
    """A request's body in its host's own words; a batch is a tier of its own."""
    if translate is None:
        return body
    return translate(Request(b"", "", "", body, 0, 0, 0, path=path, is_standard=True)).body


class Nobody:
    """Answers nothing: for work on what is stored."""

    async def send(self, request: Request) -> Outcome:
        """Never called, as a halted run does not send."""
        raise AssertionError(request.teacher)


def fit_descriptors(teachers: Mapping[str, Teacher]) -> str:
    """Lower what the teachers have in flight to what this process may open; a sentence when that was needed."""
    # the embedded practice teacher holds the other end of its connections too
    lanes = [(lane, 1 + each.endpoint.is_practice) for each in teachers.values() for lane in each.admission.lanes]
    wanted = sum(lane.concurrency.most * ends for lane, ends in lanes)
    usable, warning = usable_in_flight(wanted)
    if warning:
        for lane, _ in lanes:
            lane.concurrency.lower_most(max(1, lane.concurrency.most * usable // wanted))
    return warning
