"""Scores for rows of files: by what asks nobody, and, given a way to ask, by what asks a teacher."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar, cast

from pydantic import JsonValue

from synth.admission.halt import Halt
from synth.admission.scheduler import gathered
from synth.aside import Aside
from synth.ask import UnitAsk
from synth.boundary import Boundary
from synth.datasets.rows import line
from synth.errors import Fatal, Problem, RecipeError, TeacherError, Transient
from synth.files.asking import Desk
from synth.files.parts import Bought, Judge, Removal, Report, Scores, Verdict, samples_of, sift
from synth.gates.work import Work
from synth.language.near import hint
from synth.language.text import several
from synth.own import OwnScorer
from synth.protocol.endpoint import Endpoint
from synth.protocol.fates import POISON
from synth.recipes.templates import Templates
from synth.scorers import ASKING, Scorer
from synth.teacher import Teacher
from synth.types import Fields, Rejection, Sample, Score
from synth.unit import Unit

T = TypeVar("T")


class Asking(NamedTuple):
    """How scorers ask from a thread: on the loop where their teachers live."""

    loop: asyncio.AbstractEventLoop
    teachers: Mapping[str, Teacher]
    templates: Templates
    language: str

    def ask(self, row: str) -> UnitAsk:
        """What the scoring of a row may do, by the row's id."""
        return UnitAsk(Unit("score", row, 0, 0), self.teachers, self.templates, self.language, 0)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do some work there, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()


@contextmanager
def scoring(
    scorers: Sequence[Scorer],
    require: Mapping[str, float],
    notes: BinaryIO | None,
    report: Scores,
    asking: Asking | None = None,
) -> Generator[Judge]:
    """Scores rows, removes those below what is required (`below_threshold`), and writes the scores down; scorers of the
    user's own have the time that a run gives them.

    Raises RecipeError when a scorer needs a teacher and there is nobody to ask. With `asking` the judge works in a
    thread beside the loop, and many rows at once; it raises Fatal when the asking stopped, or brought nothing for some
    row, after all that was in flight has come. It raises Fatal too when scorers of the user's own keep failing, or ask
    where nobody is asked, and whatever else of synth's errors ends a run.
    """
    for scorer in scorers if asking is None else ():
        if isinstance(scorer, ASKING):
            raise RecipeError(
                f"The scorer {scorer.name!r} asks a teacher, and nobody is asked here; name it with --teacher."
            )
    names = [scorer.name for scorer in scorers]
    missing = [name for name in require if name not in names]
    if missing:
        near = hint(missing[0], names)
        raise RecipeError(f"There is no score {missing[0]!r}; the scorers are {', '.join(names) or 'none'}{near}.")

    halt = Halt()
    called = _Called(Aside(), Boundary(halt), halt)

    async def each(samples: Sequence[Sample]) -> list[_Found]:
        if asking is None:
            return [await _scores(sample, scorers, nobody(sample.id), called) for sample in samples]
        return await gathered([_scores(sample, scorers, asking.ask(sample.id), called) for sample in samples])

    with ExitStack() as opened:
        run = opened.enter_context(asyncio.Runner()).run if asking is None else asking.run

        def judge(samples: Sequence[Sample]) -> Iterator[Verdict]:
            for sample, found in zip(samples, _told(run(each(samples))), strict=True):
                yield found if isinstance(found, Removal) else _verdict(sample, found, require, notes, report)

        opened.callback(lambda: run(called.aside.end()))
        yield judge


def asked_by(scorers: Sequence[Scorer], known: Mapping[str, Endpoint]) -> dict[str, Endpoint]:
    """The teachers that scorers ask, by name; empty when they ask nobody.

    Raises RecipeError for one that is not known, but when none is: then nothing can be asked.
    """
    named = {scorer.teacher: scorer for scorer in scorers if isinstance(scorer, ASKING)}
    for name, scorer in named.items() if known else ():
        if name not in known:
            raise RecipeError(
                f"The scorer {scorer.name!r} asks the teacher {name!r}; name it with --teacher {name}=BASE_URL,MODEL."
            )
    return {name: known[name] for name in named} if known else {}


