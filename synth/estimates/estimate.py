"""What a whole run will come to, told from a pilot: a few seeds spread over all, whose replies the run then has."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synth.estimates import intervals
from synth.estimates.cheaper import hints
from synth.estimates.intervals import NOTHING, Floats, Range
from synth.estimates.pilot import Seen, batch_factor, seen
from synth.estimates.prompts import Prompts
from synth.estimates.reserving import held_back
from synth.recipes.recipe import Recipe
from synth.results.manifest import StageRecord
from synth.results.result import Pilot

UNSEEN = 1 / 3
"""What is added to the twins that were found: that a pilot met none says not that there are none (Kerman, 2011)."""

PACE = 1.25
"""By how much a host may be quicker or slower for the whole run than it was for the minute of a pilot."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one step of a stage will ask of one teacher."""

    stage: str
    """With `:score` where it is the stage's scorers that ask, and so on."""
    teacher: str
    requests: Range
    prompt_tokens: Range
    completion_tokens: Range
    cost_microusd: Range


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a whole run will come to, its pilot included."""

    pilot: int
    """Seeds that were tried."""
    seeds: int
    """All there are."""
    pilot_microusd: int
    steps: Sequence[Step]
    requests: Range
    tokens: Range
    cost_microusd: Range
    rows: Range
    seconds: Range
    """At the most requests in flight that the recipe allows, and at the number that the pilot found to work."""
    unpriced: Sequence[str]
    """Teachers whose price is not known."""
    hints: Sequence[str]
    """What would make it cheaper."""
    held_back: Sequence[str] = ()
    """Where the budget lets fewer requests be in flight than the recipe allows."""
    larger_pilot: int = 0
    """Seeds of a pilot that would about tell the cost to a factor of two; 0 where this one does."""


def estimate(
    recipe: Recipe, folder: Path, pilot: Pilot, stages: Sequence[StageRecord], prompts: Prompts | None = None
) -> Estimate:
    """What the run of a recipe will come to, from what a pilot in its folder brought, whose manifest has `stages`.

    The more seeds, the more of what they bring says what others have said: what is behind a gate lies between an equal
    share of twins and one that grows with the seeds. Where the recipe wants a number of rows it is what these will
    take. With all first `prompts` rendered, what the pilot's prompts took is scaled to the lengths of all.

    Raises FolderError when the store cannot be read.
    """
    found = _in_order(recipe, seen(folder, pilot))
    rows = np.array([float(count) for count in pilot.rows.values()])
    gate = _gate(recipe, pilot, stages)
    each = sum(float(one.requests.sum()) for one in found.values()) / max(1, len(rows))
    scale = _Scale(rows, pilot.of, recipe.selection.rows, gate, _ahead(recipe) / max(1.0, each))
    beyond = None if prompts is None else prompts.beyond(pilot.rows)
    for (_, teacher), one in found.items():
        price = recipe.teachers[teacher].known_price() if teacher in recipe.teachers else None
        one.even_out(beyond, 0.0 if price is None else price.input_usd)
    factors = {key: _price_factor(recipe, *key) for key in found}
    before = {stage.name for stage in recipe.stages[: gate.place + 1]}
    before |= {f"{stage.name}:score" for stage in recipe.stages[: gate.place]}  # the gate's own scorers come after it
    behind = {key: float(key[0] not in before) for key in found}

    def whole(part: Part, keys: Iterable[tuple[str, str]] = tuple(found)) -> Range:
        every = [(found[key], factors[key], behind[key]) for key in keys]
        pairs = [(*part(one, factor), after) for one, factor, after in every]
        nothing = np.zeros(len(rows))
        done, each = sum((pair[0] for pair in pairs), nothing), sum((pair[1] for pair in pairs), nothing)
        return scale.of(done, each, sum((pair[1] * pair[2] for pair in pairs), nothing))

    steps = [Step(*key, *(whole(part, [key]) for part in (_requests, _prompt, _completion, _cost))) for key in found]
    cost = whole(_cost)
    paid = sum(float(one.cost.sum()) for one in found.values())
    charged = sum(float(one.cost.sum()) * factors[key] for key, one in found.items())
    grown = cost.value / charged if charged and math.isfinite(cost.value) else 0.0
    return Estimate(
        pilot=len(rows),
        seeds=pilot.of,
        pilot_microusd=round(paid),
        steps=steps,
        requests=whole(_requests),
        tokens=whole(_tokens),
        cost_microusd=cost,
        rows=scale.rows(),
        seconds=_seconds(recipe, pilot, found, whole),
        unpriced=[name for name, endpoint in recipe.teachers.items() if endpoint.known_price() is None],
        hints=hints(recipe, found, factors, grown),
        held_back=() if prompts is None else held_back(recipe, prompts),
        larger_pilot=_larger_pilot(cost, len(rows), pilot.of),
    )


def _in_order(recipe: Recipe, found: Mapping[tuple[str, str], Seen]) -> dict[tuple[str, str], Seen]:
    """The steps as their stages follow each other."""
    places = {stage.name: place for place, stage in enumerate(recipe.stages)}
    keys = sorted(found, key=lambda key: (places.get(key[0].partition(":")[0], len(places)), key))
    return {key: found[key] for key in keys}


Part = Callable[[Seen, float], tuple[Floats, Floats]]
"""Of what a step asked: what each seed of the pilot took, and what each of the others is to be reckoned with."""


def _requests(one: Seen, _factor: float) -> tuple[Floats, Floats]:
    return one.requests, one.requests


def _prompt(one: Seen, _factor: float) -> tuple[Floats, Floats]:
    return one.prompt, one.prompt + one.longer


def _completion(one: Seen, _factor: float) -> tuple[Floats, Floats]:
    return one.completion, one.completion


def _tokens(one: Seen, _factor: float) -> tuple[Floats, Floats]:
    return one.prompt + one.completion, one.prompt + one.longer + one.completion


def _cost(one: Seen, factor: float) -> tuple[Floats, Floats]:
    return one.cost, (one.cost + one.dearer) * factor  # a pilot waits for no batch


def _work(one: Seen, _factor: float) -> tuple[Floats, Floats]:
    return one.seconds, one.seconds


@dataclass(frozen=True, slots=True)
class _Gate:
    """Where twins are dropped first, and what share of those that the pilot let through is let through of all."""

    place: int
    fewest: float = 1.0
    usual: float = 1.0


def _gate(recipe: Recipe, pilot: Pilot, stages: Sequence[StageRecord]) -> _Gate:
    """A text that says what another seed's says already is the more frequent the more seeds there are.

    If texts meet by chance it is as many times as frequent as there are more of them, at first; as like meets like it
    grows more slowly then, as the words of a growing text do (Heaps, 1978): here with the root of their number.
    """
    more = 2 * (math.sqrt(max(1.0, pilot.of / max(1, len(pilot.rows)))) - 1)
    gates: list[_Gate] = []
    for place, (stage, record) in enumerate(zip(recipe.stages, stages, strict=True)):
        twins = pilot.twins.get(stage.name, 0)
        if stage.dedupe is not None and record.accepted:
            fewest = (1 - (twins + UNSEEN) / (record.accepted + twins + UNSEEN)) ** more
            gates.append(_Gate(place, fewest, fewest ** (0.5 if twins else 0.25)))
    return min(gates, key=lambda one: one.fewest, default=_Gate(len(recipe.stages)))


def _ahead(recipe: Recipe) -> float:
    """How many requests may be under way when the last wanted row comes: they are paid for.

    A run begins no more than what the missing rows could need, but for stages that wait for a batch and samples that
    are compared by meaning.
    """
    most = sum(endpoint.limits.max_in_flight * len(endpoint.members()) for endpoint in recipe.teachers.values())
    most = float(min(most, 2 * (recipe.selection.rows or 0)))
    return most if recipe.waits() or recipe.embedders() else min(most, 2 * math.sqrt(most))


class _Scale:
    """From a pilot's seeds to all."""

    def __init__(self, rows: Floats, of: int, wanted: int | None, gate: _Gate, ahead: float) -> None:
        self._rows, self._left, self._wanted = rows, max(0, of - len(rows)), wanted
        self._gate, self._ahead = gate, ahead  # in seeds
        yielding = float(rows.mean()) * gate.usual if len(rows) else 0.0
        self._taken = min(1.0, (wanted or 0) / yielding / max(1, of)) if yielding else 1.0
        """The share of the seeds, which are taken in order, that the wanted rows take: the pilot's lie among all."""

    def of(self, done: Floats, each: Floats, behind: Floats) -> Range:
        """The sum over all seeds, or over as many as the wanted rows take, of what has been seen of some.

        `each` is what the others are to be reckoned with, and `behind` what of it lies behind the gate.
        """
        total, gate = float(each.sum()), self._gate
        if not len(each) or total <= 0:
            return NOTHING
        after = min(1.0, float(behind.sum()) / total)
        if self._wanted is not None:
            dearer = [after + (1 - after) / kept for kept in (1.0, gate.usual, gate.fewest)]  # fewer rows of as many
            mean = total / len(each)
            found = intervals.for_rows(each, self._rows, self._wanted).times(*dearer)
            paid = float(done.sum())
            beyond = self._taken * max(0.0, paid - total)  # what the pilot took beyond what it takes by batch
            found = found.plus(*[beyond + (1 - self._taken) * paid] * 3)
            found = found.plus(0, self._ahead / 4 * mean, self._ahead / 2 * mean)
            return Range(max(paid, found.low), max(paid, found.value), max(paid, found.high))
        kept = [1 - after * (1 - share) for share in (gate.fewest, gate.usual, 1.0)]
        return intervals.rest(each, self._left).times(*kept).plus(*[float(done.sum())] * 3)

    def rows(self) -> Range:
        """The accepted rows."""
        if self._wanted is not None:
            return Range(self._wanted, self._wanted, self._wanted)
        found = intervals.counted(self._rows, self._left).times(self._gate.fewest, self._gate.usual, 1)
        return found.plus(*[float(self._rows.sum())] * 3)


