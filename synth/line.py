"""The stages as one streaming line: generate and validate side by side, gate in order, score, hand on."""

from __future__ import annotations

import asyncio
import itertools
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from synth.admission.halt import Halt
from synth.admission.scheduler import Channel, gathered, in_order, together
from synth.ask import ANEW_DRAWS, RAISED_CAP, TURN_DRAWS, UnitAsk
from synth.comparing.agreement import PASS_RATE, Adaptive, Draw, pass_rate, still_needed
from synth.errors import Fatal, FolderError, Interrupted, Rejected, TeacherError, Transient
from synth.gates.gate import Drawn, Gate, Group, Results, Scored, Work, grouped
from synth.gates.screen import Screen
from synth.language.answers import final_answer
from synth.live.progress import Progress
from synth.protocol.lots import Lot
from synth.recipes.recipe import Recipe, Stage
from synth.recipes.templates import Templates
from synth.results.outcomes import Outcomes
from synth.results.selection import Selection
from synth.scorers import Scorer
from synth.storage.store import Store
from synth.teacher import Teacher, Unit
from synth.types import Draft, Fields, Rejection, Sample, Score, Seed

if TYPE_CHECKING:
    from synth.gates.nearness import Nearness

OURS = str(Path(__file__).parent)
T = TypeVar("T")
W = TypeVar("W", Work, Group)

SEED_BATCH = 256
WINDOW_PER_ROW = 2
MOST_PLUGIN_ERRORS = 5
ONE_EXCHANGE = 3
"""Turns of a row that has no more than a system turn, a question and its answer."""
BEYOND_ANY = ("plugin_error", "empty_question", "empty_answer", "no_reference", "no_verdict", "template_error")
"""Reasons that no teacher's answer would change: a judge that failed says nothing of the answer."""
BEYOND_ASKING = ("permanent", "invalid_output")
"""Reasons that asking the same teacher anew does not change, or that it was asked about already."""
CUT_SHORT = {"truncated", "truncated_empty"}
UNVERIFIABLE = "no_reference"
"""Why a verifier refuses whatever answers a prompt: the seed lacks what it compares with."""
ENDINGS = (asyncio.CancelledError, SystemExit)
"""What plug-in code may raise that would end a task, or the loop, without a word."""


class Enough(Fatal):
    """As many rows as were wanted are there."""

    exit_code = 0


