"""Which accepted samples become rows. Decided at export, so that it can be decided again without asking again."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import Field

from synth.agreement import MAJORITY, agreed
from synth.types import Rejection, Sample, Value

Threshold = Annotated[float, Field(allow_inf_nan=False)]


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


def select(samples: Iterable[Sample], selection: Selection) -> Iterator[Sample | Rejection]:
    """Tell rows from the rest; samples come in id order, and so do the answers to them, prompt by prompt.

    It ends with the prompt that brought the last wanted row: what had been asked beyond it depends on timing. Memory is
    bounded by the draws of one prompt. Rejections carry `below_threshold`, `not_best` or `beyond_target`.
    """
    if selection == Selection():
        yield from samples  # nothing is asked of them, and looking at each would take a quarter of the export
        return
    rows, most = 0, selection.kept_per_prompt()
    for _, group in itertools.groupby(samples, key=lambda sample: sample.parent_id):
        draws = list(group)
        if selection.best_of == MAJORITY:
            draws = agreed(draws)
        shortfalls = [selection.shortfall(sample) for sample in draws]
        best = [sample for sample, shortfall in zip(draws, shortfalls, strict=True) if not shortfall]
        if selection.best_of:
            best.sort(key=lambda sample: -(sample.score(selection.best_of) or 0.0))
        kept = {sample.id for sample in best[:most]}
        for sample, shortfall in zip(draws, shortfalls, strict=True):
            if shortfall:
                yield _rejection(sample, "below_threshold", shortfall)
            elif sample.id not in kept:
                yield _rejection(sample, "not_best", f"{best[0].id} was chosen for the same prompt")
            elif selection.rows is not None and rows >= selection.rows:
                yield _rejection(sample, "beyond_target", f"{selection.rows} rows were wanted")
            else:
                rows += 1
                yield sample
        if selection.rows is not None and rows >= selection.rows:
            return


def _rejection(sample: Sample, reason: str, detail: str) -> Rejection:
    return Rejection(
        id=sample.id, seed_id=sample.seed_id, stage="selection", reason=reason, detail=detail, sample=sample
    )
