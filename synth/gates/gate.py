"""Between the steps of a stage: what passes on, in id order, and what is kept back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from synth.admission.scheduler import Channel, Pieces
from synth.dedupe import TWIN_REASONS, Match, Twins, text_of
from synth.errors import Rejected, TeacherError
from synth.gates.screen import NOT_NOVEL, SEED_FULL
from synth.gates.work import Brought, Drawn, Group
from synth.recipes.named import KNOWN
from synth.recipes.recipe import Stage
from synth.types import Rejection, Sample

if TYPE_CHECKING:
    from synth.line import Line


class Gate:
    """Lets samples through in id order and keeps twins back: the first id wins."""

    def __init__(self, line: Line, stage: Stage, out: Channel[Sample], *, is_last: bool) -> None:
        self.out = out
        self._is_last = is_last
        """Whether what it lets through is accepted by the stage."""
        self._line = line
        self._stage = stage
        self._screen = line.screen
        self._twins = line.screen.twins.get(stage.name)
        self._quota = stage.dedupe is not None and stage.dedupe.per_seed is not None
        self._text_of = text_of("question" if stage.dedupe is None else stage.dedupe.by)
        self._count = line.progress.stages[stage.name]
        self._first = stage is line.recipe.stages[0]

    async def let_all(self, made: Sequence[tuple[Any, Drawn]]) -> None:
        """Pass on what came of all draws of some parents."""
        await self.let_through([one for _, drawn in made for one in drawn])

    async def call_back(self, refused: Rejection) -> None:
        """Pass a sample on that was kept back before."""
        if refused.sample is not None:
            self._count.accepted += self._is_last
            if self._line.need is not None:
                self._line.need.tell(self._stage.name, brought=1)
            await self.out.put(refused.sample)

    async def let_through(self, made: Sequence[Brought]) -> None:
        """Pass on what came of some units."""
        count, first, line = self._count, self._first, self._line
        samples = [one for _, got in made if isinstance(got, list) for one in got if isinstance(one, Sample)]
        checked, passed = iter(self._checked(samples)), list[Sample]()
        for work, results in made:
            count.units += 1
            if first:
                line.progress.seeds_done += work.last
            if isinstance(results, TeacherError):
                line.unfinished(self._stage.name, self._stage, work.id, results)
                continue
            if first:
                line.idle = 0
            for result in results:
                kept = next(checked) if isinstance(result, Sample) else result
                count.drafts += 1
                if isinstance(kept, Rejection):
                    count.rejected[kept.reason] += 1
                    line.outcomes.reject(kept)
                else:
                    count.accepted += self._is_last
                    passed.append(kept)
        if line.need is not None:
            through = sum(work.last for work, _ in made)
            line.need.tell(self._stage.name, through=through, brought=len(passed))
        await self.out.put_all(passed)

    def _checked(self, samples: Sequence[Sample]) -> Sequence[Sample | Rejection]:
        """Samples in order, those that repeat a benchmark or an earlier sample as rejections."""
        clean = samples if self._screen.benchmarks is None else [self._uncontaminated(one) for one in samples]
        if self._twins is None:
            return clean
        if self._quota:  # how many of a seed are let through decides about the next one
            return [self._within_quota(one, self._twins) if isinstance(one, Sample) else one for one in clean]
        left = [one for one in clean if isinstance(one, Sample)]
        matches = iter(self._twins.add_batch([one.id for one in left], [self._text_of(one) for one in left]))
        return [one if isinstance(one, Rejection) else refused_as(next(matches), one) for one in clean]

    def _within_quota(self, sample: Sample, twins: Twins) -> Sample | Rejection:
        if self._screen.is_full(self._stage.name, sample.seed_id):
            return sample.refused(SEED_FULL, f"seed {sample.seed_id} has brought enough")
        kept = refused_as(twins.add(sample.id, self._text_of(sample)), sample)
        if isinstance(kept, Sample):
            self._screen.count(self._stage.name, sample.seed_id, 1)
        return kept

    def _uncontaminated(self, sample: Sample) -> Sample | Rejection:
        try:
            self._screen.check(sample)
        except Rejected as error:
            return sample.refused(error.reason, error.detail)
        return sample


@dataclass(slots=True)
class Scored:
    """Hands scored samples on, in order."""

    line: Line
    stage: Stage
    step: str
    out: Channel[Sample]

    async def hand_on(self, made: Sequence[Brought]) -> None:
        """Count what scoring brought."""
        line, count, passed = self.line, self.line.progress.stages[self.stage.name], list[Sample]()
        for work, results in made:
            if isinstance(results, TeacherError):
                line.unfinished(self.step, self.stage, work.id, results)
                continue
            for result in results:
                if isinstance(result, Rejection):
                    count.rejected[result.reason] += 1
                    line.outcomes.reject(result)
                else:
                    count.accepted += 1
                    passed.append(result)
        if line.need is not None:
            line.need.tell(self.step, through=len(made), brought=len(passed))
        await self.out.put_all(passed)


def refused_as(match: Match | None, sample: Sample) -> Sample | Rejection:
    """A sample, as a rejection where another one said the same before."""
    if match is None:
        return sample
    known = match.twin_id.startswith(KNOWN)
    twin = match.twin_id.removeprefix(KNOWN)
    refused = sample.refused(NOT_NOVEL if known else TWIN_REASONS[match.kind], f"of {twin}")
    return replace(refused, twin_id=twin, similarity=match.similarity)


async def grouped(samples: Pieces[Sample]) -> AsyncIterator[tuple[Group]]:
    """The samples of one unit together, as they follow each other."""
    group = Group("", [])
    async for some in samples:
        for sample in some:
            unit = sample.id.rpartition("/")[0]
            if unit != group.id:
                if group.samples:
                    yield (group,)
                group = Group(unit, [])
            group.samples.append(sample)
    if group.samples:
        yield (group,)
