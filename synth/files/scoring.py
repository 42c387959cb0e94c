"""Scores for rows of files: by what asks nobody, and, given a way to ask, by what asks a teacher."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar

import orjson
from pydantic import BaseModel, JsonValue

from synth.admission.scheduler import gathered
from synth.ask import Ask, UnitAsk
from synth.errors import Fatal, Problem, RecipeError, Rejected, TeacherError, Transient
from synth.files.asking import Desk
from synth.files.parts import Bought, Judge, Removal, Report, Scores, Verdict, samples_of, sift
from synth.language.near import hint
from synth.language.text import several
from synth.protocol.endpoint import Endpoint
from synth.protocol.fates import POISON
from synth.recipes.templates import Templates
from synth.scorers import ASKING, Scorer
from synth.teacher import Teacher
from synth.types import Completion, Message, Sample, Score
from synth.unit import Unit

if TYPE_CHECKING:
    from synth.protocol.vectors import Vector

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


class Asking(NamedTuple):
    """How scorers ask from a thread: on the loop where their teachers live."""

    loop: asyncio.AbstractEventLoop
    teachers: Mapping[str, Teacher]
    templates: Templates
    language: str

    def ask(self, row: str) -> Ask:
        """What the scoring of a row may do, by the row's id."""
        return UnitAsk(Unit("score", row, 0, 0), self.teachers, self.templates, self.language, 0)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do some work there, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()


def scoring(
    scorers: Sequence[Scorer],
    require: Mapping[str, float],
    notes: BinaryIO | None,
    report: Scores,
    asking: Asking | None = None,
) -> Judge:
    """Scores rows, removes those below what is required (`below_threshold`), and writes the scores down.

    Raises RecipeError when a scorer needs a teacher and there is nobody to ask. With `asking` the judge works in a
    thread beside the loop, and many rows at once; it raises Fatal when the asking stopped, or brought nothing for some
    row, after all that was in flight has come.
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
        raise RecipeError(f"There is no score {missing[0]!r}; the scorers are {', '.join(names)}{near}.")

    def judge(samples: Sequence[Sample]) -> Iterator[Verdict]:
        if asking is None:
            every = asyncio.run(_one_by_one(samples, scorers))
        else:
            every = asking.run(gathered([_scores(one, scorers, asking.ask(one.id)) for one in samples]))
        for sample, found in zip(samples, _told(every), strict=True):
            yield found if isinstance(found, Removal) else _verdict(sample, found, require, notes, report)

    return judge


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
    judge_of: Callable[[Asking], Judge],
    templates: Templates,
    language: str,
) -> Report:
    """As `sift`, by a judge that asks the teachers of a desk. Raises what `sift` and `scoring` do, and RecipeError for
    templates that cannot be rendered with the first row."""
    scorers = [scorer for scorer in scorers if isinstance(scorer, ASKING)]
    if problems := await asyncio.to_thread(_unfit, files, scorers, templates):
        raise RecipeError(problems)
    before = desk.budget.spent_requests, desk.budget.spent_microusd
    judge = judge_of(Asking(asyncio.get_running_loop(), desk.teachers, templates, language))
    report = await asyncio.to_thread(sift, files, out, judge)
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


async def _one_by_one(samples: Sequence[Sample], scorers: Sequence[Scorer]) -> list[_Found]:
    return [await _scores(sample, scorers, NoTeacher()) for sample in samples]


async def _scores(sample: Sample, scorers: Sequence[Scorer], ask: Ask) -> _Found:
    try:
        return [await scorer.score(sample, ask) for scorer in scorers]
    except Rejected as error:
        return Removal(error.reason, error.detail)
    except Transient as error:
        return Removal("no_verdict", str(error)) if error.failure == POISON else error
    except TeacherError as error:
        return error


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
        line = {"id": sample.id, **{score.name: score.value for score in scores}}
        line |= {f"{score.name}_detail": score.detail for score in scores if score.detail}
        notes.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    low = [score for score in scores if score.value < require.get(score.name, score.value)]
    if low:
        return Removal("below_threshold", f"{low[0].name} is {low[0].value:g}; {low[0].detail}")
    return ""


class NoTeacher:
    """What a scorer may do here: not ask."""

    draw = 0

    def render(self, template: str, values: Mapping[str, JsonValue]) -> str:  # noqa: ARG002 (refused as it is)
        """Refuse."""
        raise RecipeError(f"A scorer wants the template {template!r}, which only a recipe has; run it in one.")

    async def text(self, messages: Sequence[Message], *, teacher: str) -> Completion:  # noqa: ARG002
        """Refuse."""
        raise RecipeError(f"A scorer asks the teacher {teacher!r}, and nothing is asked here; run it in a recipe.")

    async def embed(self, texts: Sequence[str], *, teacher: str) -> list[Vector]:  # noqa: ARG002
        """Refuse."""
        raise RecipeError(f"A scorer asks the teacher {teacher!r}, and nothing is asked here; run it in a recipe.")

    async def continued(self, text: str, *, teacher: str, stop: Sequence[str] = ()) -> Completion:  # noqa: ARG002
        """Refuse."""
        raise RecipeError(f"A scorer asks the teacher {teacher!r}, and nothing is asked here; run it in a recipe.")

    async def found(self, path: str, fields: Mapping[str, JsonValue], *, teacher: str) -> tuple[Any, ...]:  # noqa: ARG002
        """Refuse."""
        raise RecipeError(f"A scorer asks the teacher {teacher!r}, and nothing is asked here; run it in a recipe.")

    async def schema(self, model: type[M], messages: Sequence[Message], *, teacher: str) -> M:  # noqa: ARG002
        """Refuse."""
        raise RecipeError(f"A scorer asks the teacher {teacher!r}, and nothing is asked here; run it in a recipe.")
