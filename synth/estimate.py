"""What a whole run will come to, told from a pilot: a few seeds spread over all, whose replies the run then has."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import orjson
import zstandard

from synth.money.budget import usd
from synth.protocol.endpoint import Endpoint
from synth.recipes.recipe import Recipe
from synth.results.manifest import StageRecord
from synth.results.result import Pilot
from synth.storage.database import connect, readable

RESAMPLES = 2000
CONFIDENCE = (5.0, 95.0)
LEAST_SPREAD = 0.05
"""No interval is narrower than this to either side: of what is left, something is always otherwise than in a pilot."""
NORMAL = 1.645
CACHED_FROM = 1024
"""Hosts keep the beginning of a prompt from so many tokens on."""
DEAR_JUDGE = 0.3
ASKED = (
    "SELECT stage, teacher, unit, sum(coalesce(lot.place, 0) = 0), sum(coalesce(prompt_tokens, 0)), "
    "sum(coalesce(completion_tokens, 0)), sum(coalesce(cached_tokens, 0)), "
    "sum(coalesce(cost_microusd, 0)), sum(coalesce(seconds, 0)), min(body) "
    "FROM attempt LEFT JOIN settled ON settled.attempt = attempt.id LEFT JOIN reply ON reply.attempt = attempt.id "
    "LEFT JOIN lot ON lot.attempt = attempt.id WHERE key = ? AND failure IS NOT 'unsent' GROUP BY stage, teacher, unit"
)

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Range:
    """An estimate, and between what the true value lies nine times of ten."""

    low: float
    value: float
    high: float


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


@dataclass(slots=True)
class _Seen:
    """What one step asked for each seed of the pilot."""

    requests: Floats
    prompt: Floats
    completion: Floats
    cached: Floats
    cost: Floats
    seconds: Floats
    bodies: list[bytes]


def estimate(recipe: Recipe, folder: Path, pilot: Pilot, stages: Sequence[StageRecord]) -> Estimate:
    """What the run of a recipe will come to, from what a pilot in its folder brought, whose manifest has `stages`.

    Intervals are by resampling the pilot's seeds (Efron, 1979), widened by Student's t for their small number, with the
    scatter of those that are still to come. The more seeds, the more of what they bring says what others have said:
    what is behind the first gate lies between an equal share of twins and one that grows with the seeds. Where the
    recipe wants a number of rows it is what these will take.

    Raises FolderError when the store cannot be read.
    """
    seen = _seen(folder, pilot)
    rows = np.array([float(count) for count in pilot.rows.values()])
    gate, kept = _gate(recipe, pilot, stages)
    scale = _Scale(rows, pilot.of, recipe.selection.rows, kept)
    factors = {key: _price_factor(recipe, *key) for key in seen}
    order = [stage.name for stage in recipe.stages]
    behind = {key: float(key[0] not in order[: gate + 1]) for key in seen}

    def whole(part: Callable[[_Seen, float], Floats], keys: Iterable[tuple[str, str]] = seen) -> Range:
        each = {key: part(seen[key], factors[key]) for key in keys}
        nothing = np.zeros(len(rows))
        return scale.of(sum(each.values(), nothing), sum((behind[key] * one for key, one in each.items()), nothing))

    parts = (_requests, _prompt, _completion, _cost)
    steps = [Step(*key, *(whole(part, [key]) for part in parts)) for key in seen]
    cost = sum((_cost(one, factors[key]) for key, one in seen.items()), np.zeros(len(rows)))
    return Estimate(
        pilot=len(rows),
        seeds=pilot.of,
        pilot_microusd=round(sum(float(one.cost.sum()) for one in seen.values())),
        steps=steps,
        requests=whole(_requests),
        tokens=whole(lambda one, factor: _prompt(one, factor) + _completion(one, factor)),
        cost_microusd=whole(_cost),
        rows=scale.rows(),
        seconds=_seconds(recipe, pilot, seen, steps),
        unpriced=[name for name, endpoint in recipe.teachers.items() if endpoint.known_price() is None],
        hints=_hints(recipe, seen, scale, cost),
    )


def _requests(one: _Seen, _factor: float) -> Floats:
    return one.requests


def _prompt(one: _Seen, _factor: float) -> Floats:
    return one.prompt


def _completion(one: _Seen, _factor: float) -> Floats:
    return one.completion


def _cost(one: _Seen, factor: float) -> Floats:
    return one.cost * factor


def _gate(recipe: Recipe, pilot: Pilot, stages: Sequence[StageRecord]) -> tuple[int, float]:
    """The place of the first stage that drops twins, and the share of what it kept in the pilot that it keeps of all.

    A text that says what another seed's says already is the more frequent the more seeds there are: as many times as
    there are more of them, if texts meet by chance.
    """
    for place, (stage, record) in enumerate(zip(recipe.stages, stages, strict=True)):
        twins = pilot.twins.get(stage.name, 0)
        if stage.dedupe is not None and twins and record.accepted:
            kept = record.accepted / (record.accepted + twins)
            return place, float(kept ** (max(1.0, pilot.of / len(pilot.rows)) - 1))
    return len(recipe.stages), 1.0


class _Scale:
    """From a pilot's seeds to all."""

    def __init__(self, rows: Floats, of: int, wanted: int | None, kept: float) -> None:
        self._rows, self._of, self._wanted, self._kept = rows, max(of, len(rows)), wanted, kept
        count = len(rows)
        self._drawn = np.random.default_rng(0).integers(0, max(1, count), (RESAMPLES, max(1, count)))
        self._noise = np.random.default_rng(1).standard_normal(RESAMPLES)
        freedom = max(1, count - 1)
        student = NORMAL + (NORMAL**3 + NORMAL) / (4 * freedom)  # its quantile, to the first order
        self._wider = student / NORMAL * math.sqrt(count / freedom) if count else 1.0

    def of(self, each: Floats, behind: Floats) -> Range:
        """The sum over all seeds, or over as many as the wanted rows take, of what has been seen of some.

        `behind` is what of it lies behind the gate that drops twins.
        """
        if not len(each) or not each.any():
            return Range(0, 0, 0)
        means = each[self._drawn].mean(axis=1)
        if self._wanted is not None:
            yields = self._rows[self._drawn].mean(axis=1)
            if not self._rows.sum():
                return Range(float(each.sum()), math.inf, math.inf)
            value = float(each.sum() / self._rows.sum()) * self._wanted
            drawn = self._wanted * means / np.maximum(yields, 1 / len(each))
            dearer = self._kept**-0.5 - 1  # fewer rows of as many new texts
            return self._range(value, drawn, 0.0, (value - value * float(behind.sum() / each.sum())) * dearer)
        left = self._of - len(each)
        done, mean = float(each.sum()), float(each.mean())
        drawn = done + left * means + math.sqrt(left) * float(each.std()) * self._noise
        return self._range(done + left * mean, drawn, done, -left * float(behind.mean()) * (1 - self._kept**0.5))

    def rows(self) -> Range:
        """The accepted rows."""
        if self._wanted is not None:
            return Range(self._wanted, self._wanted, self._wanted)
        return self.of(self._rows, self._rows)

    def _range(self, value: float, drawn: Floats, least: float, shift: float) -> Range:
        """Around a value that growing numbers of twins may shift, once or twice so far."""
        low, high = (float(one) for one in np.percentile(drawn, CONFIDENCE))
        spread = LEAST_SPREAD * (value - least)
        below = max(self._wider * (value - low), spread) + max(0.0, -shift)
        above = max(self._wider * (high - value), spread) + max(0.0, shift)
        middle = value + shift
        return Range(max(least, middle - below), middle, middle + above + max(0.0, -shift))


