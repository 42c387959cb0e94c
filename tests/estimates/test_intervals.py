"""An interval told from twenty holds the truth about nine times of ten, long tails and counts of one kind included."""

from __future__ import annotations

import math

import numpy as np
import pytest

from synth.estimates.intervals import counted, for_rows, rest

TIMES, TRIED = 400, 20
CHANCE = np.random.default_rng(0)
POPULATIONS = {
    "even": CHANCE.uniform(0.5, 1.5, 2000),
    "exponential": CHANCE.exponential(1.0, 2000),
    "as traces of reasoning": CHANCE.lognormal(5, 1, 2000),
    "one or two": CHANCE.choice([1.0, 2.0], 2000, p=[0.25, 0.75]),
}


def drawn(population):
    """Pilots of a population, each with the sum over the others."""
    chance = np.random.default_rng(1)
    for _ in range(TIMES):
        picked = population[chance.permutation(len(population))]
        yield picked[:TRIED], float(picked[TRIED:].sum())


@pytest.mark.parametrize("name", POPULATIONS)
def test_the_truth_lies_in_the_interval_nearly_as_often_as_is_said(name):
    found = [(rest(pilot, 1980), truth) for pilot, truth in drawn(POPULATIONS[name])]
    inside = sum(one.low <= truth <= one.high for one, truth in found) / TIMES
    assert 0.83 <= inside <= 0.99, inside
    assert all(one.low < one.value < one.high for one, _ in found)


@pytest.mark.parametrize("name", ["even", "one or two"])
@pytest.mark.parametrize("tried", [2, 3, 5])
def test_a_pilot_of_very_few_that_were_all_alike_is_no_certainty(name, tried):
    population = POPULATIONS[name]
    inside = 0
    for place in range(TIMES):
        picked = np.random.default_rng(place).permutation(population)
        found = rest(picked[:tried], 100)
        inside += found.low <= picked[tried : tried + 100].sum() <= found.high
    assert inside / TIMES >= 0.9


@pytest.mark.parametrize("share", [0.02, 0.3, 0.97])
def test_counts_of_which_a_pilot_met_one_kind_alone_are_no_certainty(share):
    population = (np.random.default_rng(2).random(2000) < share).astype(float)
    inside = sum(one.low <= truth <= one.high for one, truth in ((counted(p, 1980), t) for p, t in drawn(population)))
    assert inside / TIMES >= 0.87, inside
    assert counted(np.zeros(TRIED), 100).high == pytest.approx(100 * (1 - 0.05 ** (1 / TRIED)))
    assert counted(np.ones(TRIED), 100).low == pytest.approx(100 * 0.05 ** (1 / TRIED))
    assert counted(np.ones(TRIED), 100).high == 100, "more of them than there are cannot be"


def test_nothing_is_left_where_all_were_tried():
    assert (rest(np.ones(5), 0).high, counted(np.ones(5), 0).high, rest(np.zeros(5), 9).high) == (0, 0, 0)


def test_what_wanted_rows_take_is_told_from_the_rows_that_came():
    chance = np.random.default_rng(3)
    inside = 0
    for _ in range(TIMES):
        rows = (chance.random(3000) < 0.6).astype(float)
        costs = chance.exponential(1.0, 3000)
        truth = costs[: int(np.searchsorted(rows.cumsum(), 500)) + 1].sum()
        pilot = chance.choice(3000, TRIED, replace=False)
        found = for_rows(costs[pilot], rows[pilot], 500)
        inside += found.low <= truth <= found.high
    assert 0.87 <= inside / TIMES <= 0.97, inside
    assert math.isinf(for_rows(np.ones(5), np.zeros(5), 9).high), "no number of seeds brings a row"
