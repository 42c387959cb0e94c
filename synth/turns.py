"""The outer loop over the line: further turns over the seeds until there are as many rows as wanted, and samples that
are called back because what they were twins of came to nothing.

What is decided between two passes follows from the outcomes so far, in id order, and from the selections under which
seeds were drawn again in this folder, and so from the store alone.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from math import ceil, inf

from pydantic import TypeAdapter

from synth.dedupe import TWIN_REASONS
from synth.errors import StoreStopped
from synth.line import Line
from synth.live.progress import Progress
from synth.recipes.recipe import Stage
from synth.results.outcomes import Outcomes
from synth.results.selection import Selection, select
from synth.types import Rejection, Sample, Seed

MOST_TURNS = 999
TURNS_AT_ONCE = 8
LEAST_YIELD = 0.1
"""A turn that brings less than this share of what the first brought, for each seed, is the last of its kind."""
CALLED_BACK_AT_MOST = 2
"""For each sample that came to nothing: those that say almost the same will probably meet the same end."""
FEWEST_CALLED, CALLED_PER_ROW = 8, 2
"""At once, where so many rows are wanted. All of these are asked, so that the rows do not depend on timing."""
AVOIDED = 20
CALLABLE = tuple(reason for kind, reason in TWIN_REASONS.items() if kind != "template")
NOTE = "turns"
SELECTIONS = TypeAdapter(list[Selection])

Seeds = Callable[[], Iterator[Seed | Rejection]]


async def in_turns(line: Line, seeds: Seeds, *, whole: bool) -> None:
    """Send all seeds through the line, then whatever else is needed.

    `seeds` begins anew with each call. Without `whole` they are a part of all, and are taken once. When nothing is sent
    any more, or was from the beginning, the further passes are made again as far as the store holds them.
    """
    await line.run(seeds())
    turns = Turns(line)
    callers = CallBack(line.outcomes, [stage for stage in line.recipe.stages if _can_call(line, stage)])
    undone = {name: count.unfinished for name, count in line.progress.stages.items()}
    while not isinstance(line.halt.error, StoreStopped) and not turns.are_enough():
        if called := callers.next(line.waiting, turns.missing()):
            await line.run(iter(()), called)
            callers.settle(line.progress, called)
        elif not whole or (again := await turns.next(seeds)) is None:
            break
        else:
            answered = _answered(line)
            await line.run(again)
            if line.halt.error is not None and _answered(line) == answered:  # such a turn was never taken
                line.progress.turns = turns.before
                break
    if line.halt.error is not None:  # what was never asked for in a further pass is not missing
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
    """When to go over the seeds again, and with which of them.

    That follows from what a selection leaves. Those under which it was decided in this folder decide again, each as
    long as it wants more, and the recipe's own last: so another selection finds the samples of all turns.
    """

    def __init__(self, line: Line) -> None:
        self.before = 1
        """Turns before the last ones."""
        self._line = line
        self._noted = SELECTIONS.validate_json(line.store.meta(NOTE) or "[]")
        """The selections that have decided, in their order."""
        self._own = line.recipe.selection
        self._of_seed: Counter[str] = Counter()
        """Rows so far by the recipe's selection."""
        self._all_drawn = line.progress.seeds
        """Seeds in all turns."""
        self._place = 0
        self._begin()

    def _begin(self) -> None:
        """Let the next selection decide."""
        self._selection = self._noted[self._place] if self._place < len(self._noted) else self._own
        self._had = 0
        """Rows before the last turns."""
        self._drawn: int = self._all_drawn
        """Seeds in the last turns."""
        self._first: float | None = None
        """Rows for each seed in the first turn."""
        self._level = True
        """Whether only seeds are drawn again that brought less than their share."""

    def are_enough(self) -> bool:
        """Whether there are as many rows as wanted; counts them."""
        if self._own.rows is None:
            return False
        self._of_seed = _brought(self._line.outcomes, self._own)
        self._line.start_counting(self._of_seed.total())
        return self._of_seed.total() >= self._own.rows

    def missing(self) -> int | None:
        """Rows that are still wanted; None when no number of them is."""
        return None if self._own.rows is None else self._own.rows - self._of_seed.total()

    async def next(self, seeds: Seeds) -> Iterator[Seed] | None:
        """The seeds of the next turns; None when there is no use in any, or nothing is sent and none was taken."""
        if self._own.rows is None:
            return None
        while self._place < len(self._noted):
            if (again := self._next(seeds)) is not None:
                return again
            self._place += 1
            self._begin()
        if self._line.halt.error is not None or self._own in self._noted[-1:]:
            return None
        again = self._next(seeds)
        if again is not None:
            self._noted.append(self._own)
            await self._line.store.note(NOTE, SELECTIONS.dump_json(self._noted).decode())
        return again

    def _next(self, seeds: Seeds) -> Iterator[Seed] | None:
        """The seeds of the next turns by the selection that decides."""
        wanted, progress = self._selection.rows, self._line.progress
        of_seed = self._of_seed if self._selection == self._own else _brought(self._line.outcomes, self._selection)
        rows = of_seed.total()
        if wanted is None or rows >= wanted or not self._drawn:
            return None
        gained = rows - self._had
        if self._first is None:
            self._first = gained / self._drawn
        too_little = gained < max(1, LEAST_YIELD * self._first * self._drawn)
        if too_little and (not self._first or not self._level or self._one_for_each()):
            return None
        self._level = self._level and not too_little
        every = (one for one in seeds() if isinstance(one, Seed))
        drawn = {one.id: one for one in every if self._may_be_drawn(one, wanted, of_seed[one.id])}
        turns = min(
            MOST_TURNS - progress.turns, 1 if too_little else max(1, min(TURNS_AT_ONCE, (wanted - rows) // gained))
        )
        if not drawn or turns < 1:
            return None
        began, self._had, self._drawn = progress.turns, rows, turns * len(drawn)
        self.before = began
        self._all_drawn += self._drawn
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

    def _may_be_drawn(self, seed: Seed, wanted: int, rows: int) -> bool:
        share = 1 if self._one_for_each() else ceil(wanted / max(1, self._line.progress.seeds))
        if self._level and rows >= share:
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


def _brought(outcomes: Outcomes, selection: Selection) -> Counter[str]:
    """How many rows a selection leaves of each seed."""
    return Counter(one.seed_id for one in select(outcomes.accepted(), selection) if isinstance(one, Sample))


class CallBack:
    """Samples dropped as twins of one that was itself refused later: the first of them takes its place."""

    def __init__(self, outcomes: Outcomes, stages: list[Stage]) -> None:
        self._outcomes = outcomes
        self._stages = stages
        self._heirs: dict[str, list[str]] = {}
        """By the id of a sample that came to nothing: those called back in its place."""

    def next(self, waiting: Set[str], missing: int | None) -> dict[str, list[Rejection]]:
        """By stage the refused samples to be called back now. `waiting` are units that nothing came of yet.

        Where rows are `missing` it is not many more than these.
        """
        units, left = sorted(waiting), inf if missing is None else max(FEWEST_CALLED, CALLED_PER_ROW * missing)
        called: dict[str, list[Rejection]] = {}
        for stage in self._stages:
            seen: set[str] = set()
            for one in self._outcomes.twins(stage.name, CALLABLE):
                if not left:
                    return called
                twin = str(one.twin_id)
                heirs = self._heirs.get(twin, [])
                if twin in seen or one.id in heirs:
                    continue
                seen.add(twin)
                last = heirs[-1] if heirs else twin
                dead = self._outcomes.fate(last, CALLABLE) == "rejected" and not _any_below(units, last)
                refused = self._outcomes.refused(one.id, stage.name) if dead else None
                if refused is not None and len(heirs) < CALLED_BACK_AT_MOST:
                    left -= 1
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
