"""The run as one function: open the store, ask through the line, select, split, write."""

from __future__ import annotations

import asyncio
import gc
import random
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Generator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path

import orjson

from synth.admission.gauges import watch
from synth.admission.halt import Halt
from synth.admission.scheduler import beside, watched
from synth.backends import Backend
from synth.backends.batch import Orders
from synth.backends.descriptors import usable_in_flight
from synth.backends.online import online
from synth.backends.practice.faults import faults_of
from synth.backends.replay import ReplayRun, replay
from synth.batches.batch import Desk, batches
from synth.batches.batch_journal import has_open
from synth.datasets.card import write_card
from synth.datasets.export import load_parquet
from synth.datasets.tokenizers import note_tokenizers
from synth.errors import AccountStopped, Fatal, FolderError, Interrupted, Stalled, StoreStopped
from synth.gates.screen import Screen
from synth.line import Enough, Line
from synth.live.progress import Progress, StageCount
from synth.money.account import Account
from synth.money.budget import Budget, Caps
from synth.money.prices import UNKNOWN
from synth.protocol.endpoint import LOCAL, REPLAY, Endpoint
from synth.protocol.outgoing import Translate, translation
from synth.recipes import seeds, up_to_date
from synth.recipes.fingerprint import fingerprint, hold_to, marked, note_acceptance, salt_of
from synth.recipes.recipe import LoadedRecipe, Stage
from synth.recipes.seed_spool import SeedSpool
from synth.recipes.up_to_date import Whole
from synth.report.browser import Listing
from synth.report.clusters import clusters
from synth.report.page import load_template, write_report
from synth.results import outputs
from synth.results.decisions import read_decisions
from synth.results.manifest import (
    Manifest,
    State,
    read_manifest,
    write_manifest,
)
from synth.results.outcomes import Outcomes
from synth.results.outputs import NONE_DECIDED
from synth.results.result import Observer, Options, Pilot, Result, run_folder
from synth.results.selection import select
from synth.storage.store import Store
from synth.teacher import Teacher
from synth.turns import in_turns
from synth.types import Fields, Outcome, Request, Sample, Seed
from synth.validators.repetition import looping

WINDOW_PER_SLOT = 2
WAITING_WINDOW = 50_000
"""Of a stage that can wait: as much as the largest batch takes."""
GARBAGE_OBJECTS = 50_000
PREPARE_AFTER_S = 0.1
"""When the first requests are on their way."""
PARKED_EXIT = 3
SHORTEST_PATIENCE_S = 600.0


class Offline(Fatal):
    """Only what is stored is used."""

    exit_code = 0


async def run(loaded: LoadedRecipe, options: Options | None = None, observe: Observer | None = None) -> Result:
    """Make the dataset of a recipe. Running again goes on where the store ends, and sends nothing that it holds.

    When a whole run would be made again from the same, to the same outputs, nothing is done at all.

    `observe` receives the live counters and the switch that stops the run, before the first request.
    Raises RecipeError for seeds that cannot be read and for changes that nobody accepted, FolderError for a folder that
    cannot be used, StoreStopped when its disk fails on the way, Fatal when a teacher cannot even be opened, Stalled
    when the run hangs. Whatever else stops a run later is in the result, with what had been made by then.
    """
    options = options or Options()
    folder = run_folder(loaded, options)
    if options.offline and not (folder / "run.db").exists():
        raise FolderError(f"There is no run in {folder}; run the recipe first.")
    async with _store(folder, loaded) as store:
        if options.offline or options.retry:
            options = replace(options, salt=options.salt or salt_of(store))
        inputs = await _inputs(loaded, options)
        if inputs is not None and not options.retry:
            whole = await asyncio.to_thread(up_to_date.recall, store, loaded, inputs)
            if whole is not None:
                return _nothing_to_do(folder, whole)
        result = await _made(loaded, store, options, observe)
        is_whole = result.manifest.state == "complete" and not result.message
        if is_whole and inputs is not None and inputs == await _inputs(loaded, options):
            await up_to_date.remember(store, loaded, inputs, result.examples, result.rejections)
        return result


async def _inputs(loaded: LoadedRecipe, options: Options) -> dict[str, str] | None:
    """What decides the outputs; None when that cannot be told, or there are to be none."""
    if not options.write:
        return None
    return await asyncio.to_thread(up_to_date.inputs, loaded, options.limit, options.salt, options.decisions)


