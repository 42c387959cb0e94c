"""A run over time as drawings: requests a minute, tokens a second, money so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from synth.money.budget import usd
from synth.report.figures import PLOT_HEIGHT, PLOT_WIDTH, short
from synth.report.words import Words, duration
from synth.storage.pace import Pace

MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class Curve:
    """One quantity over the time of a run. Places are in the units of the drawing."""

    name: str
    points: str
    """The outline of its area, as SVG takes it."""
    most: str
    """The highest value, or all that it came to, for people."""
    label: str
    """All of it in one sentence, for who does not see the drawing."""


@dataclass(frozen=True, slots=True)
class Course:
    """How a run went over time."""

    curves: tuple[Curve, ...]
    ticks: tuple[tuple[int, str], ...]
    """Places on the axis of time, and how long the run had asked by then."""
    breaks: int


def course(pace: Pace | None, words: Words) -> Course | None:
    """The drawings; None where there is nothing to draw."""
    if pace is None or len(pace.parts) < 2:
        return None
    requests = [one.requests * MINUTE_S / pace.part_s for one in pace.parts]
    tokens = [one.completion_tokens / pace.part_s for one in pace.parts]
    money = list(accumulate([one.cost_microusd for one in pace.parts]))
    curves = [_curve(words.requests_a_minute, requests, words.at_most.format(short(max(requests))))]
    if any(tokens):
        curves.append(_curve(words.tokens_a_second, tokens, words.at_most.format(short(max(tokens)))))
    if money[-1]:
        curves.append(_curve(words.money_so_far, money, usd(money[-1])))
    whole_s = pace.part_s * len(pace.parts)
    ticks = ((0, "0"), *((round(PLOT_WIDTH * at), duration(whole_s * at, words.language)) for at in (0.5, 1)))
    return Course(tuple(curves), ticks, pace.breaks)


def _curve(name: str, values: Sequence[float], most: str) -> Curve:
    step, highest = PLOT_WIDTH / len(values), max(values) or 1
    edges = [
        (place, PLOT_HEIGHT * (1 - value / highest))
        for number, value in enumerate(values)
        for place in (number * step, (number + 1) * step)
    ]
    outline = [(0, PLOT_HEIGHT), *edges, (PLOT_WIDTH, PLOT_HEIGHT)]
    points = " ".join([f"{x:.1f},{y:.1f}" for x, y in outline])
    return Curve(name, points, most, f"{name}: {most}")
