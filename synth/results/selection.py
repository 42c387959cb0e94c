"""Which accepted samples become rows. Decided at export, so that it can be decided again without asking again."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated

from pydantic import Field, model_validator

from synth.comparing.agreement import MAJORITY, agreed
from synth.dedupe import text_of
from synth.language.text import several
from synth.results.decisions import BY_HAND, Decision
from synth.types import Rejection, Sample, Value

SELECTION = "selection"
"""Stands in a rejection where the name of a stage does."""
Threshold = Annotated[float, Field(allow_inf_nan=False)]


class Diverse(Value):
    """Rows in order of score, each only if it is unlike every row taken before it, as in Deita (Liu et al.,
    arXiv:2312.15685)."""

    by: str = "question"
    """What is compared: `question`, `answer`, `messages`, or the name of a field."""
    order: list[str] = Field(min_length=1)
    """The scores whose product decides which row comes first, such as `[complexity, quality]`; one that may be below 0,
    as a log-probability or a reward, stands alone."""
    below: float = Field(gt=0, le=1)
    """The similarity, as a share of character n-grams in common (Jaccard), that rows stay below."""
    most: int | None = Field(default=None, ge=1)
    """The most rows in all: the best ones."""


class Selection(Value):
    """Thresholds, the best of several draws, and a target count."""

    require: dict[str, Threshold] = {}
    """The least a score may be, by its name."""
    at_most: dict[str, Threshold] = {}
    """The most a score may be, by its name, as `pass_rate` to leave out what is easy."""
    best_of: str = ""
    """Keep, of the draws of one prompt, the best by this score, among equals the first; or `majority`: the first that
    gives the final answer that most of them give."""
    per_prompt: int | None = Field(default=None, ge=1)
    """The most rows one prompt may bring; 1 when `best_of` is given."""
    rows: int | None = Field(default=None, ge=1)
    """The most rows in all: the first ones in id order."""
    balance: str = ""
    """A field, such as a label, of which every value is to have as many rows as the rarest one; the first ones stay."""
    diverse: Diverse | None = None
    """Choose, among what the others leave, rows that are unlike each other; all of it is held in memory."""

    @model_validator(mode="after")
    def _one_target(self) -> Selection:
        if self.diverse is not None and self.rows is not None:
            raise ValueError(
                "`rows` takes the first that come and `diverse` the best of all; give `diverse: {most: ..}`"
            )
        if self.balance and (self.rows is not None or self.diverse is not None):
            raise ValueError("`balance` decides how many rows there are; leave `rows` and `diverse` out")
        return self

    def shortfall(self, sample: Sample) -> str:
        """The first threshold that a sample misses, in words; empty when it misses none."""
        for name, least in self.require.items():
            value = sample.score(name)
            if value is None or value < least:
                return f"{name} is {'missing' if value is None else f'{value:g}'}, at least {least:g} is required"
        for name, most in self.at_most.items():
            value = sample.score(name)
            if value is None or value > most:
                return f"{name} is {'missing' if value is None else f'{value:g}'}, at most {most:g} is allowed"
        return ""

    def kept_per_prompt(self) -> int | None:
        """How many rows one prompt may bring; None for all."""
        return self.per_prompt or (1 if self.best_of else None)


def select(
    samples: Iterable[Sample], selection: Selection, decisions: Mapping[str, Decision] | None = None
) -> Iterator[Sample | Rejection]:
    """Tell rows from the rest; samples come in id order, and so do the answers to them, prompt by prompt.

    What a person decided goes before all else: whatever was rejected does not count among the draws of its prompt, and
    whatever was accepted or edited is a row.

    It ends with the prompt that brought the last wanted row: what had been asked beyond it depends on timing. Memory is
    bounded by the draws of one prompt, but for `diverse` and `balance`. Rejections carry `below_threshold`, `not_best`,
    `beyond_target`, `not_diverse`, `not_balanced` or `by_hand`.
    """
    decisions = decisions or {}
    chosen = _by_prompt(samples, selection, decisions)
    if selection.balance:
        return _balanced(list(chosen), selection.balance, decisions)
    return chosen if selection.diverse is None else _unlike(list(chosen), selection.diverse, decisions)


def _by_prompt(
    samples: Iterable[Sample], selection: Selection, decisions: Mapping[str, Decision]
) -> Iterator[Sample | Rejection]:
    rows, most = 0, selection.kept_per_prompt()
    for _, group in itertools.groupby(samples, key=lambda sample: sample.parent_id):
        draws: list[Sample] = []
        for sample in group:
            if (decided := decisions.get(sample.id)) is not None and decided.decision == "reject":
                yield sample.refused(BY_HAND, decided.detail, SELECTION)
            else:
                draws.append(sample)
        if selection.best_of == MAJORITY:
            draws = agreed(draws)
        shortfalls = [selection.shortfall(sample) for sample in draws]
        best = [sample for sample, shortfall in zip(draws, shortfalls, strict=True) if not shortfall]
        if selection.best_of:
            best.sort(key=lambda sample: -(sample.score(selection.best_of) or 0.0))
        kept = {sample.id for sample in best[:most]}
        for sample, shortfall in zip(draws, shortfalls, strict=True):
            if sample.id in decisions:
                rows += 1
                yield sample
            elif shortfall:
                yield sample.refused("below_threshold", shortfall, SELECTION)
            elif sample.id not in kept:
                yield sample.refused("not_best", f"{best[0].id} was chosen for the same prompt", SELECTION)
            elif selection.rows is not None and rows >= selection.rows:
                yield sample.refused("beyond_target", f"wanted: {several(selection.rows, 'row')}", SELECTION)
            else:
                rows += 1
                yield sample
        if selection.rows is not None and rows >= selection.rows:
            return


def _balanced(
    chosen: list[Sample | Rejection], field: str, decisions: Mapping[str, Decision]
) -> Iterator[Sample | Rejection]:
    """As many of every value as there are of the rarest one, and what a person wanted."""
    values = [str(one.fields.get(field)) if isinstance(one, Sample) else None for one in chosen]
    counts = Counter(value for value in values if value is not None)
    least = min(counts.values(), default=0)
    taken = Counter[str]()
    for one, value in zip(chosen, values, strict=True):
        if isinstance(one, Rejection) or value is None:
            yield one
            continue
        taken[value] += 1
        detail = f"{field} {value!r} is in {several(counts[value], 'row')}, and {least:,} is what the rarest value has"
        kept = taken[value] <= least or one.id in decisions
        yield one if kept else one.refused("not_balanced", detail, SELECTION)


def _unlike(
    chosen: list[Sample | Rejection], diverse: Diverse, decisions: Mapping[str, Decision]
) -> Iterator[Sample | Rejection]:
    from synth.dedupe.diverse import too_similar  # numpy takes a tenth of a second

    text = text_of(diverse.by)
    samples = [sample for sample in chosen if isinstance(sample, Sample)]
    samples.sort(key=lambda sample: -math.prod(sample.score(name) or 0.0 for name in diverse.order))
    refused: dict[str, Rejection] = {}
    taken = 0
    for sample, alike in zip(samples, too_similar([text(one) for one in samples], diverse.below), strict=True):
        if sample.id in decisions:
            taken += 1
        elif alike is not None:
            twin, similarity = samples[alike[0]], round(alike[1], 4)
            detail = f"{similarity:g} of it is in the better row {twin.id}"
            rejection = sample.refused("not_diverse", detail, SELECTION)
            refused[sample.id] = replace(rejection, twin_id=twin.id, similarity=similarity)
        elif diverse.most is not None and taken == diverse.most:
            refused[sample.id] = sample.refused("beyond_target", f"wanted: {several(diverse.most, 'row')}", SELECTION)
        else:
            taken += 1
    return (refused.get(one.id, one) if isinstance(one, Sample) else one for one in chosen)