async def sift_asking(
    files: Sequence[Path],
    out: Path | None,
    desk: Desk,
    scorers: Sequence[Scorer],
    judge_of: Callable[[Asking], AbstractContextManager[Judge]],
    templates: Templates,
    language: str,
) -> Report:
    """As `sift`, by a judge that asks the teachers of a desk. Raises what `sift` and `scoring` do, and RecipeError for
    templates that cannot be rendered with the first row."""
    scorers = [scorer for scorer in scorers if isinstance(scorer, ASKING)]
    if problems := await asyncio.to_thread(_unfit, files, scorers, templates):
        raise RecipeError(problems)
    before = desk.budget.spent_requests, desk.budget.spent_microusd
    asking = Asking(asyncio.get_running_loop(), desk.teachers, templates, language)

    def sifted() -> Report:
        with judge_of(asking) as judge:
            return sift(files, out, judge)

    report = await asyncio.to_thread(sifted)
    report.bought = Bought(0, desk.budget.spent_requests - before[0], desk.budget.spent_microusd - before[1])
    return report


def _unfit(files: Sequence[Path], scorers: Sequence[Scorer], templates: Templates) -> list[Problem]:
    """What is wrong with the templates of scorers, as far as the first row shows."""
    first = next((one for path in files for _, some in samples_of(path, "messages") for one in some), None)
    fields = {} if first is None else first.fields
    every = [(scorer, name) for scorer in scorers for name in scorer.template_files()]
    return [
        problem for scorer, name in every for problem in templates.check(name, {**fields, **scorer.template_values})
    ]


_Found = list[Score] | Removal | TeacherError


async def _scores(sample: Sample, scorers: Sequence[Scorer], ask: UnitAsk, called: _Called) -> _Found:
    if called.halt.error is not None:
        return called.halt.error
    scores: list[Score] = []
    for one in scorers:
        found = await called.score(one, sample, ask)
        if isinstance(found, Rejection):
            return called.halt.error or Removal(found.reason, found.detail)
        if isinstance(found, Transient) and found.failure == POISON:
            return Removal("no_verdict", str(found))
        if isinstance(found, TeacherError):
            return found
        scores.append(found)
    return scores


def _told(every: Sequence[_Found]) -> list[list[Score] | Removal]:
    """The same, when nothing ended the asking and all of it brought something; raises Fatal otherwise."""
    failed = [found for found in every if isinstance(found, TeacherError)]
    for error in failed:
        if isinstance(error, Fatal):
            raise error
    if failed:
        raise Fatal(f"{several(len(failed), 'row')} got no score ({failed[0]}); run again to ask once more.")
    return [found for found in every if not isinstance(found, TeacherError)]


def _verdict(
    sample: Sample, scores: Sequence[Score], require: Mapping[str, float], notes: BinaryIO | None, report: Scores
) -> Verdict:
    for score in scores:
        report.setdefault(score.name, Counter())[score.counted()] += 1
    if notes is not None:
        told: Fields = {"id": sample.id, **{score.name: score.value for score in scores}}
        told |= {f"{score.name}_detail": score.detail for score in scores if score.detail}
        notes.write(line(told) + b"\n")
    low = [score for score in scores if score.value < require.get(score.name, score.value)]
    if low:
        return Removal("below_threshold", f"{low[0].name} is {low[0].value:g}; {low[0].detail}")
    return ""


class _Called(NamedTuple):
    """Where scorers are called, as in a run."""

    aside: Aside
    boundary: Boundary
    halt: Halt

    async def score(self, scorer: Scorer, sample: Sample, ask: UnitAsk) -> Score | Rejection | TeacherError:
        """What one gives, or its fate."""
        work = Work(sample.id, 0, sample, sample.seed_id)
        return await self.boundary.outcome(scorer.name, work, self._score_of(scorer, sample, ask))

    def _score_of(self, scorer: Scorer, sample: Sample, ask: UnitAsk) -> Awaitable[Score]:
        if isinstance(scorer, OwnScorer):
            return self.aside.call(scorer.kind, lambda far: scorer.score(deepcopy(sample), far), ask)
        return scorer.score(sample, ask)


class _NoTeachers(dict[str, Teacher]):
    """Those of whoever may not ask."""

    def __missing__(self, name: str) -> Teacher:
        raise Fatal(f"A scorer asks the teacher {name!r}, and nothing is asked here; run it in a recipe.")


class _NoTemplates:
    def render(self, template: str, _values: Mapping[str, JsonValue]) -> str:
        raise Fatal(f"A scorer wants the template {template!r}, which only a recipe has; run it in one.")


def nobody(row: str) -> UnitAsk:
    """What the scoring of a row may do where nobody is asked: neither ask nor render."""
    return UnitAsk(Unit("score", row, 0, 0), _NoTeachers(), cast("Templates", _NoTemplates()), "", 0)
