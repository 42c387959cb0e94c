"""The run as one function: open the store, ask through the line, select, split, write.

A prompt goes one way: `line.py` streams seeds through the stages, `making.py` makes the samples of one unit,
`ladder.py` says whom it asks, `boundary.py` calls the plug-in, `ask.py` is all that a plug-in may do, `teacher.py`
tells its request's life, `sending.py` what a send of it takes; then `gates/` let the samples through in order.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from synth import seeds
from synth.admission.halt import Halt
from synth.admission.scheduler import WINDOW_PER_SLOT, beside, watched
from synth.apart import Apart
from synth.aside import Aside
from synth.boundary import Boundary
from synth.datasets.card import load_card, write_card
from synth.datasets.export import load_parquet
from synth.datasets.tokenizers import note_tokenizers
from synth.errors import AccountStopped, FolderError, Stalled, StoreStopped
from synth.gates.screen import Screen
from synth.language.text import several
from synth.line import Line
from synth.live.progress import Progress, StageCount
from synth.opening import budgeted, fit_descriptors, opened
from synth.own import OwnValidator
from synth.recipes.fingerprint import fingerprint, hold_to, marked, note_acceptance, salt_of
from synth.recipes.recipe import LoadedRecipe, Recipe, Stage
from synth.report.browser import Listing
from synth.report.clusters import clusters
from synth.report.page import load_template, write_report
from synth.results import outputs, up_to_date
from synth.results.decisions import Decision, read_decisions
from synth.results.ending import NOTHING, Ending, Offline, Told, ending_of, in_both, kept_instead, state_of, wanting
from synth.results.manifest import Manifest, read_manifest, versions, write_manifest
from synth.results.outcomes import NAME, Outcomes
from synth.results.outputs import NONE_DECIDED, Outputs, Times
from synth.results.pilot import Piloting
from synth.results.result import Observer, Options, Result, run_folder
from synth.results.up_to_date import Known, Whole
from synth.seeds.spool import SeedSpool
from synth.storage.store import Store
from synth.turns import in_turns

WAITING_WINDOW = 50_000
"""Of a stage that can wait: as much as the largest batch takes."""
GARBAGE_OBJECTS = 50_000
CONNECTED_S = 0.03
"""How long it takes at most, as a rule, from the first send until its connection is open."""
SHORTEST_PATIENCE_S = 600.0
QUIET_S = 3600.0
"""How long nothing at all may move while no teacher is asked: longer than anything that is done between requests."""


async def run(loaded: LoadedRecipe, options: Options | None = None, observe: Observer | None = None) -> Result:
    """Make the dataset of a recipe. Running again goes on where the store ends, and sends nothing that it holds.

    When a whole run would be made again from the same, to the same outputs, nothing is done at all; and when only
    what is done with its samples is another now, they are not made again.

    `observe` receives the live counters and the switch that stops the run, before the first request.
    Raises RecipeError for seeds that cannot be read and for changes that nobody accepted, FolderError for a folder that
    cannot be used, StoreStopped when its disk fails on the way, Fatal when a teacher cannot even be opened, Stalled
    when the run hangs. Whatever else stops a run later is in the result, with what had been made by then.
    """
    options = options or Options()
    folder = run_folder(loaded, options)
    if options.offline and not (folder / "run.db").exists():
        raise FolderError(f"There is no run in {folder}; run the recipe first.")
    async with _collecting_seldom(), _store(folder, loaded) as store:
        if options.offline or options.retry:
            options = replace(options, salt=options.salt or salt_of(store))
        inputs, known = await _inputs(loaded, options), Known.NOTHING
        if inputs is not None and not options.retry:
            whole, known = await asyncio.to_thread(up_to_date.recall, store, loaded, inputs)
            if whole is not None and known is Known.OUTPUTS:
                return _nothing_to_do(folder, whole)
        if known is Known.OUTCOMES:
            result = await _written_anew(loaded, store, options)
        else:
            result = await _made(loaded, store, options, observe, keep=inputs is not None)
        if inputs is not None and (folder / NAME).exists() and inputs == await _inputs(loaded, options):
            await up_to_date.remember(store, inputs, result)
        return result


async def _inputs(loaded: LoadedRecipe, options: Options) -> dict[str, str] | None:
    """What decides the outputs; None when that cannot be told, or there are to be none."""
    if not options.write:
        return None
    return await asyncio.to_thread(up_to_date.inputs, loaded, options.limit, options.salt, options.decisions)


def _nothing_to_do(folder: Path, whole: Whole) -> Result:
    manifest = read_manifest(folder / "manifest.json")
    message = f"Nothing to do: the dataset is up to date, with {several(manifest.row_count, 'row')}."
    return Result(folder, manifest, 0, message, list(whole.examples), list(whole.rejections))


@dataclass(frozen=True, slots=True)
class _Given:
    """What a run is given."""

    loaded: LoadedRecipe
    store: Store
    options: Options
    decisions: Mapping[str, Decision]
    spool: SeedSpool
    began: float
    started: str

    @property
    def recipe(self) -> Recipe:
        return self.loaded.recipe


@dataclass(frozen=True, slots=True)
class _Run:
    """What a run asks with."""

    given: _Given
    line: Line
    pilot: Piloting | None
    open: AsyncExitStack
    """What is open for asking alone."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What came of the asking."""

    outcomes: Outcomes
    ending: Ending
    record: Callable[[], Manifest]
    """What is to be told of it, once rows and rejections are written."""
    screen: Screen | None = None
    pilot: Piloting | None = None


