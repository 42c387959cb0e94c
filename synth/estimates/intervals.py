"""Between what a total lies nine times of ten, told from what a few of its parts came to.

Costs have long tails: around a mean of few of them an interval by Student's t lies too low. So this one goes by
factors, the standard error being that of the logarithm, and its end on the side of the longer tail is moved by
Johnson's correction for skewness (Johnson, 1978). What was all alike, or all nothing, is bounded by what is too rare to
have shown (Clopper and Pearson, 1934).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]

NORMAL = 1.645
LEAST_SPREAD = 0.05
"""No interval is narrower than this to either side: of what is left, something is always otherwise than in a pilot."""
RARE = 0.05
UNMET = 1.5
"""By what factor what is too rare to have shown may be dearer than what has, or cheaper."""


@dataclass(frozen=True, slots=True)
class Range:
    """An estimate, and between what the true value lies nine times of ten."""

    low: float
    value: float
    high: float

    def times(self, low: float, value: float, high: float) -> Range:
        """Each of the three by its own factor."""
        return Range(self.low * low, self.value * value, self.high * high)

    def plus(self, low: float, value: float, high: float) -> Range:
        """Each of the three with its own addend."""
        return Range(self.low + low, self.value + value, self.high + high)


NOTHING = Range(0, 0, 0)


def rest(each: Floats, left: int) -> Range:
    """The sum over `left` more of what `each` of a few came to."""
    mean = float(each.mean()) if len(each) else 0.0
    if left <= 0 or mean <= 0:
        return NOTHING
    down, up = _spread(each / mean, left)
    return Range(left * mean * math.exp(-down), left * mean, left * mean * math.exp(up))


def counted(each: Floats, left: int) -> Range:
    """The same of counts, of which a pilot may have met one kind alone."""
    if not len(each) or left <= 0:
        return NOTHING
    rare = _rare(len(each))
    if not each.any():
        return Range(0, 0, left * rare)
    found = rest(each, left)
    return found if each.std() else Range(min(found.low, found.value * (1 - rare)), found.value, found.value)


def for_rows(each: Floats, rows: Floats, wanted: int) -> Range:
    """What as many as bring the `wanted` rows come to, when each of a few brought these `rows`."""
    yields = float(rows.mean()) if len(rows) else 0.0
    if not yields:
        return Range(float(each.sum()), math.inf, math.inf)
    ratio = float(each.mean()) / yields
    if ratio <= 0:
        return NOTHING
    down, up = _spread(1 + (each - ratio * rows) / (ratio * yields), math.ceil(wanted / yields))
    return Range(ratio * wanted * math.exp(-down), ratio * wanted, ratio * wanted * math.exp(up))


def _spread(each: Floats, left: int) -> tuple[float, float]:
    """By what powers of e the mean of `left` more may lie below, and above, that of these, which is 1."""
    count = len(each)
    if count < 2:
        return 1.0, 1.0
    deviation = float(each.std(ddof=1))
    error, t = deviation * math.sqrt(1 / count + 1 / left), _student(count - 1)
    skew = float(((each - each.mean()) ** 3).mean()) / float(each.std()) ** 3 if deviation else 0.0
    tail = abs(skew) / (6 * math.sqrt(count)) * (1 + 2 * t * t)
    down = -math.log(max(0.01, 1 - (t + tail) * error)) if skew < 0 else t * error
    up = (t + tail) * error if skew >= 0 else math.log1p(t * error)
    unmet = -math.log(1 - _rare(count) * (1 - 1 / UNMET)), math.log1p(_rare(count) * (UNMET - 1))
    return max(LEAST_SPREAD, unmet[0], down), max(LEAST_SPREAD, unmet[1], up)


def _rare(count: int) -> float:
    """What is no rarer than this shows itself among so many, 95 times in 100."""
    return 1 - RARE ** (1 / count)


def _student(freedom: int) -> float:
    """The 95 % quantile of Student's t, to the second order (Abramowitz and Stegun, 26.7.5)."""
    z = NORMAL
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
