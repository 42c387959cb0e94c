"""The run as one function: open the store, ask through the line, select, split, write."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from synth import seeds, up_to_date
from synth.account import Account
from synth.backends import Backend
from synth.backends.descriptors import usable_in_flight
from synth.backends.online import online
from synth.backends.practice.faults import faults_of
from synth.backends.replay import ReplayRun, replay
from synth.budget import Budget
from synth.datasets.card import write_card
from synth.datasets.export import Written, write_dataset, write_rejected
from synth.diversity import MOST_CHARACTERS, MOST_ROWS, Diversity, measured
from synth.endpoint import REPLAY, Endpoint
from synth.errors import AccountStopped, Fatal, FolderError, Interrupted, Stalled, StoreStopped
from synth.fingerprint import accepted, fingerprint, hold_to, marked, salt_of
from synth.halt import Halt
from synth.judges import Judges
from synth.line import Enough, Line
from synth.manifest import (
    DrawsRecord,
    Manifest,
    RecipeRecord,
    RungRecord,
    SeedsRecord,
    StageRecord,
    State,
    read_manifest,
    teacher_record,
    versions,
    write_manifest,
)
from synth.outcomes import Outcomes
from synth.progress import Progress, StageCount
from synth.recipe import LoadedRecipe, Stage
from synth.report.clusters import clusters
from synth.report.notebook import in_a_notebook, in_words
from synth.report.page import write_report
from synth.savings import Saved, saved
from synth.scheduler import watched
from synth.screen import Screen
from synth.seed_spool import SeedSpool
from synth.selection import select
from synth.split import deal
from synth.store import Ledger, Store
from synth.teacher import Teacher
from synth.turns import in_turns
from synth.types import Outcome, Rejection, Request, Sample
from synth.up_to_date import Whole
from synth.validators.repetition import looping

WINDOW_PER_SLOT = 2
GARBAGE_OBJECTS = 50_000
EXAMPLES = 12
PARKED_EXIT = 3
LAST_ID = "~"
"""Comes after every id, as they are made of digits and slashes."""
SHORTEST_PATIENCE_S = 600.0


class Offline(Fatal):
    """Only what is stored is used."""

    exit_code = 0


@dataclass(frozen=True, slots=True)
class Options:
    """How to go about a run."""

    folder: Path | None = None
    """The run folder; the recipe's own choice, or `runs/<name>`, when None."""
    limit: int | None = None
    """The most seeds to read."""
    salt: str = ""
    """Another word asks everything anew."""
    reuse: tuple[Path, ...] = ()
    """Folders of earlier runs, whose stored replies need not be bought again."""
    retry: bool = False
    """Ask again for what failed for good: poisonous requests, and those the endpoint found wrong."""
    offline: bool = False
    """Send nothing: write what the store holds."""
    accept_change: bool = False
    """Go on although what the store's answers were asked with has changed."""
    write: bool = True
    """Whether to write the dataset; a preview only looks at it."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a run left, and how it ended."""

    folder: Path
    manifest: Manifest
    exit_code: int
    message: str
    """Why it ended early, or had nothing to do; empty for a whole run."""
    examples: list[Sample]
    """A few rows, spread over the run."""
    rejections: list[Rejection]
    """A few of every reason."""

    @property
    def dataset(self) -> Path:
        """The folder that `datasets.load_dataset` reads."""
        return self.folder / "dataset"

    @property
    def report(self) -> Path:
        """The HTML page."""
        return self.folder / "report.html"

    def __repr__(self) -> str:
        return in_words(self.manifest, self.folder, self.message)

    def _repr_html_(self) -> str:
        """For a notebook: https://ipython.readthedocs.io/en/stable/config/integrating.html"""
        return in_a_notebook(self.manifest, self.folder, self.message)


Observer = Callable[[Progress, Halt], None]


def run_folder(loaded: LoadedRecipe, options: Options) -> Path:
    """The folder a run lives in."""
    return options.folder or Path(loaded.recipe.output.folder or f"runs/{loaded.recipe.name}")


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
    return await asyncio.to_thread(up_to_date.inputs, loaded, options.limit, options.salt)


def _nothing_to_do(folder: Path, whole: Whole) -> Result:
    manifest = read_manifest(folder / "manifest.json")
    message = f"Nothing to do: {manifest.row_count:,} rows are up to date."
    return Result(folder, manifest, 0, message, list(whole.examples), list(whole.rejections))