async def _made(
    loaded: LoadedRecipe, store: Store, options: Options, observe: Observer | None, *, keep: bool
) -> Result:
    """Ask for what the store lacks, and write the outputs; `keep` what became of the samples once all are made."""
    async with _begun(loaded, store, options, observe) as run:
        try:
            await _ask(run)
            failed = await _closed(run)
            asked = _asked(run)
            with _target(run.given, vanishing=asked.ending.kept != NOTHING) as target:
                manifest, written = _write(run.given, asked, target)
        except Stalled as error:
            (store.folder / "stalled.txt").write_text(error.stacks, encoding="utf-8")
            raise
        if failed is not None:
            raise failed
        if keep and _lacks_nothing(run.given, asked, manifest):
            asked.outcomes.keep(manifest.model_dump_json().encode())
    budget, is_stopped = run.line.progress.budget, isinstance(run.line.halt.error, AccountStopped)
    if budget.unreturned:  # who only writes anew gives nothing back
        (store.folder / NAME).unlink(missing_ok=True)
    return _result(run.given, asked, manifest, written, "" if is_stopped else budget.unreturned)


async def _written_anew(loaded: LoadedRecipe, store: Store, options: Options) -> Result:
    """Write the outputs from what became of the samples before."""
    async with _given(loaded, store, options) as given:
        outcomes = Outcomes(store.folder / NAME, _models(loaded.recipe), kept=True)
        try:
            before = Manifest.model_validate_json(outcomes.manifest())
            asked = _Asked(outcomes, Ending(), lambda: outputs.recorded_anew(before, loaded))
            manifest, written = _write(given, asked, store.folder)
        finally:
            outcomes.close()
    return _result(given, asked, manifest, written)


@asynccontextmanager
async def _given(loaded: LoadedRecipe, store: Store, options: Options) -> AsyncGenerator[_Given]:
    """Read decisions and seeds."""
    began, started, identity = time.monotonic(), _now(), store.meta("identity") or ""
    decisions = NONE_DECIDED if options.decisions is None else read_decisions(options.decisions, identity)
    async with _spool(loaded, store, options) as spool:
        yield _Given(loaded, store, options, decisions, spool, began, started)


@asynccontextmanager
async def _begun(
    loaded: LoadedRecipe, store: Store, options: Options, observe: Observer | None
) -> AsyncGenerator[_Run]:
    """All that a run needs, opened: its seeds, its budget, its teachers, and what becomes of its samples."""
    recipe, halt = loaded.recipe, Halt()
    async with _given(loaded, store, options) as given:
        spool, screen = given.spool, await asyncio.to_thread(Screen, loaded)
        await _hold_store(loaded, store, options, spool, halt)
        async with (
            budgeted(recipe.budget, store, halt, offline=options.offline) as budget,
            AsyncExitStack() as asking,
        ):
            answering = opened(recipe.teachers, loaded.folder, store, budget, halt, options, recipe.waited_for())
            teachers = await asking.enter_async_context(answering)
            if not options.offline:
                await note_tokenizers(loaded, store)
            stages = {stage.name: StageCount(_most_draws(stage)) for stage in recipe.stages}
            progress = Progress(stages, teachers, budget, spool.unique, warning=fit_descriptors(teachers))
            pilot = None if options.pilot is None else Piloting(spool, options.pilot, teachers)
            if observe is not None:
                observe(progress, halt)
            outcomes = Outcomes(store.folder / NAME, _models(recipe), halt.throw)
            try:
                waits = recipe.waits() if options.write else {}  # who looks at a few rows does so now
                line = _line(loaded, store, outcomes, progress, halt, screen, waits)
                progress.held_by = lambda: [*line.apart.slow(), *line.aside.slow()]
                asking.push_async_callback(line.apart.end)
                asking.push_async_callback(line.aside.end)
                yield _Run(given, line, pilot, asking)
            finally:
                outcomes.close()


