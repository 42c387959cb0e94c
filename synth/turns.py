"""The outer loop over the line: further turns over the seeds until there are as many rows as wanted, and samples that
are called back because what they were twins of came to nothing.

What is decided between two passes follows from the outcomes so far, in id order, and so from the store alone.
"""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import replace

from synth.dedupe import TWIN_REASONS
from synth.line import Line
from synth.outcomes import Outcomes
from synth.progress import Progress
from synth.recipe import Stage
from synth.selection import Selection, select
from synth.types import Rejection, Sample, Seed

MOST_TURNS = 999
TURNS_AT_ONCE = 8
LEAST_YIELD = 0.1
"""A turn that brings less than this share of what the first brought, for each seed, is the last of its kind."""
CALLED_BACK_AT_MOST = 2
"""For each sample that came to nothing: those that say almost the same will probably meet the same end."""
AVOIDED = 20
CALLABLE = tuple(reason for kind, reason in TWIN_REASONS.items() if kind != "template")

Seeds = Callable[[], Iterator[Seed | Rejection]]


async def in_turns(line: Line, seeds: Seeds, *, offline: bool, whole: bool) -> None:
    """Send all seeds through the line, then whatever else is needed.

    `seeds` begins anew with each call. With `offline` only stored replies are there to be used; without `whole` the
    seeds are a part of all, and are taken once.
    """
    await line.run(seeds())
    turns = Turns(line)
    callers = CallBack(line.outcomes, [stage for stage in line.recipe.stages if _can_call(line, stage)])
    undone = {name: count.unfinished for name, count in line.progress.stages.items()}
    while (offline or line.halt.error is None) and not turns.are_enough():
        if called := callers.next(line.waiting):
            await line.run(iter(()), called)
            callers.settle(line.progress, called)
        elif not whole or (again := turns.next(seeds)) is None:
            break
        else:
            answered = _answered(line)
            await line.run(again)
            if offline and _answered(line) == answered:  # such a turn was never taken
                line.progress.turns = turns.before
                break
    if offline:  # what was never asked for in a further pass is not missing
        for name, count in line.progress.stages.items():
            count.unfinished = undone[name]


def _answered(line: Line) -> int:
    """Units of the first stage that something came of."""
    count = line.progress.stages[line.recipe.stages[0].name]
    return count.units - count.unfinished - count.parked


def _can_call(line: Line, stage: Stage) -> bool:
    """Whether a sample that passed this stage's gate can still be refused."""
    later = stage is not line.recipe.stages[-1] or bool(stage.scorers) or line.screen.neighbours is not None
    return stage.dedupe is not None and later


