"""The page of a bake-off: the teachers' figures, what of it may be chance, and their answers side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from synth.comparing.bakeoff import ACCEPTED, LANGUAGE, Comparison, Contender, Given, Measured
from synth.datasets.files import write_whole
from synth.language.text import Count
from synth.money.budget import usd
from synth.report.figures import short
from synth.report.page import load_template
from synth.report.texts import shown
from synth.report.words import Words, words_of

MOST_PROMPTS = 50
MOST_CHARACTERS = 4000
"""Of one answer."""
SHARES = (ACCEPTED, LANGUAGE)
"""Measures whose values are shares of drafts; the others are scores."""


def write_comparison(path: Path, found: Comparison) -> None:
    """Write the page, in Japanese for a Japanese recipe, else in English. Raises FolderError when the disk refuses."""
    write_whole(path, page(found).encode("utf-8", "replace"))


def page(found: Comparison) -> str:
    """The page as HTML."""
    words = words_of(found.language)
    return load_template("compare.html.j2").render(
        found=found,
        words=words,
        said=words.compared,
        figures=list(figures(found.contenders, words)),
        prompts=list(found.answers.items())[:MOST_PROMPTS],
        left=max(0, len(found.answers) - MOST_PROMPTS),
        question=question,
        amount=amount,
        interval=interval,
        counted=Count,
        shown=shown,
        most=MOST_CHARACTERS,
        labels={ACCEPTED: words.compared.accepted, LANGUAGE: words.compared.in_language},
    )


def figures(of: Sequence[Contender], words: Words) -> Iterator[tuple[str, list[str]]]:
    """The lines of a table with a column for each teacher: what they tell, and a value for each."""
    said = words.compared
    yield words.model, [one.model for one in of]
    yield said.prompts, [f"{one.prompts:,}" for one in of]
    yield said.accepted, [said.of.format(f"{one.accepted:,}", f"{one.drafts:,}") for one in of]
    yield said.per_accepted, [_cost(one, words.unknown) for one in of]
    yield said.tokens_per_accepted, [_or_dash(one.tokens_per_accepted, "{:,.0f}") for one in of]
    for score in sorted({score for one in of for score in one.scores}):
        means = [one.scores.get(score) for one in of]
        yield score, ["–" if mean is None else f"{short(mean[0])} ({mean[1]:,})" for mean in means]
    yield said.characters, [_or_dash(one.characters, "{:,.0f}") for one in of]
    yield said.in_language, [_or_dash(one.in_language, "{:.0%}") for one in of]


def _cost(one: Contender, unknown: str) -> str:
    cost = one.cost_per_accepted_microusd
    return usd(cost) if cost is not None else unknown if one.cost_microusd is None else "–"


def _or_dash(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def question(answers: dict[str, tuple[Given, ...]]) -> str:
    """What a prompt's rows ask, from the first answer that tells."""
    return next((one.question for given in answers.values() for one in given if one.question), "")


def amount(measured: Measured, value: float) -> str:
    """A difference as people read it: of shares in points of a hundred, of scores as it is."""
    return f"{_points(value)} %" if measured.measure in SHARES else _signed(value)


def interval(measured: Measured) -> str:
    """From where to where the difference may lie."""
    if measured.interval is None:
        return "–"
    if measured.measure in SHARES:
        return f"{' … '.join(map(_points, measured.interval))} %"
    return " … ".join(map(_signed, measured.interval))


def _points(share: float) -> str:
    points = round(100 * share)
    return f"{points:+d}" if points else "0"


def _signed(value: float) -> str:
    """With three decimals at most: a difference smaller than that is none."""
    seen = round(value, 3)
    return f"{'+' if seen > 0 else '-'}{short(abs(seen))}" if seen else "0"