async def _made(loaded: LoadedRecipe, store: Store, options: Options, observe: Observer | None) -> Result:
    """Ask for what the store lacks, and write the outputs."""
    began, started = time.monotonic(), _now()
    folder = store.folder
    async with _spool(loaded, store, options) as spool:
        screen = await asyncio.to_thread(Screen, loaded)
        if options.write:
            now = fingerprint(loaded, spool.marks, options.salt)
            await hold_to(store, now, _now(), accept=options.accept_change)
        halt = Halt()
        store.watch(halt.throw)
        if options.offline:
            halt.throw(Offline("Only stored replies are used."))
        else:
            await store.open_run()
        if options.retry:
            await store.forgive()
        async with (
            _collecting_seldom(),
            _budget(loaded, store, halt, options) as budget,
            _teachers(loaded, store, budget, halt, options) as teachers,
        ):
            stages = {stage.name: StageCount(_most_draws(stage)) for stage in loaded.recipe.stages}
            progress = Progress(stages, teachers, budget, spool.unique, warning=_fit_descriptors(teachers))
            if observe is not None:
                observe(progress, halt)
            outcomes = Outcomes(folder / "outcomes.db", halt.throw)
            try:
                line = _line(loaded, store, outcomes, progress, halt, screen)
                whole = options.limit is None
                going = in_turns(line, lambda: screen.seeds(spool), offline=options.offline, whole=whole)
                await watched(going, progress.pulse, _patience_s(loaded))
                if isinstance(halt.error, StoreStopped):
                    raise halt.error  # what room is left is for replies
                await store.note("finished", _now())
                kept = _would_lose(loaded, folder, outcomes, _state(halt, progress)) if options.write else ""
                with _target(folder, vanishing=bool(kept) or not options.write) as target:
                    written = _write(loaded, target, outcomes, screen)
                    if not options.write:
                        written = replace(written, notice="")  # a preview deals nothing out
                    seconds = time.monotonic() - began
                    manifest = _manifest(loaded, store, progress, halt, screen, written, started, seconds)
                    write_manifest(target / "manifest.json", manifest)
                    write_card(target, manifest, written.written)
                    told = clusters(manifest, loaded.recipe, outcomes)
                    write_report(
                        target / "report.html", manifest, written.examples, written.rejections, written.twins, told
                    )
            except Stalled as error:
                (folder / "stalled.txt").write_text(error.stacks, encoding="utf-8")
                raise
            finally:
                outcomes.close()
    exit_code, message = _ending(progress, halt)
    wanted = loaded.recipe.selection.rows
    if whole and wanted is not None and manifest.row_count < wanted and not message:
        message = _too_few(manifest, wanted, progress.turns)
    unreturned = "" if isinstance(halt.error, AccountStopped) else budget.unreturned
    message = " ".join(said for said in (message, kept, unreturned) if said)
    return Result(folder, manifest, exit_code, message, written.examples, written.rejections)


@contextmanager
def _target(folder: Path, *, vanishing: bool) -> Generator[Path]:
    """Where the outputs go: a preview's vanish again."""
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
    loaded: LoadedRecipe, store: Store, outcomes: Outcomes, progress: Progress, halt: Halt, screen: Screen
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
        journal=halt.error is None,
        scan=store.resumed,
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
async def _budget(loaded: LoadedRecipe, store: Store, halt: Halt, options: Options) -> AsyncGenerator[Budget]:
    """What the run may use; at its end it holds no more of a shared account than it spent."""
    caps, account = loaded.recipe.budget, None
    if caps.account and not options.offline:
        run = store.meta("account_run") or uuid.uuid4().hex
        await store.note("account_run", run)  # on disk first: money is never held for a run that nobody knows
        account = await asyncio.to_thread(Account, Path(caps.account), run, store.folder, store.spent().microusd)
    if not options.offline:
        await store.note("caps", caps.model_dump_json())
    budget = Budget(caps, store.spent(), account=account)
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
async def _teachers(
    loaded: LoadedRecipe, store: Store, budget: Budget, halt: Halt, options: Options
) -> AsyncGenerator[Mapping[str, Teacher]]:
    """Every teacher of the recipe, ready to be asked."""
    async with AsyncExitStack() as stack:
        earlier = [ReplayRun(path) for path in options.reuse]
        for run in earlier:
            stack.callback(run.close)
        teachers: dict[str, Teacher] = {}
        for name, endpoint in loaded.recipe.teachers.items():
            backends = [
                await _backend(member, loaded.folder, stack, offline=options.offline) for member in endpoint.members()
            ]
            teachers[name] = Teacher(
                name,
                endpoint,
                backends=backends,
                store=store,
                budget=budget,
                halt=halt,
                salt=options.salt,
                earlier=earlier,
            )
            teachers[name].settle_leftovers()
        yield teachers


def _patience_s(loaded: LoadedRecipe) -> float:
    """How long nothing may come back: longer than any request may take."""
    deadlines_s = (endpoint.limits.deadline_s for endpoint in loaded.recipe.teachers.values())
    return max(SHORTEST_PATIENCE_S, 1.5 * max(deadlines_s))


