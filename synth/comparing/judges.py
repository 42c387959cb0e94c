"""What can be said of a recipe's judges: how far they agree with verifiers, and whether they grade themselves."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING

from synth.protocol.endpoint import Endpoint
from synth.scorers import JUDGES, VERIFIERS
from synth.scorers.compare import POSITION_BIAS, Compare
from synth.types import Sample, Value

if TYPE_CHECKING:
    from synth.recipes.recipe import Recipe

RIGHT = 1.0


class Agreement(Value):
    """A judge beside a verifier, over the samples that both scored, those that selection refused included."""

    verifier: str
    rows: int
    right: int
    """Samples that the verifier gives 1; the others are wrong."""
    mean_right: float | None
    """The judge's mean score of right samples; None when there are none."""
    mean_wrong: float | None
    auc: float | None
    """The share of pairs of a right and a wrong sample in which the judge puts the right one higher, ties counting
    half: 1 agrees wholly, 0.5 says nothing. None when all are right, or all wrong."""


class JudgeRecord(Value):
    """A scorer that asks a teacher."""

    name: str
    stage: str
    teacher: str
    model: str
    own_answers: bool
    """Whether the model that it asks also wrote the answers: judges prefer what is their own (Panickssery et al.,
    arXiv:2404.13076)."""
    rows: int | None = None
    """Samples of the last stage that it scored, those that selection refused included; None for a judge of an earlier
    stage, whose scores go on to more than one of them."""
    position_bias: int | None = None
    """How many of them it judged by their place alone; None for a judge that sees one answer at a time."""
    agreement: tuple[Agreement, ...] = ()


class Judges:
    """Gathers what judges and verifiers say of each sample: how often which value was given, and no more."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        scorers = recipe.stages[-1].scorers
        self._names = {scorer.name for scorer in scorers if isinstance(scorer, JUDGES)}
        self._verifiers = [scorer.name for scorer in scorers if isinstance(scorer, VERIFIERS)]
        self._rows = Counter[str]()
        self._biased = Counter[str]()
        self._values: dict[tuple[str, str, bool], Counter[float]] = {}

    def see(self, sample: Sample | None) -> None:
        """Count a sample that passed the last stage, selected or not."""
        if sample is None:
            return
        for score in sample.scores:
            if score.name not in self._names:
                continue
            self._rows[score.name] += 1
            self._biased[score.name] += score.detail.startswith(POSITION_BIAS)
            for verifier in self._verifiers:
                verified = sample.score(verifier)
                if verified is not None:
                    counts = self._values.setdefault((score.name, verifier, verified >= RIGHT), Counter())
                    counts[score.counted()] += 1

    def records(self, served: Mapping[str, Iterable[str]]) -> tuple[JudgeRecord, ...]:
        """One for each judge of each stage; `served` are the models that each teacher's replies named."""
        teachers = self._recipe.teachers
        return tuple(
            JudgeRecord(
                name=scorer.name,
                stage=stage.name,
                teacher=scorer.teacher,
                model=teachers[scorer.teacher].model,
                own_answers=not _models(scorer.teacher, teachers, served).isdisjoint(
                    name for one in stage.answering() for name in _models(one, teachers, served)
                ),
                rows=self._rows[scorer.name] if scorer.name in self._names else None,
                position_bias=self._biased[scorer.name]
                if isinstance(scorer, Compare) and scorer.name in self._names
                else None,
                agreement=tuple(self._agreements(scorer.name)),
            )
            for stage in self._recipe.stages
            for scorer in stage.scorers
            if isinstance(scorer, JUDGES)
        )

    def _agreements(self, judge: str) -> Iterable[Agreement]:
        for verifier in self._verifiers:
            right, wrong = (self._values.get((judge, verifier, side), Counter[float]()) for side in (True, False))
            if right or wrong:
                yield Agreement(
                    verifier=verifier,
                    rows=right.total() + wrong.total(),
                    right=right.total(),
                    mean_right=_mean(right),
                    mean_wrong=_mean(wrong),
                    auc=ranked_right(right, wrong),
                )


def ranked_right(right: Mapping[float, int], wrong: Mapping[float, int]) -> float | None:
    """The area under the ROC curve of scores, given as how often right and wrong samples have each value."""
    values = sorted(wrong)
    below = [0, *accumulate(wrong[value] for value in values)]
    pairs = sum(right.values()) * below[-1]
    if not pairs:
        return None
    won = sum(
        count * (below[bisect.bisect_left(values, value)] + below[bisect.bisect_right(values, value)])
        for value, count in right.items()
    )
    return round(won / 2 / pairs, 4)


def _mean(counts: Counter[float]) -> float | None:
    total = counts.total()
    return round(sum(value * count for value, count in counts.items()) / total, 4) if total else None


def _models(teacher: str, teachers: Mapping[str, Endpoint], served: Mapping[str, Iterable[str]]) -> set[str]:
    """The names of the models behind a teacher and its stand-in, without what routers put before a slash."""
    asked = [name for name in (teacher, teachers[teacher].fallback) if name]
    names = [model for name in asked for model in (teachers[name].model, *served.get(name, ()))]
    return {name.rpartition("/")[2].casefold() for name in names if name}