async def _hold_store(loaded: LoadedRecipe, store: Store, options: Options, spool: SeedSpool, halt: Halt) -> None:
    """Hold what is asked to what the store's answers were asked with, and count this run."""
    if options.write:
        now = fingerprint(loaded, spool.marks, options.salt)
        await hold_to(store, now, _now(), accept=options.accept_change)
        await note_acceptance(store, loaded.recipe, _now())
    store.watch(halt.throw)
    if options.offline:
        halt.throw(Offline("Only stored replies are used."))
    else:
        await store.open_run([name for name, endpoint in loaded.recipe.teachers.items() if endpoint.recover])
    if options.retry:
        await store.forgive()


async def _ask(run: _Run) -> None:
    """Send the seeds through the line. Raises Stalled when nothing comes back, StoreStopped when the disk refuses."""
    line, pilot, given = run.line, run.pilot, run.given
    whole = given.options.limit is None and pilot is None
    async with beside(_prepare(line)):
        going = in_turns(line, lambda: line.screen.seeds(given.spool if pilot is None else pilot.seeds()), whole=whole)
        going = watched(going, line.progress.moved, QUIET_S)
        await watched(going, line.progress.pulse, _patience_s(given.recipe))
    if isinstance(line.halt.error, StoreStopped):
        raise line.halt.error  # what room is left is for replies
    await given.store.note("finished", _now())


async def _closed(run: _Run) -> Exception | None:
    """Close what was open for asking, and give back its memory; what that raised, for when the outputs are written."""
    failed = None
    try:
        await run.open.aclose()
    except Exception as error:  # noqa: BLE001 (raised in the end)
        failed = error
    run.given.store.asked()
    run.line.screen.rest()
    _give_back_memory()
    return failed


def _asked(run: _Run) -> _Asked:
    """What came of the asking, which is over."""
    given, line = run.given, run.line
    line.outcomes.settle()
    ending = ending_of(line, kept_instead(line, given.store.folder) if given.options.write else NOTHING)

    def record() -> Manifest:
        return outputs.record(given.loaded, given.store, line.progress, line.screen, state_of(line))

    return _Asked(line.outcomes, ending, record, line.screen, run.pilot)


def _write(given: _Given, asked: _Asked, target: Path) -> tuple[Manifest, Outputs]:
    """Write rows and rejections, what stands beside them, and the record of it all."""
    loaded, store, decisions = given.loaded, given.store, given.decisions
    written = outputs.write(loaded, target, asked.outcomes, asked.screen, decisions)
    if asked.pilot is not None:
        asked.pilot.look(target)
    if not given.options.write:
        written = replace(written, notice="", notice_ja="")  # a preview deals nothing out
    beside = outputs.beside(loaded, store, target, views=given.options.write)
    times = Times(given.started, _now(), time.monotonic() - given.began)
    manifest = outputs.with_written(asked.record(), written, decisions, times)
    manifest = outputs.with_beside(manifest, beside)
    message, message_ja = in_both((_wanting(given, asked, manifest), asked.ending.of_no_use))
    manifest = manifest.model_copy(update={"message": message, "message_ja": message_ja})
    write_manifest(target / "manifest.json", manifest)
    write_card(target, manifest, written.written, written.examples)
    told = clusters(manifest, loaded.recipe, asked.outcomes)
    decided = [one.told() for one in decisions.values()]
    listing = Listing(target, store.meta("identity") or "", manifest.listed, given.spool.pieces(), decided)
    shown = (written.examples, written.rejections, written.twins)
    write_report(target / "report.html", manifest, *shown, told, listing, store.pace())
    return manifest, written