@dataclass(slots=True)
class Line:
    """Everything one pass over the seeds works with."""

    recipe: Recipe
    templates: Templates
    teachers: Mapping[str, Teacher]
    store: Store
    outcomes: Outcomes
    progress: Progress
    halt: Halt
    screen: Screen
    window: int
    waits: Mapping[str, float] = field(default_factory=dict[str, float])
    """How many seconds the stages that can wait do so for a batch."""
    windows: Mapping[str, int] = field(default_factory=dict[str, int])
    """Of those stages: a wider one lets more into each batch."""
    journal: bool = True
    """Whether parked units are written down; an export only reads."""
    plugin_errors: int = 0
    resumed: bool = False
    """Whether replies of an earlier run may be in the store."""
    waiting: set[str] = field(default_factory=set[str])
    """Units of later steps that nothing came of yet."""
    idle: int = 0
    """First-stage units left undone in a row since the run stopped sending."""
    wanted_parent: str = ""
    wanted_of_parent: int = 0
    wanted: int = 0
    """Rows that selection will find, as far as the line has come."""
    most: int = sys.maxsize
    """The widest window, so that little is bought beyond the wanted rows."""

    async def run(
        self, seeds: Iterator[Seed | Rejection], called: Mapping[str, Sequence[Rejection]] = MappingProxyType({})
    ) -> None:
        """Send all seeds through all stages, and what is called back, by stage, from the gate on.

        Raises FolderError when the store cannot be written; failures of the teacher end up in `halt` and `progress`.
        """
        stages = self.recipe.stages
        out: Channel[Sample] = Channel(self.window)
        parts = [self._stage(0, stages[0], self._seeds(seeds), out, called.get(stages[0].name, ()))]
        for index, stage in enumerate(stages[1:], 1):
            before, out = out, Channel[Sample](self.window)
            parts.append(self._stage(index, stage, aiter(before), out, called.get(stage.name, ())))
        await together(*parts, self._finish(aiter(out)))

    async def _seeds(self, seeds: Iterator[Seed | Rejection]) -> AsyncIterator[Seed]:
        """Seeds as they are needed, read off the loop; ends early when nothing more will be sent."""
        while batch := await asyncio.to_thread(lambda: list(itertools.islice(seeds, SEED_BATCH))):
            for seed in batch:
                if isinstance(seed, Rejection):
                    self.progress.refuse_seed(seed.reason)
                    self.outcomes.reject(seed)
                    continue
                if isinstance(self.halt.error, Enough) or (self.idle >= self.window and not self._may_lie_ahead()):
                    return
                self.progress.seeds += not seed.turn
                yield seed

    def _may_lie_ahead(self) -> bool:
        """Whether, though nothing is sent any more, outcomes may lie behind seeds of which nothing came: those of
        stored replies, and of seeds that are refused unasked. Where no reply ever came, or on Ctrl-C, nobody waits."""
        answered = self.resumed or any(teacher.served for teacher in self.teachers.values())
        return answered and not isinstance(self.halt.error, Interrupted)

    async def _stage(
        self,
        index: int,
        stage: Stage,
        parents: AsyncIterator[Seed | Sample],
        out: Channel[Sample],
        called: Sequence[Rejection],
    ) -> None:
        """One stage: its steps run side by side, with the ordered gate after the first."""
        window = min(self.windows.get(stage.name, self.window), self.most)
        passed: Channel[Sample] = out if not stage.scorers else Channel(window)
        near = self._nearness(index, stage, passed, called)
        is_last = near is None and not stage.scorers
        gate = Gate(self, stage, passed if near is None else Channel(window), is_last=is_last)

        async def generate() -> None:
            rule, late = stage.draws, self.store.passed_over(stage.name)
            units = _units(parents, 1 if isinstance(rule, Adaptive) else rule)
            if late:
                units = _late_last(units, late)
            if isinstance(rule, int) and rule > 1 and self._shares_prompts(stage):
                sets = max(1, min(window, self.most // rule))
                await in_order(_by_parent(units), lambda works: self._draws(index, stage, works), gate.let_all, sets)
            elif isinstance(rule, Adaptive):

                def draw(work: Work) -> Coroutine[Any, Any, Drawn]:
                    return self._draw(index, stage, rule, work, parted=work.id not in late)

                await in_order(units, draw, gate.let_all, window)
            else:
                await in_order(units, lambda work: self._generate(index, stage, work), gate.let_through, window)
            for refused in called:
                await gate.call_back(refused)
            await gate.out.put(None)

        async def look(near: Nearness) -> None:
            groups = grouped(aiter(gate.out))
            if late := self.store.passed_over(near.step):
                groups = _late_last(groups, late)
            await in_order(groups, near.look, near.hand_on, window)
            await near.end()

        async def score() -> None:
            step = f"{stage.name}:score"
            units = _as_work(aiter(passed))
            if late := self.store.passed_over(step):
                units = _late_last(units, late)
            gather = Scored(self, stage, step, out)
            await in_order(units, lambda work: self._score(index, stage, work), gather.hand_on, window)
            await out.put(None)

        await together(
            generate(), *([] if near is None else [look(near), near.compare()]), *([score()] if stage.scorers else [])
        )

    def _nearness(self, index: int, stage: Stage, out: Channel[Sample], called: Sequence[Rejection]) -> Nearness | None:
        """The step that compares by meaning, where the recipe wants it."""
        if self.screen.neighbours is None and stage.name not in self.screen.meanings:
            return None
        from synth.gates.nearness import Nearness  # numpy takes a tenth of a second

        return Nearness(self, index, stage, out, called)

    def _shares_prompts(self, stage: Stage) -> bool:
        """Whether one that answers in a stage can be asked for several draws of a prompt in one request."""
        return any(self.teachers[name].draws_at_once > 1 for name in stage.answering())

    async def _draws(self, index: int, stage: Stage, works: Sequence[Work]) -> Drawn:
        """What came of draws of one parent that are asked for side by side: in one request where that costs less."""
        lot = Lot(work.draw for work in works)
        results = await gathered([self._in_lot(lot, index, stage, work) for work in works])
        return [*zip(works, results, strict=True)]

    async def _in_lot(self, lot: Lot, index: int, stage: Stage, work: Work) -> Results | TeacherError:
        try:
            return await self._generate(index, stage, work, lot)
        finally:
            lot.leave(work.draw)

    async def _generate(self, index: int, stage: Stage, work: Work, lot: Lot | None = None) -> Results | TeacherError:
        unit = Unit(stage.name, work.id, -2 * index, work.draw, wait_s=self.waits.get(stage.name, 0.0))
        parent = work.parent
        seed = parent if isinstance(parent, Seed) else Seed(id=parent.id, fields=parent.fields)
        number = work.draw + TURN_DRAWS * seed.turn
        own = stage.generator.teacher
        ask = UnitAsk(unit, self.teachers, self.templates, self.recipe.language, number, own=own)
        refused: Results = []
        times = 0
        if index == 0 and self.screen.neighbours is not None:
            near = await self._outcome(stage, work, self.screen.refuse_seed(work.id, seed, ask))
            if near is not None:
                return near if isinstance(near, TeacherError) else [near]
        unit.lot = lot  # from here on its questions are the generator's
        if shared := bool(stage.teachers) or stage.route is not None:
            first, *after = stage.answering_for(seed.fields)
            ask = replace(ask, instead=first, after=tuple(after))
        while True:
            before, unit.model = unit.cost_microusd, ""
            drafts = await self._outcome(stage, work, stage.generator.generate(seed, ask))
            if unit.rungs:
                self.progress.stages[stage.name].climbed(unit.rungs)
            if isinstance(drafts, TeacherError):
                return drafts
            if isinstance(drafts, Rejection):
                made: Results = [drafts]
            else:
                samples = [_sample(stage, work, unit, place, draft, len(drafts)) for place, draft in enumerate(drafts)]
                made = [
                    self._validated(stage, sample) if draft.refused is None else sample.refused(*draft.refused)
                    for sample, draft in zip(samples, drafts, strict=True)
                ]
            if shared:
                held = await self._held(index, stage, work, ask, made, unit.cost_microusd - before)
                if isinstance(held, TeacherError):
                    return held
                made = held
            anew = _anew(stage, ask, made) if stage.ask_again or ask.after else None
            if anew is None:
                return [*refused, *made]
            times += 1
            refused += [replace(result, id=f"{result.id}~{times}") for result in made]
            ask = anew

    async def _held(
        self, index: int, stage: Stage, work: Work, ask: UnitAsk, made: Results, cost_microusd: int
    ) -> Results | TeacherError:
        """What one of several teachers gave, counted; that of one before the last is also held to what scorers say of
        it, and refused when all of it is below what they must give."""
        least = stage.escalate_below
        if ask.after and least:
            by = [scorer for scorer in stage.scorers if scorer.name in least]
            scored = await self._scored_by(by, index, stage, work, made)
            if isinstance(scored, TeacherError):
                return scored
            judged = [_held_to(least, result) if isinstance(result, Sample) else result for result in scored]
            made = scored if _of_use(judged) else judged
        self.progress.stages[stage.name].answered(ask.instead, cost_microusd, of_use=_of_use(made))
        return made

    async def _draw(self, index: int, stage: Stage, rule: Adaptive, first: Work, *, parted: bool) -> Drawn:
        """Draw for one parent until there is enough, then tell how many of the draws were good.

        When the patience of one draw ends the parent waits as a whole, so that what comes late comes together. `parted`
        says whether those that came may go on when the run stops sending: not where that happened before.
        """
        verifier = next((scorer for scorer in stage.scorers if scorer.name == rule.by), None)
        made: Drawn = []
        draws: list[Draw] = []
        while (more := still_needed(draws, rule)) and not _in_vain(made):
            coming = [_drawn_as(first, number) for number in range(len(made), len(made) + more)]
            lot = Lot(one.draw for one in coming)
            results = await gathered([self._verified(index, stage, verifier, one, lot) for one in coming])
            made += zip(coming, results, strict=True)
            failed = [results for _, results in made if isinstance(results, TeacherError)]
            if failed:
                parked = [error for error in failed if isinstance(error, Transient)]
                return made if parted and not parked else [(first, (parked or failed)[0])]
            draws = [_draw_of(results, rule) for _, results in made if isinstance(results, list)]
        rate = pass_rate(draws, rule)
        good = any(isinstance(result, Sample) for _, results in made if isinstance(results, list) for result in results)
        count = self.progress.stages[stage.name]
        count.count_prompt(len(draws), rate, empty=not good if rule.verified is None else not rate)
        score = Score(name=PASS_RATE, value=rate, detail=f"of {len(draws)} draws")
        return [(work._replace(last=work.draw == len(made) - 1), _with(score, results)) for work, results in made]

    async def _verified(
        self, index: int, stage: Stage, verifier: Scorer | None, work: Work, lot: Lot
    ) -> Results | TeacherError:
        """What came of one draw, its samples with what the verifier found."""
        results = await self._in_lot(lot, index, stage, work)
        if verifier is None or isinstance(results, TeacherError):
            return results
        return await self._scored_by([verifier], index, stage, work, results)

    async def _scored_by(
        self, scorers: Sequence[Scorer], index: int, stage: Stage, work: Work, results: Results
    ) -> Results | TeacherError:
        """The same with scores of some scorers, before the gate; a sample has each score once."""
        scored: Results = []
        for result in results:
            unit = _score_unit(index, stage, work, self.waits.get(stage.name, 0.0))
            ask = UnitAsk(unit, self.teachers, self.templates, self.recipe.language, work.draw)
            last: Sample | Rejection | TeacherError = result
            for scorer in scorers:
                if isinstance(last, Sample) and last.score(scorer.name) is None:
                    last = await self._scored(stage, work, scorer, last, ask)
            if isinstance(last, TeacherError):
                return last
            scored.append(_charged(last, unit) if isinstance(last, Sample) else last)
        return scored

    def _validated(self, stage: Stage, sample: Sample) -> Sample | Rejection:
        views = (sample,) if len(sample.messages) <= ONE_EXCHANGE else sample.by_answer()
        for view, validator in itertools.product(views, stage.validators):
            try:
                validator.check(view)
            except Rejected as error:
                return sample.refused(error.reason, error.detail)
            except (Exception, *ENDINGS):  # noqa: BLE001 (the boundary around plug-in code)
                error = self._plugin_error(validator.kind)
                return sample.refused(error.reason, error.detail)
        return sample

    async def _score(self, index: int, stage: Stage, work: Work) -> Results | TeacherError:
        unit = _score_unit(index, stage, work, self.waits.get(stage.name, 0.0))
        sample = work.parent
        assert isinstance(sample, Sample)
        ask = UnitAsk(unit, self.teachers, self.templates, self.recipe.language, work.draw)
        for scorer in stage.scorers:
            if sample.score(scorer.name) is not None:  # by it the draws were counted
                continue
            scored = await self._scored(stage, work, scorer, sample, ask)
            if isinstance(scored, Rejection):
                return [scored]
            if isinstance(scored, TeacherError):
                return scored
            sample = scored
        if unit.rungs:
            self.progress.stages[stage.name].climbed(unit.rungs)
        return [_charged(sample, unit)]

    async def _scored(
        self, stage: Stage, work: Work, scorer: Scorer, sample: Sample, ask: UnitAsk
    ) -> Sample | Rejection | TeacherError:
        score = await self._outcome(stage, work, scorer.score(sample, ask))
        if isinstance(score, Score):
            return replace(sample, scores=(*sample.scores, score))
        return replace(score, id=sample.id, sample=sample) if isinstance(score, Rejection) else score

    async def _outcome(self, stage: Stage, work: Work, asking: Awaitable[T]) -> T | Rejection | TeacherError:
        """What a plug-in made, or which of the fates it met."""
        try:
            return await asking
        except TeacherError as error:
            return error
        except Rejected as error:
            rejected = error
        except FolderError:
            raise
        except (Exception, *ENDINGS):
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            rejected = self._plugin_error(stage.name)
        return Rejection(
            id=work.id, seed_id=work.seed_id, stage=stage.name, reason=rejected.reason, detail=rejected.detail
        )

    def _plugin_error(self, where: str) -> Rejected:
        """The exception being handled with its traceback, as a rejection; after a few of them the run stops."""
        self.plugin_errors += 1
        error = sys.exception()
        last = traceback.format_exc().strip().splitlines()[-1]
        detail = f"{last}{_place_of(error)}\n\n{traceback.format_exc()}"
        if self.plugin_errors >= MOST_PLUGIN_ERRORS:
            self.halt.throw(
                Fatal(f"{where!r} raised {self.plugin_errors} unexpected errors, the last {last}{_place_of(error)}.")
            )
        return Rejected("plugin_error", detail)

    def unfinished(self, step: str, stage: Stage, unit: str, error: TeacherError) -> None:
        """Go on without a unit: parked when its patience ended, left undone when the run stopped sending."""
        count = self.progress.stages[stage.name]
        if step != self.recipe.stages[0].name:
            self.waiting.add(unit)
        if not isinstance(error, Transient):
            count.unfinished += 1
            self.idle += stage is self.recipe.stages[0]
            return
        count.parked += 1
        if self.journal:
            self.store.pass_over(step, unit, error.failure, error.detail)

    def start_counting(self, rows: int) -> None:
        """Go on from so many rows that selection finds."""
        self.wanted, self.idle = rows, 0
        if self.recipe.selection.rows is not None:
            self.most = max(1, min(self.most, WINDOW_PER_ROW * (self.recipe.selection.rows - rows)))
            self.window = min(self.window, self.most)

    async def _finish(self, samples: AsyncIterator[Sample]) -> None:
        wanted = self.recipe.selection.rows is not None
        async for sample in samples:
            if not wanted or self._is_wanted(sample, self.recipe.selection):
                self.outcomes.accept(sample)
                self.progress.rows += 1

    def _is_wanted(self, sample: Sample, selection: Selection) -> bool:
        """Count a sample of the wanted rows; false for one that comes when all are there, as it may by chance."""
        same = sample.parent_id == self.wanted_parent
        if self.has_enough and not (same and selection.best_of):
            self.halt.throw(Enough("As many rows as were wanted are there."))
            return False
        # other rows of a prompt that comes late, or back, may have been counted
        if sample.parent_id < self.wanted_parent or selection.shortfall(sample):
            return True
        self.wanted_of_parent = self.wanted_of_parent + 1 if same else 1
        self.wanted_parent = sample.parent_id
        most = selection.kept_per_prompt()
        self.wanted += most is None or self.wanted_of_parent <= most
        if self.has_enough and not selection.best_of:
            self.halt.throw(Enough("As many rows as were wanted are there."))
        return True

    @property
    def has_enough(self) -> bool:
        """Whether as many rows are there as are wanted."""
        rows = self.recipe.selection.rows
        return rows is not None and self.wanted >= rows


def _place_of(error: BaseException | None) -> str:
    """Where in code that is not synth's an exception came from, as a plug-in's author looks for it."""
    frames: list[traceback.FrameSummary] = [] if error is None else list(traceback.extract_tb(error.__traceback__))
    theirs = [one for one in frames if not one.filename.startswith(OURS)]
    return f" ({Path(theirs[-1].filename).name}, line {theirs[-1].lineno})" if theirs else ""


def _anew(stage: Stage, ask: UnitAsk, made: Results) -> UnitAsk | None:
    """How to ask once more when nothing that came is of use; None when something is, or it was asked often enough.

    What was cut gets more room; the last time the teacher's stand-in is asked. Then it is the next teacher's turn.
    """
    times = _times_anew(ask) + 1
    reasons = {result.reason if isinstance(result, Rejection) else "" for result in made}
    if reasons & {"", *BEYOND_ANY}:
        return None
    if times > stage.ask_again or reasons & {*BEYOND_ASKING}:
        return _next_teacher(ask)
    other = ask.teachers[ask.instead or stage.generator.teacher].endpoint.fallback
    if other in ask.after and times == stage.ask_again:
        return _next_teacher(ask)  # or it would be asked twice
    raised = RAISED_CAP if reasons & CUT_SHORT else 1
    ask.unit.repairs.append("anew")
    anew = replace(ask, number=ask.number + ANEW_DRAWS, raised=raised)
    return replace(anew, instead=other) if other and times == stage.ask_again else anew


def _next_teacher(ask: UnitAsk) -> UnitAsk | None:
    """How the next teacher is asked, as if it were the first; None when there is none."""
    if not ask.after:
        return None
    ask.unit.repairs.append("escalated")
    number = ask.number - ANEW_DRAWS * _times_anew(ask)
    return replace(ask, number=number, raised=1, instead=ask.after[0], after=ask.after[1:])


def _of_use(made: Results) -> bool:
    return any(isinstance(result, Sample) for result in made)


def _held_to(least: Mapping[str, float], sample: Sample) -> Sample | Rejection:
    """The sample, refused when a score is too low."""
    low = Selection(require=dict(least)).shortfall(sample)
    return sample.refused("below_threshold", low) if low else sample


def _charged(sample: Sample, unit: Unit) -> Sample:
    """A sample with what its scoring took."""
    return replace(
        sample,
        requests=(*sample.requests, *unit.requests),
        repairs=(*sample.repairs, *unit.repairs),
        served_by=(*sample.served_by, *unit.served_by),
        cost_microusd=sample.cost_microusd + unit.cost_microusd,
    )


def _times_anew(ask: UnitAsk) -> int:
    return ask.number % TURN_DRAWS // ANEW_DRAWS


def _score_unit(index: int, stage: Stage, work: Work, wait_s: float) -> Unit:
    return Unit(f"{stage.name}:score", work.id, -2 * index - 1, work.draw, wait_s=wait_s)


def _drawn_as(work: Work, number: int) -> Work:
    """Another draw of the same parent."""
    return work._replace(id=f"{work.parent.id}/{number:02d}", draw=number, last=False)


def _in_vain(made: Drawn) -> bool:
    """Whether no draw of the prompt can be verified."""
    every = (result for _, results in made if isinstance(results, list) for result in results)
    return any(isinstance(result, Rejection) and result.reason == UNVERIFIABLE for result in every)


def _draw_of(results: Results, rule: Adaptive) -> Draw:
    """What is known of a draw: the answer of its first sample, and whether one got the verifier's full mark."""
    samples = [result for result in results if isinstance(result, Sample)]
    found = final_answer(samples[0].answer()) if samples else None
    verified = any((sample.score(rule.by) or 0.0) >= 1 for sample in samples)
    return Draw(found.text if found else None, verified)


def _with(score: Score, results: Results | TeacherError) -> Results | TeacherError:
    """The same, each sample with one more score, in place of an earlier stage's of that name."""
    if isinstance(results, TeacherError):
        return results
    return [
        replace(one, scores=(*(other for other in one.scores if other.name != score.name), score))
        if isinstance(one, Sample)
        else one
        for one in results
    ]


def _sample(stage: Stage, work: Work, unit: Unit, place: int, draft: Draft, drafts: int) -> Sample:
    """A draft with its identity; the cost of one request is shared among the drafts it brought."""
    parent = work.parent
    before = parent if isinstance(parent, Sample) else None
    fields: Fields = {**parent.fields, **draft.fields}
    return Sample(
        id=f"{work.id}/{place:03d}",
        seed_id=work.seed_id,
        parent_id=parent.id,
        stage=stage.name,
        draw=work.draw,
        messages=draft.messages,
        fields=fields,
        finish_reason=draft.finish_reason,
        tools=draft.tools,
        scores=before.scores if before else (),
        requests=(*(before.requests if before else ()), *unit.requests),
        repairs=(*(before.repairs if before else ()), *unit.repairs),
        served_by=(*(before.served_by if before else ()), *unit.served_by),
        model=unit.model,
        cost_microusd=(before.cost_microusd if before else 0) + unit.cost_microusd // drafts,
    )


async def _units(parents: AsyncIterator[Seed | Sample], draws: int) -> AsyncIterator[Work]:
    async for parent in parents:
        seed_id = parent.seed_id if isinstance(parent, Sample) else parent.first_id() if parent.turn else parent.id
        for draw in range(draws):
            yield Work(f"{parent.id}/{draw:02d}", draw, parent, seed_id, draw == draws - 1)


async def _by_parent(units: AsyncIterator[Work]) -> AsyncIterator[Sequence[Work]]:
    """Units of one parent that follow each other, together."""
    some: list[Work] = []
    async for work in units:
        if some and (work.parent.id != some[0].parent.id or work.draw <= some[-1].draw):
            yield some
            some = []
        some.append(work)
        if work.last:  # nothing is waited for
            yield some
            some = []
    if some:
        yield some


async def _as_work(samples: AsyncIterator[Sample]) -> AsyncIterator[Work]:
    async for sample in samples:
        yield Work(sample.id, sample.draw, sample, sample.seed_id)


async def _late_last(units: AsyncIterator[W], late: Mapping[str, int]) -> AsyncIterator[W]:
    """Units that an earlier run went on without come after the others, in the order they were passed over."""
    held: list[tuple[int, str, W]] = []
    async for work in units:
        if work.id in late:
            held.append((late[work.id], work.id, work))
        else:
            yield work
    for _, _, work in sorted(held, key=lambda entry: entry[:2]):
        yield work