def _nothing_to_do(folder: Path, whole: Whole) -> Result:
    manifest = read_manifest(folder / "manifest.json")
    message = f"Nothing to do: {manifest.row_count:,} rows are up to date."
    return Result(folder, manifest, 0, message, list(whole.examples), list(whole.rejections))


async def _made(loaded: LoadedRecipe, store: Store, options: Options, observe: Observer | None) -> Result:
    """Ask for what the store lacks, and write the outputs."""
    began, started = time.monotonic(), _now()
    folder, run = store.folder, store.meta("identity") or ""
    decisions = NONE_DECIDED if options.decisions is None else read_decisions(options.decisions, run)
    async with _spool(loaded, store, options) as spool:
        screen = await asyncio.to_thread(Screen, loaded)
        if options.write:
            now = fingerprint(loaded, spool.marks, options.salt)
            await hold_to(store, now, _now(), accept=options.accept_change)
            await note_acceptance(store, loaded.recipe, _now())
        halt = Halt()
        store.watch(halt.throw)
        if options.offline:
            halt.throw(Offline("Only stored replies are used."))
        else:
            await store.open_run([name for name, endpoint in loaded.recipe.teachers.items() if endpoint.recover])
        if options.retry:
            await store.forgive()
        async with (
            _collecting_seldom(),
            budgeted(loaded.recipe.budget, store, halt, offline=options.offline) as budget,
            opened(
                loaded.recipe.teachers, loaded.folder, store, budget, halt, options, loaded.recipe.waited_for()
            ) as teachers,
        ):
            if not options.offline:
                await note_tokenizers(loaded, store)
            stages = {stage.name: StageCount(_most_draws(stage)) for stage in loaded.recipe.stages}
            progress = Progress(stages, teachers, budget, spool.unique, warning=fit_descriptors(teachers))
            if options.pilot is not None:
                for teacher in teachers.values():
                    teacher.heard = set()
            if observe is not None:
                observe(progress, halt)
            models = {
                stage.name: loaded.recipe.teachers[stage.generator.teacher].model for stage in loaded.recipe.stages
            }
            outcomes = Outcomes(folder / "outcomes.db", models, halt.throw)
            try:
                waits = loaded.recipe.waits() if options.write else {}  # who looks at a few rows does so now
                line = _line(loaded, store, outcomes, progress, halt, screen, waits)
                whole = options.limit is None and options.pilot is None
                _prepare_while_asking()
                picked, twins = dict[str, int](), Counter[str]()
                taken = spool if options.pilot is None else _spread(spool, options.pilot, picked)
                going = in_turns(line, lambda: screen.seeds(taken), whole=whole)
                await watched(going, progress.pulse, _patience_s(loaded))
                if isinstance(halt.error, StoreStopped):
                    raise halt.error  # what room is left is for replies
                await store.note("finished", _now())
                kept = _would_lose(loaded, folder, outcomes, _state(halt, line)) if options.write else ""
                with _target(
                    options.into or folder, vanishing=bool(kept or not (options.write or options.into))
                ) as target:
                    written = outputs.write(loaded, target, outcomes, screen, decisions)
                    if options.pilot is not None:
                        picked |= Counter(str(row["seed_id"]) for row in _records(target / "rows.jsonl"))
                        twins += _twins_across(target / "rejected.jsonl")
                    if not options.write:
                        written = replace(written, notice="")  # a preview deals nothing out
                    beside = outputs.beside(loaded, store, target, views=options.write)
                    seconds = time.monotonic() - began
                    manifest = outputs.record(
                        loaded,
                        store,
                        progress,
                        screen,
                        written,
                        decisions,
                        state=_state(halt, line),
                        started=started,
                        finished=_now(),
                        seconds=seconds,
                    )
                    manifest = outputs.with_beside(manifest, beside)
                    write_manifest(target / "manifest.json", manifest)
                    write_card(target, manifest, written.written, written.examples)
                    told = clusters(manifest, loaded.recipe, outcomes)
                    decided = [one.told() for one in decisions.values()]
                    listing = Listing(target, run, manifest.listed, spool.pieces(), decided)
                    write_report(
                        *(target / "report.html", manifest, written.examples, written.rejections, written.twins),
                        *(told, listing),
                    )
            except Stalled as error:
                (folder / "stalled.txt").write_text(error.stacks, encoding="utf-8")
                raise
            finally:
                outcomes.close()
    exit_code, message = _ending(halt, line)
    wanted = loaded.recipe.selection.rows
    if whole and wanted is not None and manifest.row_count < wanted and not message:
        message = _too_few(manifest, wanted, offline=options.offline)
    unreturned = "" if isinstance(halt.error, AccountStopped) else budget.unreturned
    message = " ".join(said for said in (message, _waiting(progress), kept, unreturned) if said)
    pilot = None if options.pilot is None else _piloted(picked, twins, spool.unique, teachers)
    return Result(folder, manifest, exit_code, message, written.examples, written.rejections, pilot, options.write)


