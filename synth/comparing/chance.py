"""Whether a difference between paired values is more than chance, whatever the form of their distribution.

Sources: the paired permutation test (Fisher, 1935), which for yes and no is McNemar's exact test (McNemar, 1947), and
the interval of all differences that it does not refute; several comparisons at once are corrected as by Holm (1979).
Random numbers are drawn from a fixed seed, so that the same values give the same figures.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from math import comb
from typing import NamedTuple

RESAMPLES = 10_000
MOST_EXACT = 12
"""Pairs of which every exchange is tried; of more a sample of all exchanges is."""
STEPS = 20
"""Halvings by which the end of an interval is found."""
CHANCE = 0.05
"""A difference that chance alone makes as large, or larger, more often than this says nothing."""


class Difference(NamedTuple):
    """How far the first values of pairs are above the second, on average."""

    mean: float
    interval: tuple[float, float] | None
    """In which it lies, at 95 %; None when the pairs are too few, or too much alike, to tell."""
    p: float
    """How often chance alone makes a difference as large, or larger."""
    pairs: int


def difference(one: Sequence[float], other: Sequence[float]) -> Difference | None:
    """Compare values of the same things; None when there are none."""
    apart = [a - b for a, b in zip(one, other, strict=True)]
    if not apart:
        return None
    mean = sum(apart) / len(apart)
    return Difference(mean, _interval(apart, mean), _of_signs(apart), len(apart))


def corrected(chances: Sequence[float]) -> list[float]:
    """The p of several comparisons at once, each in its place."""
    made, before = list(chances), 0.0
    for rank, place in enumerate(sorted(range(len(chances)), key=lambda place: chances[place])):
        before = max(before, min(1.0, chances[place] * (len(chances) - rank)))
        made[place] = before
    return made


def _of_signs(apart: Sequence[float]) -> float:
    """How often the sum is as far from 0 when a coin gives each value its sign."""
    apart = [one for one in apart if one]
    if len({abs(one) for one in apart}) > 1:
        return _permuted(apart)(0)
    count, least = len(apart), min(sum(one > 0 for one in apart), sum(one < 0 for one in apart))
    return min(1.0, 2 * sum(comb(count, ups) for ups in range(least + 1)) / 2**count)


def _permuted(apart: Sequence[float]) -> Callable[[float], float]:
    """The same of what the values are above a number, by trying signs."""
    import numpy  # takes a tenth of a second

    values, count = numpy.asarray(apart), len(apart)
    if count <= MOST_EXACT:
        signs, more = numpy.asarray(list(itertools.product((-1, 1), repeat=count))), 0
    else:
        signs, more = numpy.random.default_rng(0).choice([-1, 1], (RESAMPLES, count)), 1

    # what is left of each sum when all values are lowered alike needs no look at the values again
    sums, ups, whole = signs @ values, signs.sum(axis=1), float(values.sum())

    def p(above: float) -> float:
        as_far = int((numpy.abs(sums - above * ups) >= abs(whole - above * count) - 1e-9).sum())
        return (as_far + more) / (len(sums) + more)

    return p


def _interval(apart: Sequence[float], mean: float) -> tuple[float, float] | None:
    span = max(apart) - min(apart)
    if not span:
        return None
    p = _permuted(apart)
    ends: list[float] = []
    for side in (-1, 1):
        near, far = 0.0, 2 * span
        if p(mean + side * far) >= CHANCE:
            return None
        for _ in range(STEPS):
            middle = (near + far) / 2
            near, far = (middle, far) if p(mean + side * middle) >= CHANCE else (near, middle)
        ends.append(mean + side * near)
    return ends[0], ends[1]
