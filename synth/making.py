"""What becomes of one unit of a stage: its drafts, the samples that pass the checks, their scores; its draws, where
their number adapts.

A unit is asked for until something of it is of use or the ladder ends (`ladder.py`). All plug-in code is called through
the line's boundary (`boundary.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING

from synth import ladder
from synth.admission.scheduler import gathered
from synth.ask import UnitAsk
from synth.boundary import ENDINGS, is_cancelled
from synth.comparing.agreement import PASS_RATE, Adaptive, Draw, pass_rate, still_needed
from synth.errors import Fatal, Rejected, TeacherError, Transient
from synth.gates.work import Drawn, Results, Work
from synth.language.answers import final_answer
from synth.own import OwnGenerator, OwnScorer, OwnValidator
from synth.protocol.lots import Lot
from synth.recipes.recipe import Stage
from synth.scorers import Scorer
from synth.types import Draft, Rejection, Sample, Score, Seed
from synth.unit import Unit

if TYPE_CHECKING:
    from synth.line import Line

ONE_EXCHANGE = 3
"""Turns of a row that has no more than a system turn, a question and its answer."""
NOTHING_BEFORE = Sample(id="", seed_id="", parent_id="", stage="", draw=0, messages=(), fields={})
"""In place of an earlier stage's sample where a seed is the beginning."""
UNVERIFIABLE = "no_reference"
"""Why a verifier refuses whatever answers a prompt: the seed lacks what it compares with."""


