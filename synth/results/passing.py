"""What passes from a run into its files: rows and rejections in id order, and what is to be told of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import orjson

from synth.comparing.agreement import Adaptive
from synth.comparing.judges import Judges
from synth.language.diversity import MOST_CHARACTERS, MOST_ROWS
from synth.recipes.recipe import Recipe
from synth.results.decisions import Decision, edited
from synth.results.outcomes import Kept, Outcomes
from synth.results.selection import Selection, select
from synth.types import Rejection, Sample

EXAMPLES = 12
SHOWN = 3
"""Rejections of each reason."""
LAST_ID = "~"
"""Comes after every id, as they are made of digits and slashes, with `t` before those of later turns; given twice, also
after those of replies that were followed by another one, which end in it and a digit."""


class Passing:
    """Rows and rejections on their way into files, and what is to be told of them."""

    def __init__(self, recipe: Recipe, outcomes: Outcomes) -> None:
        self._outcomes = outcomes
        self._selection = recipe.selection
        self._only_split = next(iter(recipe.split.fractions))
        last = recipe.stages[-1]
        self._are_scored = bool(last.scorers or isinstance(last.draws, Adaptive)) or self._selection != Selection()
        self._model = recipe.teachers[last.generator.teacher].model if last.is_shared else ""
        """That of the last stage's first teacher, where several answer."""
        self._last, self._end = "", LAST_ID
        self.judges = Judges(recipe)
        self.scores: Counter[tuple[str, float]] = Counter()
        self.not_selected: Counter[str] = Counter()
        self.mixture: Counter[str] = Counter()
        self.examples: list[Sample] = []
        self.texts: list[tuple[str, str]] = []
        self.rejections: list[Rejection] = []

    def rows(self, every: Iterable[Kept | Rejection], splits: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
        """Each of what was `chosen` that is a row, with its split: that of its seed, where there are several."""
        made, stride, wide = 0, 1, 1
        reads_all, wanted = self._are_scored or bool(self._model), self._selection.rows
        for one in every:
            if isinstance(one, Rejection):
                self.judges.see(one.sample)
                self.not_selected[one.reason] += 1
                self._outcomes.reject(one)
                continue
            if reads_all:
                self._count(one.sample())
            if made % stride == 0:
                self.examples.append(one.sample())
                if len(self.examples) > 2 * EXAMPLES:  # every second one goes, so that they stay spread over the run
                    del self.examples[1::2]
                    stride *= 2
            if made % wide == 0:
                # of these the last turns are all that counts: reading the whole sample takes ten times as long
                said = {turn["role"]: turn["content"] or "" for turn in orjson.loads(one.line)["messages"]}
                question, answer = said.get("user", ""), said.get("assistant", "")
                self.texts.append((question[:MOST_CHARACTERS], answer[:MOST_CHARACTERS]))
                if len(self.texts) > 2 * MOST_ROWS:
                    del self.texts[1::2]
                    wide *= 2
            made += 1
            if made == wanted:
                last = one.sample()
                self._last, unit = last.id, last.id.rpartition("/")[0]
                # the best of a prompt is chosen when all of its draws are there
                self._end = f"{last.parent_id}/{LAST_ID}" if self._selection.best_of else f"{unit}{LAST_ID}{LAST_ID}"
            yield splits.get(one.seed_id, self._only_split), one.line

    def _count(self, sample: Sample) -> None:
        """What is told of all rows: who answered, and the scores."""
        if self._model:
            self.mixture[sample.model or self._model] += 1
        if self._are_scored:
            self.judges.see(sample)
            self.scores.update((score.name, score.counted()) for score in sample.scores)

    def rejected(self) -> Iterator[Rejection]:
        """The rejections; of every reason the first few are to be shown."""
        shown: Counter[str] = Counter()
        for rejection in self._outcomes.rejected():
            if rejection.id > self._end:
                return  # how far the run went beyond the last wanted row depends on timing
            if not self._selection.best_of and _is_later(rejection.id, self._last):
                continue
            shown[rejection.reason] += 1
            if shown[rejection.reason] <= SHOWN:
                self.rejections.append(rejection)
            yield rejection


def _is_later(name: str, last: str) -> bool:
    """Whether a rejection's id is that of a later draft of the reply that made the last row."""
    return bool(last) and name.startswith(last.rpartition("/")[0] + "/") and name[: len(last)] > last


def chosen(outcomes: Outcomes, selection: Selection, decisions: Mapping[str, Decision]) -> Iterator[Kept | Rejection]:
    """What selection and decisions make of what was accepted. Where nothing is asked of them no sample is read."""
    if selection == Selection() and not decisions:
        return outcomes.kept()
    return _decided(outcomes, selection, decisions)


def _decided(outcomes: Outcomes, selection: Selection, decisions: Mapping[str, Decision]) -> Iterator[Kept | Rejection]:
    """The same with something to decide by; rows that a person wanted come also when selection had enough before."""
    last = ""
    for one in select(edited(outcomes.accepted(), decisions), selection, decisions):
        last = max(last, one.id)
        yield one if isinstance(one, Rejection) else outcomes.with_row(one)
    beyond = (outcomes.accepted_one(id_) for id_ in decisions if id_ > last and decisions[id_].decision != "reject")
    for sample in edited((one for one in beyond if one is not None), decisions):
        yield outcomes.with_row(sample)