def _fit_descriptors(teachers: Mapping[str, Teacher]) -> str:
    """Lower what the teachers have in flight to what this process may open; a sentence when that was needed."""
    # the embedded practice teacher holds the other end of its connections too
    lanes = [(lane, 1 + each.endpoint.is_practice) for each in teachers.values() for lane in each.admission.lanes]
    wanted = sum(lane.concurrency.most * ends for lane, ends in lanes)
    usable, warning = usable_in_flight(wanted)
    if warning:
        for lane, _ in lanes:
            lane.concurrency.lower_most(max(1, lane.concurrency.most * usable // wanted))
    return warning


async def _backend(endpoint: Endpoint, folder: Path, stack: AsyncExitStack, *, offline: bool) -> Backend:
    if offline:
        return Nobody()
    if endpoint.base_url.startswith(REPLAY):
        return replay(endpoint.base_url, folder)
    base_url = endpoint.base_url
    if endpoint.is_practice:
        from synth.backends.practice.server import practice_server  # brings a whole web server

        base_url = await stack.enter_async_context(practice_server(faults_of(endpoint.base_url)))
    return await stack.enter_async_context(online(endpoint, base_url, looping))


class Nobody:
    """Answers nothing: for work on what is stored."""

    async def send(self, request: Request) -> Outcome:
        """Never called, as a halted run does not send."""
        raise AssertionError(request.teacher)


@dataclass(frozen=True, slots=True)
class _Written:
    written: Written
    not_selected: dict[str, int]
    examples: list[Sample]
    rejections: list[Rejection]
    twins: dict[str, Sample]
    """Samples that were kept in place of the shown duplicates."""
    notice: str
    judges: Judges
    diversity: tuple[Diversity, ...]


def _write(loaded: LoadedRecipe, folder: Path, outcomes: Outcomes, screen: Screen) -> _Written:
    """Select, split and write; everything in id order, so that the same outcomes give the same bytes."""
    every = (one for one in select(outcomes.accepted(), loaded.recipe.selection) if isinstance(one, Sample))
    dealt = deal(((one.seed_id, one.question() or one.answer()) for one in every), loaded.recipe.split)
    only = next(iter(loaded.recipe.split.fractions))
    refused: list[str] = []
    examples: list[Sample] = []
    texts: list[tuple[str, str]] = []
    judges = Judges(loaded.recipe)
    shown: Counter[str] = Counter()
    rejections: list[Rejection] = []
    end = LAST_ID

    def rows() -> Iterator[tuple[str, Sample]]:
        nonlocal end
        made, stride, wide = 0, 1, 1
        for chosen in select(outcomes.accepted(), loaded.recipe.selection):
            if judges.names:
                judges.see(chosen)
            if isinstance(chosen, Rejection):
                refused.append(chosen.reason)
                outcomes.reject(chosen)
                continue
            if made % stride == 0:
                examples.append(chosen)
            if made % wide == 0:
                texts.append((chosen.question()[:MOST_CHARACTERS], chosen.answer()[:MOST_CHARACTERS]))
            made += 1
            if len(texts) > 2 * MOST_ROWS:
                del texts[1::2]
                wide *= 2
            if len(examples) > 2 * EXAMPLES:  # every second one goes, so that they stay spread over the run
                del examples[1::2]
                stride *= 2
            if made == loaded.recipe.selection.rows:
                end = f"{chosen.parent_id}/{LAST_ID}"
            yield dealt.splits.get(chosen.seed_id, only), chosen

    def shown_rejections(every: Iterable[Rejection]) -> Iterator[Rejection]:
        for rejection in every:
            if rejection.id > end:
                return  # how far the run went beyond the last wanted row depends on timing
            shown[rejection.reason] += 1
            if shown[rejection.reason] <= 3:
                rejections.append(rejection)
            yield rejection

    models = {stage.name: loaded.recipe.teachers[stage.generator.teacher].model for stage in loaded.recipe.stages}
    written = write_dataset(rows(), folder, models)
    write_rejected(screen.reviewed(shown_rejections(outcomes.rejected()), folder), folder / "rejected.jsonl")
    twins = {rejection.twin_id: outcomes.known_as(rejection.twin_id) for rejection in rejections if rejection.twin_id}
    known = {name: sample for name, sample in twins.items() if sample is not None}
    few = min(EXAMPLES, len(examples))
    shown_rows = [examples[place * len(examples) // few] for place in range(few)]
    return _Written(
        written, dict(Counter(refused)), shown_rows, rejections, known, dealt.notice, judges, measured(texts)
    )


def _manifest(
    loaded: LoadedRecipe,
    store: Store,
    progress: Progress,
    halt: Halt,
    screen: Screen,
    written: _Written,
    started: str,
    seconds: float,
) -> Manifest:
    recipe = loaded.recipe
    ledger = tuple(store.ledger())
    refused = dict(sorted(progress.refused_seeds.items()))
    repeated = refused.pop("repeated_seed", 0)
    teachers = tuple(
        teacher_record(name, endpoint, progress.teachers[name].served) for name, endpoint in recipe.teachers.items()
    )
    return Manifest(
        versions=versions(),
        state=_state(halt, progress),
        practice=any(teacher.is_practice for teacher in teachers),
        recipe=RecipeRecord(
            name=recipe.name,
            language=recipe.language,
            license=recipe.license,
            sha256=loaded.sha256,
            text=recipe.model_dump_json(indent=2),
            templates=loaded.templates.sources(),
        ),
        seeds=SeedsRecord(
            identity=seeds.describe(recipe.seeds, loaded.folder),
            count=progress.seeds,
            repeated=repeated,
            refused=refused,
            turns=progress.turns,
        ),
        teachers=teachers,
        stages=tuple(
            StageRecord(
                name=name,
                units=count.units,
                drafts=count.drafts,
                accepted=count.accepted,
                rejected={reason: number for reason, number in sorted(count.rejected.items()) if number},
                parked=count.parked,
                called_back=count.called_back,
                twins=screen.twins[name].summary() if name in screen.twins else None,
                semantic=screen.meanings[name].summary() if name in screen.meanings else None,
                draws=_draws_record(count) if count.pass_rates else None,
                rungs={rung: RungRecord(**asdict(count.rungs[rung])) for rung in sorted(count.rungs)},
            )
            for name, count in progress.stages.items()
        ),
        saved=_saved(loaded, progress, ledger),
        decontamination=screen.record(),
        neighbours=None if screen.neighbours is None else screen.neighbours.record(),
        not_selected=written.not_selected,
        rows=written.written.rows,
        scores=written.written.scores,
        judges=written.judges.records({name: teacher.served for name, teacher in progress.teachers.items()}),
        diversity=written.diversity,
        notice=f"{written.written.notice} {written.notice}".strip(),
        ledger=ledger,
        budget_microusd=recipe.cap_microusd(),
        caps=recipe.budget,
        changes=accepted(store),
        limited_by_reservation_s=round(progress.budget.limited_s, 3),
        started=started,
        finished=_now(),
        seconds=round(seconds, 3),
    )


def _saved(loaded: LoadedRecipe, progress: Progress, ledger: tuple[Ledger, ...]) -> Saved | None:
    if all(stage.dedupe is None for stage in loaded.recipe.stages[:-1]):
        return None
    counts = progress.stages
    drafts = {name: count.drafts for name, count in counts.items()}
    return saved(drafts, {name: count.rejected for name, count in counts.items()}, ledger)


def _most_draws(stage: Stage) -> int:
    return stage.draws if isinstance(stage.draws, int) else stage.draws.most


def _draws_record(count: StageCount) -> DrawsRecord:
    prompts = count.pass_rates.total()
    return DrawsRecord(
        prompts=prompts,
        most=prompts * count.draws,
        made=count.units,
        pass_rates=tuple(count.pass_rates[tenth] for tenth in range(11)),
        hard=count.hard,
        hard_empty=count.empty,
    )


def _state(halt: Halt, progress: Progress) -> State:
    error = halt.error
    if error is None or isinstance(error, Enough):
        return "partial" if progress.parked() else "complete"
    if isinstance(error, Offline):
        return "partial" if progress.unfinished() else "complete"
    if isinstance(error, Interrupted):
        return "interrupted"
    return "stopped_by_budget" if error.exit_code == 6 else "failed"


def _ending(progress: Progress, halt: Halt) -> tuple[int, str]:
    """Exit code and reason."""
    error = halt.error
    if error is not None and error.exit_code:
        return error.exit_code, str(error)
    missing = progress.unfinished()
    if isinstance(error, Offline) and missing:
        return PARKED_EXIT, f"At least {missing} samples have no stored reply; `synth run` asks for them."
    parked = progress.parked()
    if parked and error is None:
        return PARKED_EXIT, (
            f"{parked} samples got no usable reply and are parked; run again to ask for them once more (`synth retry` "
            "asks also for those that failed in the same way each time)."
        )
    if not progress.rows:
        reasons = ", ".join(f"{reason} {count}" for reason, count in progress.rejected().most_common(3))
        return 0, f"No row was made; everything was refused ({reasons}): see rejected.jsonl or `synth show --rejected`."
    return 0, ""


def _too_few(manifest: Manifest, wanted: int, turns: int) -> str:
    over = "The seeds were taken once" if turns == 1 else f"The seeds were gone over {turns} times"
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in list(manifest.rejected.items())[:3])
    return (
        f"{manifest.row_count:,} of {wanted:,} rows: {over}, and another turn would bring too little"
        f"{f' (refused: {reasons})' if reasons else ''}; add seeds, or loosen what refuses most."
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