class Making:
    """Makes the samples of one stage, of each unit for itself: nothing here knows of the order of units."""

    def __init__(self, line: Line, index: int, stage: Stage) -> None:
        self._line = line
        self._stage = stage
        self._priority = -2 * index
        """Later stages go first, and their scorers before them."""
        self._wait_s = line.waits.get(stage.name, 0.0)
        self._count = line.progress.stages[stage.name]
        # to ask the recipe's values for each unit takes many times as long as to hold what they say
        self._name, self._generator, self._language = stage.name, stage.generator, line.recipe.language
        self._own, self._ask_again = stage.generator.teacher, stage.ask_again
        self._validators, self._is_shared = stage.validators, stage.is_shared
        self._has_own = any(isinstance(one, OwnValidator) for one in stage.validators)
        self._compares = index == 0 and line.screen.neighbours is not None
        """Whether seeds are held against benchmarks by meaning before anything is asked."""

    async def generate(self, work: Work, lot: Lot | None = None) -> Results | TeacherError:
        """What one unit brought, refused answers that others followed included."""
        line, stage, parent = self._line, self._stage, work.parent
        unit = Unit(self._name, work.id, self._priority, work.draw, wait_s=self._wait_s)
        seed = parent if isinstance(parent, Seed) else Seed(id=parent.id, fields=parent.fields)
        ask = UnitAsk(unit, line.teachers, line.templates, self._language, work.draw, seed.turn, own=self._own)
        if self._compares and (near := await self._near(work, seed, ask)) is not None:
            return near
        unit.lot = lot  # from here on its questions are the generator's
        if self._is_shared:
            ask = ladder.begun(stage, ask, seed.fields)
        refused: Results = []
        times = 0
        while True:
            before, unit.model = unit.cost_microusd, ""
            drafts = await line.boundary.outcome(self._name, work, self._generated(seed, ask))
            if unit.rungs:
                self._count.climbed(unit.rungs)
            if isinstance(drafts, TeacherError):
                return drafts
            try:
                made: Results = [drafts] if isinstance(drafts, Rejection) else await self._samples(work, unit, drafts)
            except Fatal as error:
                return error
            if self._is_shared:
                held = await self._held(work, ask, made, unit.cost_microusd - before)
                if isinstance(held, TeacherError):
                    return held
                made = held
            anew = ladder.followed(stage, ask, made) if self._ask_again or ask.after else None
            if anew is None:
                return [*refused, *made]
            times += 1
            refused += [replace(result, id=f"{result.id}~{times}") for result in made]
            ask = anew

    async def _samples(self, work: Work, unit: Unit, drafts: Sequence[Draft]) -> Results:
        """Drafts as samples with an identity, checked; the cost of a request is shared among the drafts it brought."""
        parent = work.parent
        made: Results = []
        before = parent if isinstance(parent, Sample) else NOTHING_BEFORE
        for place, draft in enumerate(drafts):
            sample = Sample(
                id=f"{work.id}/{place:03d}",
                seed_id=work.seed_id,
                parent_id=parent.id,
                stage=self._name,
                draw=work.draw,
                messages=draft.messages,
                fields={**parent.fields, **draft.fields},
                finish_reason=draft.finish_reason,
                tools=draft.tools,
                scores=before.scores,
                requests=(*before.requests, *unit.requests),
                repairs=(*before.repairs, *unit.repairs),
                served_by=(*before.served_by, *unit.served_by),
                model=unit.model,
                cost_microusd=before.cost_microusd + unit.cost_microusd // len(drafts),
            )
            if draft.refused is not None:
                made.append(sample.refused(*draft.refused))
            else:
                made.append(await self._checked(sample) if self._validators else sample)
        return made

    async def _near(self, work: Work, seed: Seed, ask: UnitAsk) -> Results | TeacherError | None:
        """The refusal of a seed that says what a benchmark does; None for others."""
        asking = self._line.screen.refuse_seed(work.id, seed, ask)
        near = await self._line.boundary.outcome(self._stage.name, work, asking)
        return near if near is None or isinstance(near, TeacherError) else [near]

    async def _held(self, work: Work, ask: UnitAsk, made: Results, cost_microusd: int) -> Results | TeacherError:
        """What one of several teachers gave, counted; that of one before the last is also held to what scorers say of
        it, and refused when all of it is below what they must give."""
        least = self._stage.escalate_below
        if ask.after and least:
            by = [scorer for scorer in self._stage.scorers if scorer.name in least]
            scored = await self._scored_by(by, work, made)
            if isinstance(scored, TeacherError):
                return scored
            made = ladder.held_to(least, scored)
        self._count.answered(ask.instead, cost_microusd, of_use=ladder.of_use(made))
        return made

    async def _checked(self, sample: Sample) -> Sample | Rejection:
        """The sample, or why a validator refuses it; those of the user's own are called in a process apart.

        Raises Fatal where one of these is not called as the run stops.
        """
        views = (sample,) if len(sample.messages) <= ONE_EXCHANGE else sample.by_answer()
        for view, validator in itertools.product(views, self._validators):
            try:
                if self._has_own and isinstance(validator, OwnValidator):
                    await self._line.apart.check(validator, view)
                else:
                    validator.check(view)
            except Rejected as error:
                return sample.refused(error.reason, error.detail)
            except Fatal:
                raise
            except (Exception, *ENDINGS):
                if is_cancelled():
                    raise
                error = self._line.boundary.refusal(validator.kind)
                return sample.refused(error.reason, error.detail)
        return sample

    async def draws(self, works: Sequence[Work]) -> Drawn:
        """What came of draws of one parent that are asked for side by side: in one request where that costs less."""
        lot = Lot(work.draw for work in works)
        results = await gathered([self._in_lot(lot, work) for work in works])
        return [*zip(works, results, strict=True)]

    async def _in_lot(self, lot: Lot, work: Work) -> Results | TeacherError:
        try:
            return await self.generate(work, lot)
        finally:
            lot.leave(work.draw)

    async def draw(self, rule: Adaptive, first: Work, *, parted: bool) -> Drawn:
        """Draw for one parent until there is enough, then tell how many of the draws were good.

        When the patience of one draw ends the parent waits as a whole, so that what comes late comes together. `parted`
        says whether those that came may go on when the run stops sending: not where that happened before.
        """
        verifier = next((scorer for scorer in self._stage.scorers if scorer.name == rule.by), None)
        made: Drawn = []
        draws: list[Draw] = []
        while (more := still_needed(draws, rule)) and not _in_vain(made):
            coming = [_drawn_as(first, number) for number in range(len(made), len(made) + more)]
            lot = Lot(one.draw for one in coming)
            results = await gathered([self._verified(verifier, one, lot) for one in coming])
            made += zip(coming, results, strict=True)
            failed = [results for _, results in made if isinstance(results, TeacherError)]
            if failed:
                parked = [error for error in failed if isinstance(error, Transient)]
                return made if parted and not parked else [(first, (parked or failed)[0])]
            draws = [_draw_of(results, rule) for _, results in made if isinstance(results, list)]
        rate = pass_rate(draws, rule)
        good = any(ladder.of_use(results) for _, results in made if isinstance(results, list))
        self._count.count_prompt(len(draws), rate, empty=not good if rule.verified is None else not rate)
        score = Score(name=PASS_RATE, value=rate, detail=f"of {len(draws)} draws")
        return [(work._replace(last=work.draw == len(made) - 1), _with(score, results)) for work, results in made]

    async def _verified(self, verifier: Scorer | None, work: Work, lot: Lot) -> Results | TeacherError:
        """What came of one draw, its samples with what the verifier found."""
        results = await self._in_lot(lot, work)
        if verifier is None or isinstance(results, TeacherError):
            return results
        return await self._scored_by([verifier], work, results)

    async def score(self, work: Work) -> Results | TeacherError:
        """A sample with the scores of all scorers, or why one of them refuses it."""
        sample = work.parent
        assert isinstance(sample, Sample)
        return await self._scored_by(self._stage.scorers, work, [sample])

    async def _scored_by(self, scorers: Sequence[Scorer], work: Work, results: Results) -> Results | TeacherError:
        """The same with the scores of some scorers; a sample has each score once."""
        line, name = self._line, f"{self._stage.name}:score"
        scored: Results = []
        for result in results:
            unit = Unit(name, work.id, self._priority - 1, work.draw, wait_s=self._wait_s)
            ask = UnitAsk(unit, line.teachers, line.templates, line.recipe.language, work.draw)
            last: Sample | Rejection | TeacherError = result
            for scorer in scorers:
                if isinstance(last, Sample) and last.score(scorer.name) is None:
                    last = await self._scored(work, scorer, last, ask)
            if unit.rungs:
                self._count.climbed(unit.rungs)
            if isinstance(last, TeacherError):
                return last
            scored.append(_charged(last, unit) if isinstance(last, Sample) else last)
        return scored

    async def _scored(
        self, work: Work, scorer: Scorer, sample: Sample, ask: UnitAsk
    ) -> Sample | Rejection | TeacherError:
        score = await self._line.boundary.outcome(self._stage.name, work, self._score_of(scorer, sample, ask))
        if isinstance(score, Score):
            return replace(sample, scores=(*sample.scores, score))
        return replace(score, id=sample.id, sample=sample) if isinstance(score, Rejection) else score

    def _generated(self, seed: Seed, ask: UnitAsk) -> Awaitable[list[Draft]]:
        """What the generator makes; one of the user's own is called aside, with a copy."""
        generator = self._generator
        if isinstance(generator, OwnGenerator):
            return self._line.aside.call(generator.kind, lambda ask: generator.generate(deepcopy(seed), ask), ask)
        return generator.generate(seed, ask)

    def _score_of(self, scorer: Scorer, sample: Sample, ask: UnitAsk) -> Awaitable[Score]:
        """What a scorer gives; one of the user's own is called aside, with a copy."""
        if isinstance(scorer, OwnScorer):
            return self._line.aside.call(scorer.kind, lambda ask: scorer.score(deepcopy(sample), ask), ask)
        return scorer.score(sample, ask)


def _charged(sample: Sample, unit: Unit) -> Sample:
    """A sample with what its scoring took."""
    return replace(
        sample,
        requests=(*sample.requests, *unit.requests),
        repairs=(*sample.repairs, *unit.repairs),
        served_by=(*sample.served_by, *unit.served_by),
        cost_microusd=sample.cost_microusd + unit.cost_microusd,
    )


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