def _wanted(given: _Given, asked: _Asked) -> int | None:
    """How many rows are to be made; None where that is not said, or few of the seeds are taken."""
    return given.recipe.selection.rows if given.options.limit is None and asked.pilot is None else None


def _wanting(given: _Given, asked: _Asked, manifest: Manifest) -> Told:
    options, rows = given.options, _wanted(given, asked)
    return wanting(asked.ending, manifest, rows=rows, offline=options.offline, written=options.write)


def _lacks_nothing(given: _Given, asked: _Asked, manifest: Manifest) -> bool:
    """Whether all samples were made that will be."""
    enough = manifest.row_count >= (_wanted(given, asked) or 0)
    return manifest.state == "complete" and enough and not asked.ending.lacks


def _result(given: _Given, asked: _Asked, manifest: Manifest, written: Outputs, unreturned: str = "") -> Result:
    """What is told of the run when all is closed; `unreturned` is what an account did not get back."""
    message = " ".join(filter(None, (_wanting(given, asked, manifest)[0], asked.ending.of_no_use[0], unreturned)))
    is_whole = manifest.state == "complete" and _wanting(given, asked, manifest) == NOTHING and not unreturned
    pilot = None if asked.pilot is None else asked.pilot.told()
    shown = (written.examples, written.rejections)
    exit_code = asked.ending.exit_code
    return Result(given.store.folder, manifest, exit_code, message, *shown, pilot, given.options.write, is_whole)


async def _prepare(line: Line) -> None:
    """Do what writing needs and takes a while, and depends on no reply, while the first ones are waited for."""

    def prepare() -> None:
        load_parquet()
        load_template()
        load_card(line.recipe.language)
        versions()  # which asks the system
        up_to_date.made_with()

    while not any(teacher.health.sends for teacher in line.teachers.values()):  # noqa: ASYNC110 (each would have to tell)
        await asyncio.sleep(CONNECTED_S)
    await asyncio.sleep(CONNECTED_S)
    await asyncio.to_thread(prepare)


def _give_back_memory() -> None:
    """Return to the system what the asking has left free: what writing takes would come on top of it."""
    with suppress(OSError, AttributeError):  # other C libraries than glibc do so by themselves, or not at all
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def _target(given: _Given, *, vanishing: bool) -> Generator[Path]:
    """Where the outputs go; those that are only looked at vanish again, unless they are wanted elsewhere."""
    if not vanishing and (given.options.write or given.options.into):
        yield given.options.into or given.store.folder
        return
    with tempfile.TemporaryDirectory() as elsewhere:
        yield Path(elsewhere)


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
    boundary = Boundary(halt)
    own = [one for stage in loaded.recipe.stages for one in stage.validators if isinstance(one, OwnValidator)]
    line = Line(
        recipe=loaded.recipe,
        templates=loaded.templates,
        teachers=progress.teachers,
        store=store,
        outcomes=outcomes,
        progress=progress,
        halt=halt,
        boundary=boundary,
        apart=Apart(own, loaded.folder, boundary, halt),
        aside=Aside(),
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
            path = str(loaded.path.absolute()).encode("utf-8", "backslashreplace").decode()
            await asyncio.gather(store.note("recipe", loaded.recipe.name), store.note("path", path))
        yield store
    finally:
        store.close()


@asynccontextmanager
async def _collecting_seldom() -> AsyncGenerator[None]:
    """What a request leaves is freed by counting references: looking for cycles as often as Python does by itself would
    take a tenth of the time. Of several runs in one process the first puts back what it found."""
    before = gc.get_threshold()
    gc.set_threshold(GARBAGE_OBJECTS, *before[1:])
    try:
        yield
    finally:
        if before[0] != GARBAGE_OBJECTS:
            gc.set_threshold(*before)


def _patience_s(recipe: Recipe) -> float:
    """How long nothing may come back: longer than any request may take."""
    deadlines_s = (endpoint.limits.deadline_s for endpoint in recipe.teachers.values())
    return max(SHORTEST_PATIENCE_S, 1.5 * max(deadlines_s))


def _models(recipe: Recipe) -> dict[str, str]:
    """The model that answers in each stage."""
    return {stage.name: recipe.teachers[stage.generator.teacher].model for stage in recipe.stages}


def _most_draws(stage: Stage) -> int:
    return stage.draws if isinstance(stage.draws, int) else stage.draws.most


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
