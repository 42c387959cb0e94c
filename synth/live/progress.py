"""What a run has done so far: counters that the line writes, and the command line and the manifest read."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from synth.admission.health import SILENCE_S
from synth.money.budget import Budget

if TYPE_CHECKING:
    from synth.teacher import Teacher

HARD = 0.5
"""A prompt is hard when a smaller share of its draws is good."""
SHOWN_PAUSE_S = 2.0
"""Shorter ones are part of keeping to a rate."""


@dataclass(slots=True)
class Rung:
    """One way to ask for an object: how often, how often it brought one, and what it cost."""

    asked: int = 0
    fitted: int = 0
    cost_microusd: int = 0


@dataclass(slots=True)
class Share:
    """One teacher's part in a stage that several answer in: how often it was asked, with what use, at what cost."""

    asked: int = 0
    of_use: int = 0
    cost_microusd: int = 0


@dataclass(slots=True)
class StageCount:
    """One stage's counters."""

    draws: int = 1
    """For each parent; the most where their number adapts."""
    units: int = 0
    drafts: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter[str])
    parked: int = 0
    poison: int = 0
    """Of the parked, those that failed in the same way each time: they are asked again by a retry alone."""
    unfinished: int = 0
    """Units left undone, or unscored, because the run stopped sending."""
    unasked: int = 0
    """Of them, those of which nothing was made."""
    called_back: int = 0
    """Twins that took the place of what they were twins of, as that was refused later."""
    rungs: dict[str, Rung] = field(default_factory=dict[str, "Rung"])
    """How objects were asked for."""
    shares: dict[str, Share] = field(default_factory=dict[str, "Share"])
    """By teacher, where several answer."""
    pass_rates: Counter[int] = field(default_factory=Counter[int])
    """Of the prompts whose draws adapt, how many had a pass rate of so many tenths, rounded down."""
    drawn: int = 0
    """How many draws they took."""
    hard: int = 0
    """Of them, those of which fewer than half of the draws were good."""
    empty: int = 0
    """Of the hard ones, those without a single good draw."""

    def count_prompt(self, draws: int, rate: float, *, empty: bool) -> None:
        """Count a prompt that got its draws, with the share of them that were good, and whether none was."""
        self.drawn += draws
        self.pass_rates[int(10 * rate)] += 1
        self.hard += rate < HARD
        self.empty += rate < HARD and empty

    def answered(self, teacher: str, cost_microusd: int, *, of_use: bool) -> None:
        """Count what a teacher gave for a unit, and whether something of it passed."""
        share = self.shares.setdefault(teacher, Share())
        share.asked += 1
        share.of_use += of_use
        share.cost_microusd += cost_microusd

    def take_back(self, reason: str) -> None:
        """A sample that was refused as a twin went on after all."""
        self.rejected[reason] -= 1
        self.called_back += 1

    def expected_draws(self) -> float:
        """Draws for each parent, as far as it is known."""
        prompts = self.pass_rates.total()
        return self.drawn / prompts if prompts else self.draws

    def climbed(self, steps: list[tuple[str, bool, int]]) -> None:
        """Count steps of the ladder by which objects are asked for, and forget them."""
        for name, fitted, cost_microusd in steps:
            rung = self.rungs.setdefault(name, Rung())
            rung.asked += 1
            rung.fitted += fitted
            rung.cost_microusd += cost_microusd
        steps.clear()


class _Mark(NamedTuple):
    """How far a run was, and what it had spent, when it began to ask: what was stored takes neither time nor money."""

    at: float
    share: float
    spent_microusd: int


