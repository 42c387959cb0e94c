"""The numbers of a run as bars and table lines; pure arithmetic on the manifest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from synth.dedupe import Calibration, Summary
from synth.language.text import Count
from synth.report.words import Words
from synth.results.manifest import Manifest
from synth.storage.database import Ledger

MOST_VALUES = 12
BINS = 10
MOST_SIZES = 8
PLOT_WIDTH, PLOT_HEIGHT = 400, 100


@dataclass(frozen=True, slots=True)
class Bar:
    """A labelled count. `percent` is its length, 0 to 100, relative to the longest bar of its figure."""

    label: str
    count: int
    percent: float
    cost_microusd: int = 0
    """Of a step, what was paid in it."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """The values of one score over all rows."""

    name: str
    rows: int
    mean: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Spending:
    """What one teacher was asked in one stage. Money in micro-dollars."""

    stage: str
    teacher: str
    attempts: int
    failures: tuple[tuple[str, int], ...]
    """Attempts that brought no usable reply, by class."""
    prompt_tokens: int
    completion_tokens: int
    cost_microusd: int


@dataclass(frozen=True, slots=True)
class Column:
    """How many pairs were about as similar; places and sizes in the units of the drawing."""

    label: str
    count: int
    x: float
    width: float
    height: float
    is_twin: bool
    """Whether all pairs of it reach the threshold."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """How similar the pairs were that a gate compared."""

    columns: tuple[Column, ...]
    count: int
    threshold: float
    mark: float
    """Where the threshold stands."""


def bars(counts: Iterable[tuple[str, int]]) -> tuple[Bar, ...]:
    """Counts as bars on one scale."""
    pairs = tuple(counts)
    longest = max((count for _, count in pairs), default=0) or 1
    return tuple(Bar(label, count, round(100 * count / longest, 2)) for label, count in pairs)


def funnel(manifest: Manifest, words: Words) -> tuple[Bar, ...]:
    """Seeds, then drafts and accepted samples of each stage, then rows; with what asking and scoring cost."""
    steps = [(words.seeds, manifest.seeds.count, 0)]
    for stage in manifest.stages:
        asked = sum(line.cost_microusd for line in manifest.ledger if line.stage == stage.name)
        beside = sum(line.cost_microusd for line in manifest.ledger if line.stage.startswith(f"{stage.name}:"))
        steps.append((f"{stage.name}: {words.drafts}", stage.drafts, asked))
        steps.append((f"{stage.name}: {words.accepted}", stage.accepted, beside))
    steps.append((words.rows, manifest.row_count, manifest.cost_microusd))
    lengths = bars((label, count) for label, count, _ in steps)
    return tuple(replace(bar, cost_microusd=cost) for bar, (_, _, cost) in zip(lengths, steps, strict=True))


def histograms(manifest: Manifest) -> tuple[Histogram, ...]:
    """One figure per score."""
    return tuple(_histogram(name, counts) for name, counts in manifest.scores.items() if counts)


def spending(ledger: Iterable[Ledger]) -> tuple[Spending, ...]:
    """The ledger folded to one line per stage and teacher, in the ledger's order."""
    groups: dict[tuple[str, str], list[Ledger]] = {}
    for line in ledger:
        groups.setdefault((line.stage, line.teacher), []).append(line)
    return tuple(
        Spending(
            stage=stage,
            teacher=teacher,
            attempts=sum(line.sends for line in lines),
            failures=tuple((line.failure, line.attempts) for line in lines if line.failure != "ok"),
            prompt_tokens=sum(line.prompt_tokens for line in lines),
            completion_tokens=sum(line.completion_tokens for line in lines),
            cost_microusd=sum(line.cost_microusd for line in lines),
        )
        for (stage, teacher), lines in groups.items()
    )


def pairs(twins: Summary | Calibration) -> Pairs | None:
    """The distribution of similarities, heights by the square root of the counts; None when no pair was compared.

    Unrelated pairs are far more than twins: on one scale with them twins could not be seen.
    """
    if twins.threshold is None or not any(twins.pairs):
        return None
    most, step = max(twins.pairs), 1 / len(twins.pairs)
    width = PLOT_WIDTH * step
    columns = tuple(
        Column(
            label=f"{place * step:.2f} – {(place + 1) * step:.2f}",
            count=count,
            x=round(place * width + 1, 2),
            width=round(width - 2, 2),
            height=round(PLOT_HEIGHT * (count / most) ** 0.5, 2),
            is_twin=place * step >= twins.threshold - step / 2,
        )
        for place, count in enumerate(twins.pairs)
        if count
    )
    return Pairs(columns, sum(twins.pairs), twins.threshold, round(PLOT_WIDTH * twins.threshold, 2))


def sizes(twins: Summary, words: Words) -> tuple[Bar, ...]:
    """How many clusters there are of each size, the rare large ones together."""
    counts = sorted(twins.sizes.items())
    if len(counts) > MOST_SIZES:
        rest = counts[MOST_SIZES - 1 :]
        larger = (words.texts_or_more.format(Count(rest[0][0])), sum(count for _, count in rest))
        return bars([*((words.texts.format(Count(size)), count) for size, count in counts[: MOST_SIZES - 1]), larger])
    return bars((words.texts.format(Count(size)), count) for size, count in counts)


def short(value: float) -> str:
    """A number with the three digits that scores are counted with, and without an exponent: 1050 and not 1.05e+03."""
    return f"{float(f'{value:.3g}'):,g}"


def _histogram(name: str, counts: dict[float, int]) -> Histogram:
    rows = sum(counts.values())
    mean = sum(value * count for value, count in counts.items()) / rows
    values = sorted(counts)
    if len(values) <= MOST_VALUES:
        return Histogram(name, rows, mean, bars((f"{value:g}", counts[value]) for value in values))
    low = values[0]
    width = (values[-1] - low) / BINS
    binned = [0] * BINS
    for value, count in counts.items():
        binned[min(BINS - 1, int((value - low) / width))] += count
    labels = (f"{short(low + i * width)} – {short(low + (i + 1) * width)}" for i in range(BINS))
    return Histogram(name, rows, mean, bars(zip(labels, binned, strict=True)))