class Turns:
    """When to go over the seeds again, and with which of them."""

    def __init__(self, line: Line) -> None:
        self.before = 1
        """Turns before the last ones."""
        self._line = line
        self._selection = line.recipe.selection
        self._of_seed: Counter[str] = Counter()
        """Rows so far."""
        self._rows = 0
        self._drawn: int = line.progress.seeds
        """Seeds in the last turns."""
        self._had = 0
        """Rows before them."""
        self._first: float | None = None
        """Rows for each seed in the first turn."""
        self._level = True
        """Whether only seeds are drawn again that brought less than their share."""

    def are_enough(self) -> bool:
        """Whether there are as many rows as wanted; counts them."""
        wanted = self._selection.rows
        if wanted is None:
            return False
        self._of_seed = Counter(one.seed_id for one in _rows(self._line.outcomes, self._selection))
        self._rows = self._of_seed.total()
        self._line.start_counting(self._rows)
        return self._rows >= wanted

    def next(self, seeds: Seeds) -> Iterator[Seed] | None:
        """The seeds of the next turns; None when there is no use in any."""
        wanted, progress = self._selection.rows, self._line.progress
        if wanted is None or not self._drawn:
            return None
        gained = self._rows - self._had
        if self._first is None:
            self._first = gained / self._drawn
        too_little = gained < max(1, LEAST_YIELD * self._first * self._drawn)
        if too_little and (not self._first or not self._level or self._one_for_each()):
            return None
        self._level = self._level and not too_little
        drawn = {one.id: one for one in seeds() if isinstance(one, Seed) and self._may_be_drawn(one, wanted)}
        missing = wanted - self._rows
        turns = min(MOST_TURNS - progress.turns, 1 if too_little else max(1, min(TURNS_AT_ONCE, missing // gained)))
        if not drawn or turns < 1:
            return None
        began, self._had, self._drawn = progress.turns, self._rows, turns * len(drawn)
        self.before = began
        progress.turns += turns
        if progress.total_seeds is not None:
            progress.total_seeds += self._drawn
        made = self._made() if "avoid" in self._line.recipe.stages[0].generator.template_values else {}
        return (
            replace(one, id=f"t{turn:03d}-{name}", turn=turn, made=tuple(made.get(name, ())))
            for turn in range(began, began + turns)
            for name, one in drawn.items()
        )

    def _one_for_each(self) -> bool:
        """Whether the seeds are the prompts, of which selection wants a limited number of rows."""
        return len(self._line.recipe.stages) == 1 and self._selection.kept_per_prompt() is not None

    def _may_be_drawn(self, seed: Seed, wanted: int) -> bool:
        share = 1 if self._one_for_each() else math.ceil(wanted / max(1, self._line.progress.seeds))
        if self._level and self._of_seed[seed.id] >= share:
            return False
        return not self._line.screen.is_full(self._line.recipe.stages[0].name, seed.id)

    def _made(self) -> dict[str, list[str]]:
        """The newest questions of each seed's rows, so that others can be asked for."""
        made: dict[str, list[str]] = {}
        for sample in self._line.outcomes.accepted():
            asked = made.setdefault(sample.seed_id, [])
            if sample.question() not in asked:
                asked.append(sample.question())
                del asked[:-AVOIDED]
        return made


def _rows(outcomes: Outcomes, selection: Selection) -> Iterator[Sample]:
    return (one for one in select(outcomes.accepted(), selection) if isinstance(one, Sample))


class CallBack:
    """Samples dropped as twins of one that was itself refused later: the first of them takes its place."""

    def __init__(self, outcomes: Outcomes, stages: list[Stage]) -> None:
        self._outcomes = outcomes
        self._stages = stages
        self._heirs: dict[str, list[str]] = {}
        """By the id of a sample that came to nothing: those called back in its place."""

    def next(self, waiting: Set[str]) -> dict[str, list[Rejection]]:
        """By stage the refused samples to be called back now. `waiting` are units that nothing came of yet."""
        units = sorted(waiting)
        called: dict[str, list[Rejection]] = {}
        for stage in self._stages:
            seen: set[str] = set()
            for one in self._outcomes.twins(stage.name, CALLABLE):
                twin = str(one.twin_id)
                heirs = self._heirs.get(twin, [])
                if twin in seen or one.id in heirs:
                    continue
                seen.add(twin)
                last = heirs[-1] if heirs else twin
                dead = self._outcomes.fate(last, CALLABLE) == "rejected" and not _any_below(units, last)
                refused = self._outcomes.refused(one.id, stage.name) if dead else None
                if refused is not None and len(heirs) < CALLED_BACK_AT_MOST:
                    self._heirs[twin] = [*heirs, one.id]
                    called.setdefault(stage.name, []).append(refused)
        return called

    def settle(self, progress: Progress, called: Mapping[str, list[Rejection]]) -> None:
        """Those called back that came to something, in either way, are no longer among the twins."""
        for stage, refused in called.items():
            for one in refused:
                if self._outcomes.fate(one.id, CALLABLE):
                    self._outcomes.take_back(one.id, stage, CALLABLE)
                    progress.stages[stage].take_back(one.reason)


def _any_below(units: Sequence[str], name: str) -> bool:
    """Whether one of the sorted unit ids is that of a sample, or below it."""
    place = bisect.bisect_left(units, name)
    return place < len(units) and units[place] < f"{name}0"