def _piloted(picked: Mapping[str, int], twins: Mapping[str, int], of: int, teachers: Mapping[str, Teacher]) -> Pilot:
    keys = frozenset(key for teacher in teachers.values() for key in teacher.heard or ())
    found = {
        name: sum(lane.concurrency.limit for lane in one.admission.lanes)
        for name, one in teachers.items()
        if one.landed
    }
    return Pilot(picked, of, twins, keys, found)


def _twins_across(path: Path) -> Counter[str]:
    """How many samples of each stage were refused as twins of what another seed brought."""
    refused = ((one, str(one["twin_id"] or "")) for one in _records(path))
    return Counter(str(one["stage"]) for one, twin in refused if twin and twin.partition("/")[0] != one["seed_id"])


def _records(path: Path) -> Iterator[Fields]:
    with path.open("rb") as lines:
        yield from map(orjson.loads, lines)


def spread(of: int, count: int) -> set[int]:
    """So many places, one in each of as many equal parts, and the same ones each time."""
    chance = random.Random(0)  # noqa: S311 (chooses, guards nothing): evenly would fall in step with a grid's axes
    parts = max(1, min(count, of))
    ends = [part * of // parts for part in range(parts + 1)]
    return {low + int(chance.random() * (high - low)) for low, high in pairwise(ends)}


def _spread(spool: SeedSpool, count: int, picked: dict[str, int]) -> Iterator[Seed]:
    """The seeds of a pilot; notes them in `picked`."""
    places = spread(spool.unique, count)
    for place, seed in enumerate(one for one in spool if isinstance(one, Seed)):
        if place in places:
            picked[seed.id] = 0
            yield seed


def _prepare_while_asking() -> None:
    """Do what writing needs and takes a while, and depends on no reply."""

    def prepare() -> None:
        load_parquet()
        load_template()

    loop = asyncio.get_running_loop()
    loop.call_later(PREPARE_AFTER_S, loop.run_in_executor, None, prepare)


@contextmanager
def _target(folder: Path, *, vanishing: bool) -> Generator[Path]:
    """Where the outputs go; those that are only looked at vanish again."""
    if not vanishing:
        yield folder
        return
    with tempfile.TemporaryDirectory() as elsewhere:
        yield Path(elsewhere)


def _would_lose(loaded: LoadedRecipe, folder: Path, outcomes: Outcomes, state: State) -> str:
    """A sentence when an unfinished run without rows would take the place of a dataset with some; else empty."""
    rows = folder / "rows.jsonl"
    if state == "complete" or not rows.is_file() or rows.stat().st_size == 0:
        return ""
    if any(isinstance(chosen, Sample) for chosen in select(outcomes.accepted(), loaded.recipe.selection)):
        return ""
    return f"No row was made, so the earlier dataset in {folder} stays as it is."


def _line(
    loaded: LoadedRecipe,
    store: Store,
    outcomes: Outcomes,
    progress: Progress,
    halt: Halt,
    screen: Screen,
    waits: Mapping[str, float],
) -> Line:
    teachers = loaded.recipe.teachers.values()
    window = WINDOW_PER_SLOT * max(each.limits.max_in_flight * len(each.members()) for each in teachers)
    line = Line(
        recipe=loaded.recipe,
        templates=loaded.templates,
        teachers=progress.teachers,
        store=store,
        outcomes=outcomes,
        progress=progress,
        halt=halt,
        screen=screen,
        window=window,
        waits=waits,
        windows=dict.fromkeys(waits, max(window, WAITING_WINDOW)),
        journal=halt.error is None,
        resumed=store.resumed,
    )
    line.start_counting(0)
    return line


@asynccontextmanager
async def _spool(loaded: LoadedRecipe, store: Store, options: Options) -> AsyncGenerator[SeedSpool]:
    """The seeds, all read and found sound before anything is sent."""
    marks, limit = marked(store), options.limit
    # a change below the limit shows in the hash up to it, or in the next that an earlier run kept
    until = None if limit is None else min((mark for mark in marks if mark >= limit), default=limit)
    every = seeds.read(loaded.recipe.seeds, loaded.folder, until)
    spool = await asyncio.to_thread(SeedSpool, store.folder / "seeds.db", every, marks, limit)
    try:
        yield spool
    finally:
        spool.close()


@asynccontextmanager
async def _store(folder: Path, loaded: LoadedRecipe) -> AsyncGenerator[Store]:
    """The store of the run folder, which belongs to one recipe."""
    store = Store(folder)
    try:
        owner = store.meta("recipe")
        if owner not in (None, loaded.recipe.name):
            raise FolderError(f"{folder} holds a run of the recipe {owner!r}; choose another folder with --out.")
        if owner is None:
            await store.note("recipe", loaded.recipe.name)
            path = str(loaded.path.absolute()).encode("utf-8", "backslashreplace").decode()
            await store.note("path", path)
        yield store
    finally:
        store.close()


@asynccontextmanager
async def _collecting_seldom() -> AsyncGenerator[None]:
    """What a request leaves is freed by counting references: looking for cycles as often as Python does by itself would
    take a tenth of the time."""
    before = gc.get_threshold()
    gc.set_threshold(GARBAGE_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


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
        earlier = [ReplayRun(path) for path in options.reuse]
        for run in earlier:
            stack.callback(run.close)
        teachers: dict[str, Teacher] = {}
        for name, endpoint in endpoints.items():
            members = endpoint.members()
            urls = [await _base_url(member, stack, offline=options.offline) for member in members]
            # one after the other: each vLLM takes what the ones before have left of a GPU
            logs = [store.folder / f"vllm-{name}{place or ''}.log" for place in range(len(members))]
            found = [
                await _backend(member, url, folder, log, stack, halt, options)
                for member, url, log in zip(members, urls, logs, strict=True)
            ]
            teachers[name] = teacher = Teacher(
                name,
                endpoint,
                backends=[backend for backend, _ in found],
                store=store,
                budget=budget,
                halt=halt,
                salt=options.salt,
                earlier=earlier,
            )
            if endpoint.recover and not options.offline:
                from synth.recovery import recover  # brings a whole HTTP client

                await recover(name, zip(members, urls, strict=True), store)
            teacher.settle_leftovers()
            if not options.offline:
                for (_, there), lane in zip(found, teacher.admission.lanes, strict=True):
                    await stack.enter_async_context(beside(watch(there, lane, halt.sleep)))
            waits = name in waited_for or has_open(store.folder / "run.db", name)
            if waits and endpoint.known.batch is not None and not options.offline:
                desk = Desk(
                    name=name,
                    host=endpoint.host,
                    orders=await _orders(endpoint, urls[0], stack),
                    terms=endpoint.known.batch,
                    price=endpoint.known_price() or UNKNOWN,
                    store=store,
                    budget=budget,
                    halt=halt,
                    settle=teacher.settle,
                    moving=lambda: (
                        sum(each.admission.in_flight for each in teachers.values()),
                        sum(each.landed for each in teachers.values()),
                    ),
                    wording=partial(_worded, translation(endpoint)),
                    patient=bool(waited_for),
                )
                teacher.batches = await stack.enter_async_context(batches(desk))
        yield teachers


def _worded(translate: Translate | None, path: str, body: bytes) -> bytes:
    """A request's body in its host's own words; a batch is a tier of its own."""
    if translate is None:
        return body
    return translate(Request(b"", "", "", body, 0, 0, 0, path=path, is_standard=True)).body


async def _orders(endpoint: Endpoint, base_url: str, stack: AsyncExitStack) -> Orders:
    from synth.backends.batch.hosts import orders  # brings a whole HTTP client

    return await stack.enter_async_context(orders(endpoint, base_url))


def _patience_s(loaded: LoadedRecipe) -> float:
    """How long nothing may come back: longer than any request may take."""
    deadlines_s = (endpoint.limits.deadline_s for endpoint in loaded.recipe.teachers.values())
    return max(SHORTEST_PATIENCE_S, 1.5 * max(deadlines_s))


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


async def _base_url(endpoint: Endpoint, stack: AsyncExitStack, *, offline: bool) -> str:
    """Where an endpoint answers: for the embedded practice teacher a server that is started here."""
    if offline or not endpoint.is_practice:
        return endpoint.base_url
    from synth.backends.practice.server import practice_server  # brings a whole web server

    return await stack.enter_async_context(practice_server(faults_of(endpoint.base_url)))


async def _backend(
    endpoint: Endpoint, url: str, folder: Path, log: Path, stack: AsyncExitStack, halt: Halt, options: Options
) -> tuple[Backend, Endpoint]:
    """What answers for an endpoint, and the endpoint as it is reached: vLLM of the run's own has an address by then."""
    if options.offline:
        return Nobody(), endpoint
    if endpoint.base_url.startswith(REPLAY):
        return replay(endpoint.base_url, folder), endpoint
    if endpoint.base_url.startswith(LOCAL):
        from synth.backends.local import LocalModel

        return await asyncio.to_thread(LocalModel, folder / endpoint.base_url.removeprefix(LOCAL)), endpoint
    if endpoint.is_own:
        from synth.backends.own_vllm import own_vllm

        life = await stack.enter_async_context(own_vllm(endpoint, folder, log, halt, options.say, looping))
        return life, life.endpoint
    return await stack.enter_async_context(online(endpoint, url, looping)), endpoint


class Nobody:
    """Answers nothing: for work on what is stored."""

    async def send(self, request: Request) -> Outcome:
        """Never called, as a halted run does not send."""
        raise AssertionError(request.teacher)


def _most_draws(stage: Stage) -> int:
    return stage.draws if isinstance(stage.draws, int) else stage.draws.most


def _state(halt: Halt, line: Line) -> State:
    error, progress = halt.error, line.progress
    if error is None or isinstance(error, Enough | Offline):
        undone = not line.has_enough and progress.unfinished()
        return "partial" if undone or progress.parked() else "complete"
    if isinstance(error, Interrupted):
        return "interrupted"
    return "stopped_by_budget" if error.exit_code == 6 else "failed"


def _ending(halt: Halt, line: Line) -> tuple[int, str]:
    """Exit code and reason."""
    error, progress = halt.error, line.progress
    if error is not None and error.exit_code:
        return error.exit_code, str(error)
    missing, parked = (0, 0) if line.has_enough else (progress.unfinished(), progress.parked())
    if missing:
        return PARKED_EXIT, f"At least {missing} samples have no stored reply; `synth run` asks for them."
    if parked:
        return PARKED_EXIT, (
            f"{parked} samples got no usable reply and are parked; run again to ask for them once more (`synth retry` "
            "asks also for those that failed in the same way each time)."
        )
    if not progress.rows:
        reasons = ", ".join(f"{reason} {count}" for reason, count in progress.rejected().most_common(3))
        return 0, f"No row was made; everything was refused ({reasons}): see rejected.jsonl or `synth show --rejected`."
    return 0, ""


def _waiting(progress: Progress) -> str:
    """What was left at hosts for the next run to collect; a sentence, or empty."""
    left = [one.batches.left for one in progress.teachers.values() if one.batches is not None and one.batches.left]
    if not left:
        return ""
    return f"{'; '.join(left)}: run again to collect what they bring, or with --online to wait no longer."


def _too_few(manifest: Manifest, wanted: int, *, offline: bool) -> str:
    turns = manifest.seeds.turns
    over = "The seeds were taken once" if turns == 1 else f"The seeds were gone over {turns} times"
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in list(manifest.rejected.items())[:3])
    told = f"{manifest.row_count:,} of {wanted:,} rows: {over}"
    if offline:
        return f"{told}; `synth run` draws them again while that brings more."
    return (
        f"{told}, and another turn would bring too little{f' (refused: {reasons})' if reasons else ''}; add seeds, or "
        "loosen what refuses most."
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