def _seen(folder: Path, pilot: Pilot) -> dict[tuple[str, str], _Seen]:
    """What the pilot's seeds asked for, by stage and teacher, each in the order of the seeds."""
    places = {seed: place for place, seed in enumerate(pilot.rows)}
    found: dict[tuple[str, str], _Seen] = {}
    with readable(folder / "run.db"):
        connection = connect(folder / "run.db")
        for key in sorted(pilot.requests):
            for row in connection.execute(ASKED, (key,)):
                _note(found, places, row)
        connection.close()
    return dict(sorted(found.items()))


def _note(found: dict[tuple[str, str], _Seen], places: Mapping[str, int], row: sqlite3.Row | Sequence[Any]) -> None:
    stage, teacher, unit, *numbers, body = row
    if (stage, teacher) not in found:
        blank = [np.zeros(len(places)) for _ in range(6)]
        found[stage, teacher] = _Seen(blank[0], blank[1], blank[2], blank[3], blank[4], blank[5], [])
    one, place = found[stage, teacher], places.get(unit.partition("/")[0])
    arrays = (one.requests, one.prompt, one.completion, one.cached, one.cost, one.seconds)
    for array, number in zip(arrays, numbers, strict=True):
        if place is None:  # of what is asked for several seeds at once each bears its part
            array += number / len(array)
        else:
            array[place] += number
    one.bodies.append(zstandard.ZstdDecompressor().decompress(body))


def _price_factor(recipe: Recipe, stage: str, teacher: str) -> float:
    """What the whole run pays of what the pilot paid, which waited for no batch."""
    endpoint, waits = recipe.teachers.get(teacher), recipe.waits()
    if endpoint is None or endpoint.known.batch is None or stage.partition(":")[0] not in waits:
        return 1.0
    return _batch_factor(endpoint)


def _batch_factor(endpoint: Endpoint) -> float:
    price, terms = endpoint.known_price(), endpoint.known.batch
    usual = 1.0 if terms is None else terms.factor
    return usual if price is None else price.service_tiers.get("batch", usual)


