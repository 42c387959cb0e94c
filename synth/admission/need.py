"""How much a run that wants a number of rows still needs: no more is begun than what the missing ones could take."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

BELIEVED = 20.0
"""As if so many had come through a step and brought what is usual: the first that come say little."""


@dataclass(slots=True)
class Step:
    """One step of the line, and what came through it."""

    usual: float
    """How many go on of each that comes, as far as the recipe tells."""
    begun: int = 0
    """Where the step waits for need: how many did not have to wait any longer."""
    through: int = 0
    brought: int = 0

    def each(self) -> float:
        """How many go on of each that comes, by what was seen so far."""
        return (self.brought + BELIEVED * self.usual) / (self.through + BELIEVED)


class Need:
    """Has steps wait until more than what is under way is needed.

    What each step lets through tells how many rows come of what is at work in it and behind it. As nothing waits for
    what comes after it, that is a number which every wait ends with.
    """

    def __init__(self, usual: Mapping[str, float], missing: Callable[[], int]) -> None:
        """The steps in their order, each with what usually goes on of one that comes to it; the last one counts rows,
        of which so many are `missing`."""
        self._places = {name: place for place, name in enumerate(usual)}
        self._steps = [Step(each) for each in usual.values()]
        self._missing = missing
        self._changed = asyncio.Event()

    def tell(self, name: str, *, through: int = 0, brought: int = 0) -> None:
        """So many came through a step, and so many of what they brought go on."""
        step = self._steps[self._places[name]]
        step.through += through
        step.brought += brought
        self._changed.set()

    def wake(self) -> None:
        """Have those that wait look again."""
        self._changed.set()

    async def wait(self, name: str, until: Callable[[], bool]) -> None:
        """Wait until one more is needed at a step, or nothing is under way from it on, or for something else."""
        place = self._places[name]
        while not (self._is_needed(place) or until()):
            self._changed.clear()
            await self._changed.wait()
        self._steps[place].begun += 1

    def _is_needed(self, place: int) -> bool:
        """Whether what is under way from a step on, might it bring somewhat less than usual, leaves rows missing."""
        rows, each, under_way = 0.0, 1.0, 0
        for here in range(len(self._steps) - 1, place - 1, -1):
            step = self._steps[here]
            inside = (step.begun if here == place else self._steps[here - 1].brought) - step.through
            each *= step.each()
            rows += inside * each
            under_way += inside
        missing = self._missing()
        return not under_way or rows < missing + math.sqrt(missing * max(0.0, 1 - each))