def _larger_pilot(cost: Range, tried: int, of: int) -> int:
    """How many seeds narrow the cost to a factor of two, as widths go with the root of their number."""
    if not (0 < cost.low < cost.high < math.inf) or cost.high < 2 * cost.low:
        return 0
    wanted = tried * (math.log(cost.high / cost.low) / math.log(2)) ** 2
    return min(of, 10 * math.ceil(wanted / 10)) if of > tried else 0


def _price_factor(recipe: Recipe, stage: str, teacher: str) -> float:
    """What the whole run pays of what the pilot paid, which waited for no batch."""
    endpoint, waits = recipe.teachers.get(teacher), recipe.waits()
    if endpoint is None or endpoint.known.batch is None or stage.partition(":")[0] not in waits:
        return 1.0
    return batch_factor(endpoint)


def _seconds(
    recipe: Recipe,
    pilot: Pilot,
    found: Mapping[tuple[str, str], Seen],
    whole: Callable[[Part, Iterable[tuple[str, str]]], Range],
) -> Range:
    """How long the busiest teacher will take, as stages overlap; that of a batch is not told."""
    waits = recipe.waits()
    times: list[Range] = []
    for teacher in dict.fromkeys(name for _, name in found):
        endpoint = recipe.teachers.get(teacher)
        keys = [key for key in found if key[1] == teacher and key[0].partition(":")[0] not in waits]
        if endpoint is None or not keys:
            continue
        work, requests, tokens = (whole(part, keys) for part in (_work, _requests, _tokens))
        most = endpoint.limits.max_in_flight * len(endpoint.members())
        at_once = max(1.0, min(most, pilot.in_flight.get(teacher, most)))
        a_minute = endpoint.limits.requests_per_minute or math.inf, endpoint.limits.tokens_per_minute or math.inf
        paced = [
            60 * max(one / a_minute[0], other / a_minute[1])
            for one, other in ((requests.low, tokens.low), (requests.value, tokens.value), (requests.high, tokens.high))
        ]
        shares = (work.low / most / PACE, work.value / math.sqrt(most * at_once), PACE * work.high / at_once)
        times.append(Range(*map(max, shares, paced)))
    return max(times, key=lambda one: one.value, default=NOTHING)