@dataclass(slots=True)
class Progress:
    """A run's counters."""

    stages: dict[str, StageCount]
    teachers: Mapping[str, Teacher]
    budget: Budget
    total_seeds: int | None = None
    turns: int = 1
    """How often the seeds, or some of them, were drawn."""
    seeds: int = 0
    refused_seeds: Counter[str] = field(default_factory=Counter[str])
    """By reason, repeated ones included."""
    seeds_done: int = 0
    rows: int = 0
    """Samples that passed the last stage."""
    held_by: Callable[[], list[str]] = list
    """Tells which plug-ins of the user's own have kept others waiting for long, a sentence each."""
    warning: str = ""
    """What this machine could not give the run; empty when nothing was missing."""
    began: float = field(default_factory=time.monotonic)
    _mark: _Mark | None = None
    """None until a run that goes on has had a reply."""

    def __post_init__(self) -> None:
        if not self.budget.spent_requests:
            self._mark = _Mark(self.began, 0.0, 0)

    def refuse_seed(self, reason: str) -> None:
        """Count a seed that is not used."""
        self.refused_seeds[reason] += 1
        if self.total_seeds is not None and reason != "repeated_seed":  # those were never among them
            self.total_seeds -= 1

    def in_flight(self) -> int:
        """Requests on the wire."""
        return sum(teacher.admission.in_flight for teacher in self.teachers.values())

    def batched(self) -> int:
        """Requests that wait for a batch."""
        return sum(teacher.batches.waiting for teacher in self.teachers.values() if teacher.batches is not None)

    def pulse(self) -> int | None:
        """A number that moves whenever a send ends; None while nothing is on the wire."""
        return sum(teacher.landed for teacher in self.teachers.values()) if self.in_flight() else None

    def moved(self) -> tuple[object, ...] | None:
        """Numbers of which one moves with each step of a unit; None while a teacher is asked, or to be asked again."""
        if any(teacher.is_asked for teacher in self.teachers.values()):
            return None
        each = self.stages.values()
        ends = [(one.units, one.accepted, one.rejected.total(), one.parked, one.unfinished) for one in each]
        return self.seeds, self.refused_seeds.total(), self.rows, ends

    def held(self) -> dict[str, float]:
        """Seconds until each teacher is asked again that lets nothing through: it asked for a pause, or is down."""
        pauses = {name: min(lane.pause_s(1) for lane in each.admission.lanes) for name, each in self.teachers.items()}
        return {name: pause_s for name, pause_s in pauses.items() if pause_s >= SHOWN_PAUSE_S}

    def silent(self) -> dict[str, tuple[float, float]]:
        """Of each teacher that is out of reach: since how many seconds, and how many more it is waited for."""
        return silent(self.teachers)

    def loads(self) -> dict[str, tuple[float, float]]:
        """How many requests the servers of each teacher run, and how many wait there, of those that tell."""
        told = {
            name: [lane.load for lane in each.admission.lanes if lane.load is not None]
            for name, each in self.teachers.items()
        }
        return {
            name: (sum(load.running for load in loads), sum(load.waiting for load in loads))
            for name, loads in told.items()
            if loads
        }

    def parked(self) -> int:
        """Units whose patience ended."""
        return sum(count.parked for count in self.stages.values())

    def poison(self) -> int:
        """Of these, units that only a retry asks again."""
        return sum(count.poison for count in self.stages.values())

    def unfinished(self) -> int:
        """Units left undone because the run stopped sending."""
        return sum(count.unfinished for count in self.stages.values())

    def rejected(self) -> Counter[str]:
        """Rejections by reason, refused seeds included."""
        total = Counter(self.refused_seeds)
        for count in self.stages.values():
            total.update(count.rejected)
        return total

    def expected_units(self) -> dict[str, float]:
        """How many units each stage will have had at the end, as far as it can be told; empty when nothing can."""
        if not self.total_seeds or not self.seeds_done:
            return {}
        expected: dict[str, float] = {}
        coming: float = self.total_seeds
        for name, count in self.stages.items():
            expected[name] = coming * count.expected_draws()
            coming = count.accepted * expected[name] / max(1, count.units)
        return expected

    def share(self) -> float | None:
        """How much of the work is done, from above 0 to 1; None when it cannot be told."""
        expected = sum(self.expected_units().values())
        done = sum(count.units - count.unfinished for count in self.stages.values())
        return min(1.0, done / expected) if done and expected else None

    def left_s(self) -> float | None:
        """Seconds left at the pace so far; None when it cannot be told, as while a teacher is out of reach."""
        found = None if self.silent() else self._to_come()
        return None if found is None else found[1] * (time.monotonic() - found[0].at)

    def projected_microusd(self) -> int | None:
        """What all will have cost at the price of the work so far; None when it cannot be told."""
        found, spent = self._to_come(), self.budget.spent_microusd
        return None if found is None else round(spent + found[1] * (spent - found[0].spent_microusd))

    def _to_come(self) -> tuple[_Mark, float] | None:
        """The work to come, in units of that done since a mark; None when that says nothing."""
        share = self.share()
        if self._mark is None and share is not None and any(each.landed for each in self.teachers.values()):
            self._mark = _Mark(time.monotonic(), share, self.budget.spent_microusd)
        if share is None or self._mark is None or share <= self._mark.share:
            return None
        return self._mark, (1 - share) / (share - self._mark.share)


def silent(teachers: Mapping[str, Teacher]) -> dict[str, tuple[float, float]]:
    """Of each of these that is out of reach: since how many seconds, and how many more it is waited for."""
    found = {name: each.health.silent_s for name, each in teachers.items()}
    return {name: (for_s, max(0.0, SILENCE_S - for_s)) for name, for_s in found.items() if for_s >= SHOWN_PAUSE_S}
