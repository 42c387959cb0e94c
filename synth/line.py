"""The stages as one streaming line: generate and validate side by side, gate in order, score, hand on.

What becomes of one unit of a stage is told in `making.py`; here is only what follows what, and when it is enough.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from synth.admission.halt import Halt
from synth.admission.need import Need
from synth.admission.scheduler import Channel, Pieces, in_order, together
from synth.apart import Apart
from synth.aside import Aside
from synth.boundary import Boundary
from synth.comparing.agreement import Adaptive
from synth.errors import Fatal, Interrupted, TeacherError, Transient
from synth.gates.gate import Gate, Scored, grouped
from synth.gates.screen import Screen
from synth.gates.work import Drawn, Group, Work
from synth.live.progress import Progress
from synth.making import Making
from synth.protocol.fates import POISON
from synth.recipes.recipe import Recipe, Stage
from synth.recipes.templates import Templates
from synth.results.outcomes import Outcomes
from synth.results.selection import Selection
from synth.storage.store import Store
from synth.teacher import Teacher
from synth.types import Rejection, Sample, Seed

if TYPE_CHECKING:
    from synth.gates.nearness import Nearness

W = TypeVar("W", Work, Group)

SEED_BATCH = 256
WINDOW_PER_ROW = 2
ENOUGH = "As many rows as were wanted are there."
ROWS = ""
"""The step behind the last stage."""


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
    boundary: Boundary
    apart: Apart
    """Where checks of the user's own are called."""
    aside: Aside
    """Where their generators and scorers are."""
    screen: Screen
    window: int
    waits: Mapping[str, float] = field(default_factory=dict[str, float])
    """How many seconds the stages that can wait do so for a batch."""
    windows: Mapping[str, int] = field(default_factory=dict[str, int])
    """Of those stages: a wider one lets more into each batch."""
    journal: bool = True
    """Whether parked units are written down; an export only reads."""
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
    need: Need | None = None
    """Where rows are wanted: what holds seeds and samples back that they do not need."""

    async def run(
        self, seeds: Iterator[Seed | Rejection], called: Mapping[str, Sequence[Rejection]] = MappingProxyType({})
    ) -> None:
        """Send all seeds through all stages, and what is called back, by stage, from the gate on.

        Raises FolderError when the store cannot be written; failures of the teacher end up in `halt` and `progress`.
        """
        stages = self.recipe.stages
        self.need = self._need()
        window = min(self.window, self._widest())
        out: Channel[Sample] = Channel(window)
        parts = [self._stage(0, stages[0], self._seeds(seeds), out, called.get(stages[0].name, ()))]
        for index, stage in enumerate(stages[1:], 1):
            before, out = out, Channel[Sample](window)
            parts.append(self._stage(index, stage, self._as_needed(stage, before), out, called.get(stage.name, ())))
        await together(*parts, self._finish(aiter(out)))

    async def _seeds(self, seeds: Iterator[Seed | Rejection]) -> AsyncIterator[Iterable[Seed]]:
        """Seeds as they are needed, read off the loop; ends early when nothing more will be sent."""
        is_over = False

        def sent(some: Iterable[Seed | Rejection]) -> Iterator[Seed]:
            nonlocal is_over
            for seed in some:
                if isinstance(seed, Rejection):
                    self.progress.refuse_seed(seed.reason)
                    self.outcomes.reject(seed)
                    continue
                if isinstance(self.halt.error, Enough) or (self.idle >= self.window and not self._may_lie_ahead()):
                    is_over = True
                    return
                self.progress.seeds += not seed.turn
                yield seed

        while batch := await asyncio.to_thread(lambda: list(itertools.islice(seeds, SEED_BATCH))):
            for some in [batch] if self.need is None else zip(batch, strict=True):
                if self.need is not None and isinstance(some[0], Seed):
                    await self._until_needed(self.need, self.recipe.stages[0].name)
                yield sent(some)
                if is_over:
                    return

    async def _as_needed(self, stage: Stage, samples: Channel[Sample]) -> AsyncIterator[Iterable[Sample]]:
        """What came of the stage before, as it is needed."""
        async for some in samples:
            if self.need is None:
                yield some
                continue
            for sample in some:
                await self._until_needed(self.need, stage.name)
                yield (sample,)

    async def _until_needed(self, need: Need, step: str) -> None:
        """Wait until the rows that are missing may need more than what is under way, or nothing more will be sent."""
        await need.wait(step, lambda: self.halt.error is not None)
        if self.has_enough:  # and nothing is under way that the last prompt's best could be
            self.halt.throw(Enough(ENOUGH))

    def _need(self) -> Need | None:
        """What holds back in this pass; None where nothing does.

        Not where samples wait for others that come behind them: until a batch is worth sending, until there are enough
        to tell which meanings are the same, or, those that come late, for the end.
        """
        wanted, usual = self.recipe.selection.rows, _usual(self.recipe)
        if wanted is None or self.waits or self.recipe.embedders():
            return None
        if any(self.store.passed_over(step) for step in usual):
            return None
        need = Need(usual, lambda: max(0, wanted - self.wanted))
        self.halt.tell(lambda _: need.wake())
        return need

    def _widest(self) -> int:
        """The most units that a step works on at once: little is to be bought beyond the wanted rows where need cannot
        be told."""
        rows = self.recipe.selection.rows
        return sys.maxsize if rows is None or self.need is not None else max(1, WINDOW_PER_ROW * (rows - self.wanted))

    def _may_lie_ahead(self) -> bool:
        """Whether, though nothing is sent any more, outcomes may lie behind seeds of which nothing came: those of
        stored replies, and of seeds that are refused unasked. Where no reply ever came, or on Ctrl-C, nobody waits."""
        answered = self.resumed or any(teacher.served for teacher in self.teachers.values())
        return answered and not isinstance(self.halt.error, Interrupted)

    async def _stage(
        self,
        index: int,
        stage: Stage,
        parents: Pieces[Seed] | Pieces[Sample],
        out: Channel[Sample],
        called: Sequence[Rejection],
    ) -> None:
        """One stage: its steps run side by side, with the ordered gate after the first."""
        window = min(self.windows.get(stage.name, self.window), self._widest())
        passed: Channel[Sample] = out if not stage.scorers else Channel(window)
        near = self._nearness(index, stage, passed, called)
        is_last = near is None and not stage.scorers
        gate = Gate(self, stage, passed if near is None else Channel(window), is_last=is_last)
        making = Making(self, index, stage)
        steps = [self._generate(stage, making, parents, called, gate, window)]
        if near is not None:
            steps += [self._compare(near, gate.out, window), near.compare()]
        if stage.scorers:
            steps.append(self._score(stage, making, passed, out, window))
        await together(*steps)

    async def _generate(
        self,
        stage: Stage,
        making: Making,
        parents: Pieces[Seed] | Pieces[Sample],
        called: Sequence[Rejection],
        gate: Gate,
        window: int,
    ) -> None:
        """Make samples of what comes from the stage before, and hand them to the gate in order; then what was called
        back."""
        rule, late = stage.draws, self.store.passed_over(stage.name)
        units = _units(parents, 1 if isinstance(rule, Adaptive) else rule)
        if late:
            units = _late_last(units, late)
        if isinstance(rule, Adaptive):

            def draw(work: Work) -> Coroutine[Any, Any, Drawn]:
                return making.draw(rule, work, parted=work.id not in late)

            await in_order(units, draw, gate.let_all, window)
        elif rule > 1 and self._shares_prompts(stage):
            sets = max(1, min(window, self._widest() // rule))
            await in_order(_by_parent(units), making.draws, gate.let_all, sets)
        else:
            crowd = self.teachers[stage.generator.teacher].admission.is_crowded
            await in_order(units, making.generate, gate.let_through, window, crowd)
        for refused in called:
            await gate.call_back(refused)
        await gate.out.put(None)

    def _shares_prompts(self, stage: Stage) -> bool:
        """Whether one that answers in a stage can be asked for several draws of a prompt in one request."""
        return any(self.teachers[name].draws_at_once > 1 for name in stage.answering())

    async def _compare(self, near: Nearness, passed: Channel[Sample], window: int) -> None:
        """Have what passed the gate compared by meaning."""
        groups = grouped(aiter(passed))
        if late := self.store.passed_over(near.step):
            groups = _late_last(groups, late)
        await in_order(groups, near.look, near.hand_on, window)
        await near.end()

    async def _score(
        self, stage: Stage, making: Making, passed: Channel[Sample], out: Channel[Sample], window: int
    ) -> None:
        """Have what passed the gates scored, and hand it on in order."""
        step = f"{stage.name}:score"
        units = _as_work(aiter(passed))
        if late := self.store.passed_over(step):
            units = _late_last(units, late)
        await in_order(units, making.score, Scored(self, stage, step, out).hand_on, window)
        await out.put(None)

    def _nearness(self, index: int, stage: Stage, out: Channel[Sample], called: Sequence[Rejection]) -> Nearness | None:
        """The step that compares by meaning, where the recipe wants it."""
        if self.screen.neighbours is None and stage.name not in self.screen.meanings:
            return None
        from synth.gates.nearness import Nearness  # numpy takes a tenth of a second

        return Nearness(self, index, stage, out, called)

    def unfinished(self, step: str, stage: Stage, unit: str, error: TeacherError) -> None:
        """Go on without a unit: parked when its patience ended, left undone when the run stopped sending."""
        count = self.progress.stages[stage.name]
        if step != self.recipe.stages[0].name:
            self.waiting.add(unit)
        if not isinstance(error, Transient):
            count.unfinished += 1
            count.unasked += step == stage.name
            self.idle += stage is self.recipe.stages[0]
            return
        count.parked += 1
        count.poison += error.failure == POISON
        if self.journal:
            self.store.pass_over(step, unit, error.failure, error.detail)

    def start_counting(self, rows: int) -> None:
        """Go on from so many rows that selection finds."""
        self.wanted, self.idle = rows, 0

    async def _finish(self, samples: Pieces[Sample]) -> None:
        wanted = self.recipe.selection.rows is not None
        async for some in samples:
            for sample in some:
                before = self.wanted
                if not wanted or self._is_wanted(sample, self.recipe.selection):
                    self.outcomes.accept(sample)
                    self.progress.rows += 1
                if self.need is not None:
                    self.need.tell(ROWS, through=1, brought=self.wanted - before)

    def _is_wanted(self, sample: Sample, selection: Selection) -> bool:
        """Count a sample of the wanted rows; false for one that comes when all are there, as it may by chance."""
        same = sample.parent_id == self.wanted_parent
        if self.has_enough and not (same and selection.best_of):
            self.halt.throw(Enough(ENOUGH))
            return False
        # other rows of a prompt that comes late, or back, may have been counted
        if sample.parent_id < self.wanted_parent or selection.shortfall(sample):
            return True
        self.wanted_of_parent = self.wanted_of_parent + 1 if same else 1
        self.wanted_parent = sample.parent_id
        most = selection.kept_per_prompt()
        self.wanted += most is None or self.wanted_of_parent <= most
        if self.has_enough and not selection.best_of:
            self.halt.throw(Enough(ENOUGH))
        return True

    @property
    def has_enough(self) -> bool:
        """Whether as many rows are there as are wanted."""
        rows = self.recipe.selection.rows
        return rows is not None and self.wanted >= rows


def _usual(recipe: Recipe) -> dict[str, float]:
    """The steps of the line, and how many of one that comes go on as long as nobody refuses any."""
    usual: dict[str, float] = {}
    of_prompt = 1
    for stage in recipe.stages:
        draws = stage.draws if isinstance(stage.draws, int) else 1
        of_prompt = max(1, draws * stage.generator.usual_drafts)
        usual[stage.name] = float(of_prompt)
        if stage.scorers:
            usual[f"{stage.name}:score"] = 1.0
    kept = recipe.selection.kept_per_prompt()
    return {**usual, ROWS: min(1.0, (kept or of_prompt) / of_prompt)}


async def _units(parents: Pieces[Seed] | Pieces[Sample], draws: int) -> AsyncIterator[Iterator[Work]]:
    async for some in parents:
        yield _units_of(some, draws)


def _units_of(parents: Iterable[Seed | Sample], draws: int) -> Iterator[Work]:
    for parent in parents:
        seed_id = parent.seed_id if isinstance(parent, Sample) else parent.first_id() if parent.turn else parent.id
        for draw in range(draws):
            yield Work(f"{parent.id}/{draw:02d}", draw, parent, seed_id, draw == draws - 1)


async def _by_parent(units: Pieces[Work]) -> AsyncIterator[tuple[Sequence[Work]]]:
    """Units of one parent that follow each other, together."""
    some: list[Work] = []
    async for there in units:
        for work in there:
            if some and (work.parent.id != some[0].parent.id or work.draw <= some[-1].draw):
                yield (some,)
                some = []
            some.append(work)
            if work.last:  # nothing is waited for
                yield (some,)
                some = []
    if some:
        yield (some,)


async def _as_work(samples: Pieces[Sample]) -> AsyncIterator[Iterator[Work]]:
    async for some in samples:
        yield (Work(sample.id, sample.draw, sample, sample.seed_id) for sample in some)


async def _late_last(units: Pieces[W], late: Mapping[str, int]) -> AsyncIterator[Iterable[W]]:
    """Units that an earlier run went on without come after the others, in the order they were passed over."""
    held: list[tuple[int, str, W]] = []

    def others(some: Iterable[W]) -> Iterator[W]:
        for work in some:
            if work.id in late:
                held.append((late[work.id], work.id, work))
            else:
                yield work

    async for some in units:
        yield others(some)
    yield [work for _, _, work in sorted(held, key=lambda entry: entry[:2])]
