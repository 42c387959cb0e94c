"""The step of a stage in which samples are compared by meaning: with what its gate let through before, and with
benchmarks. Only what is no twin by its letters comes here, so that no other text buys a vector."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from synth.admission.scheduler import Channel
from synth.ask import UnitAsk
from synth.dedupe import text_of
from synth.dedupe.semantic import Meant
from synth.errors import TeacherError
from synth.gates.gate import refused_as
from synth.gates.screen import Near
from synth.gates.work import Group
from synth.recipes.recipe import Stage
from synth.types import Rejection, Sample
from synth.unit import Unit

if TYPE_CHECKING:
    from synth.line import Line

HELD = 300
"""Samples of a stage that wait until the threshold of what means the same is found from them."""


class Nearness:
    """Asks for the vectors of groups side by side, and compares their samples in id order: the first id wins.

    However many are compared at once, what is found is the same.
    """

    def __init__(self, line: Line, index: int, stage: Stage, out: Channel[Sample], called: Sequence[Rejection]) -> None:
        self.step = f"{stage.name}:meaning"
        self._line = line
        self._stage = stage
        self._priority = -2 * index - 1
        self._out = out
        self._called = {refused.id for refused in called}
        """Twins of what came to nothing, which pass in its place."""
        self._meanings = line.screen.meanings.get(stage.name)
        self._waiting: asyncio.Queue[list[Near] | None] = asyncio.Queue(line.window)
        self._text_of = text_of("question" if stage.dedupe is None else stage.dedupe.by)
        self._count = line.progress.stages[stage.name]
        self._has_quota = stage.dedupe is not None and stage.dedupe.per_seed is not None
        self._refused: list[str] = []
        """The seeds of what was refused here."""

    async def look(self, group: Group) -> list[Near] | TeacherError:
        """The samples of a group with their vectors, or as what a benchmark holds in other words."""
        line, (first, *_) = self._line, group.samples
        unit = Unit(self.step, group.id, self._priority, first.draw)
        ask = UnitAsk(unit, line.teachers, line.templates, line.recipe.language, first.draw)
        try:
            return await line.screen.by_meaning(self._stage, group.samples, self._called, ask)
        except TeacherError as error:
            return error

    async def hand_on(self, looked_at: Sequence[tuple[Group, list[Near] | TeacherError]]) -> None:
        """What was found of groups, in their order."""
        for group, found in looked_at:
            if isinstance(found, TeacherError):
                self._line.unfinished(self.step, self._stage, group.id, found)
            else:
                await self._waiting.put(found)

    async def end(self) -> None:
        """No more groups come."""
        await self._waiting.put(None)

    async def compare(self) -> None:
        """Compare whatever has come, and let through what says nothing that was said before."""
        held: list[Near] = []
        more = True
        while more:
            more = await self._gather(held)
            if self._meanings is not None and not self._meanings.is_open:
                if more and sum(isinstance(one.made, Sample) for one in held) < HELD:
                    continue
                first = [known for one in held if (known := self._meant(one)) is not None][:HELD]
                self._meanings.calibrate(first)  # not with what more has come: that is chance
            for one in await self._compared(held):
                await self._let_through(one)
            held.clear()
        for seed_id in self._refused:  # not before: the gate counts while this step goes on
            self._line.screen.count(self._stage.name, seed_id, -1)
        await self._out.put(None)

    async def _gather(self, held: list[Near]) -> bool:
        """Add all that waits; False when it was the last."""
        some = await self._waiting.get()
        while some is not None:
            held += some
            if self._waiting.empty():
                return True
            some = self._waiting.get_nowait()
        return False

    async def _compared(self, some: list[Near]) -> list[Sample | Rejection]:
        if self._meanings is None:
            return [one.made for one in some]
        meant = [known for one in some if (known := self._meant(one)) is not None]
        # off the loop: with many texts it takes its time
        matches = await asyncio.to_thread(self._meanings.add, meant)
        twins = {known.id: match for known, match in zip(meant, matches, strict=True) if match is not None}
        return [
            refused_as(twins.get(one.made.id), one.made) if isinstance(one.made, Sample) else one.made for one in some
        ]

    def _meant(self, one: Near) -> Meant | None:
        """What is compared of a sample; None for what is refused already or has been called back."""
        if isinstance(one.made, Rejection) or one.made.id in self._called:
            return None
        return Meant(one.made.id, self._text_of(one.made), one.vector)

    async def _let_through(self, made: Sample | Rejection) -> None:
        if isinstance(made, Sample):
            self._count.accepted += not self._stage.scorers
            await self._out.put(made)
            return
        self._count.rejected[made.reason] += 1
        self._line.outcomes.reject(made)
        if self._has_quota and made.id not in self._called:
            self._refused.append(made.seed_id)