def _seconds(recipe: Recipe, pilot: Pilot, seen: Mapping[tuple[str, str], _Seen], steps: Sequence[Step]) -> Range:
    """How long the busiest teacher will take, as stages overlap; that of a batch is not told."""
    waits = recipe.waits()
    best: dict[str, float] = {}
    found: dict[str, float] = {}
    for step in steps:
        endpoint, one = recipe.teachers.get(step.teacher), seen[step.stage, step.teacher]
        if endpoint is None or step.stage.partition(":")[0] in waits:
            continue
        work_s = step.requests.value * float(one.seconds.sum() / max(1.0, one.requests.sum()))
        most = endpoint.limits.max_in_flight * len(endpoint.members())
        tokens = step.prompt_tokens.value + step.completion_tokens.value
        paced_s = 60 * max(
            step.requests.value / (endpoint.limits.requests_per_minute or math.inf),
            tokens / (endpoint.limits.tokens_per_minute or math.inf),
        )
        at_once = max(1.0, min(most, pilot.in_flight.get(step.teacher, most)))
        best[step.teacher] = best.get(step.teacher, 0.0) + max(work_s / most, paced_s)
        found[step.teacher] = found.get(step.teacher, 0.0) + max(work_s / at_once, paced_s)
    low, high = max(best.values(), default=0.0), max(found.values(), default=0.0)
    return Range(low, math.sqrt(low * high), high)


def _hints(recipe: Recipe, seen: Mapping[tuple[str, str], _Seen], scale: _Scale, cost: Floats) -> list[str]:
    """What would make it cheaper, the most first."""
    hints: list[tuple[float, str]] = []
    total = float(cost.sum())
    for stage in recipe.stages:
        own = {key: one for key, one in seen.items() if key[0].partition(":")[0] == stage.name and one.cost.any()}
        waiting = 0.0
        for (step, teacher), one in own.items():
            endpoint = recipe.teachers.get(teacher)
            if endpoint is None:
                continue
            hints += _step_hints(step, endpoint, one, total)
            if endpoint.known.batch is not None and not stage.can_wait_h:
                waiting += float(one.cost.sum()) * (1 - _batch_factor(endpoint))
        hints.append((waiting, f"can_wait_h: 24 on stage {stage.name} asks by batch and saves about"))
        if own and isinstance(stage.draws, int) and stage.draws > 1:
            spent = sum(_by_draws(recipe.teachers.get(teacher), step, one) for (step, teacher), one in own.items())
            words = f"one draw less than {stage.draws} in stage {stage.name} saves about"
            hints.append((spent / stage.draws, words))
    value = scale.of(cost, np.zeros(len(cost))).value
    grown = value / total if total and math.isfinite(value) else 0.0
    return [f"{words} {usd(round(money * grown))}" for money, words in sorted(hints, reverse=True) if money > 0]


def _by_draws(endpoint: Endpoint | None, step: str, one: _Seen) -> float:
    """What of a step's cost grows with the draws: not the prompt, where it is billed once for all of them."""
    price = endpoint.known_price() if endpoint is not None and not step.endswith(":score") else None
    once = price is not None and endpoint is not None and endpoint.draws_at_once > 1
    return float(one.cost.sum()) - (float(one.prompt.sum()) * price.input_usd if once and price else 0.0)


def _step_hints(step: str, endpoint: Endpoint, one: _Seen, total: float) -> Iterator[tuple[float, str]]:
    """What the pilot would have cost less by, in micro-dollars, and by what."""
    spent, prompt = float(one.cost.sum()), max(1.0, float(one.prompt.sum()))
    if step.endswith(":score") and spent > DEAR_JUDGE * total:
        words = (
            f"scoring takes {spent / total:.0%} of the money, {prompt / one.requests.sum():,.0f} tokens a prompt: a "
        )
        yield spent / 2, words + "judge of half the price, or a shorter rubric, saves up to"
    shared, price = _shared_tokens(one), endpoint.known_price()
    if shared >= CACHED_FROM and not one.cached.any() and price is not None and price.cached_input_usd is not None:
        less = (
            shared * float(one.requests.sum()) * (price.input_usd - price.cached_input_usd)
        )  # dollars per million: micro-dollars a token
        yield (
            less,
            f"prompts of {step} begin with the same {shared:,.0f} tokens: from the host's cache that saves up to",
        )


def _shared_tokens(one: _Seen) -> float:
    """About how many tokens all prompts of a step begin with alike."""
    texts = sorted("".join(_texts(body)) for body in one.bodies)
    if len(texts) < 2 or not texts[0]:
        return 0.0
    first, last = texts[0], texts[-1]  # what the two furthest apart share, all share
    same = next((place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    per_request = float(one.prompt.sum() / max(1.0, one.requests.sum()))
    return per_request * same / (sum(map(len, texts)) / len(texts))


def _texts(body: bytes) -> list[str]:
    messages: Any = orjson.loads(body).get("messages")
    turns = cast("list[dict[str, Any]]", messages if isinstance(messages, list) else [])
    return [str(turn.get("content") or "") for turn in turns]
