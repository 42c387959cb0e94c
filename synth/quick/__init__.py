"""The quick path: prompts in, answers out, without a recipe; stored like those of any run, and never bought twice."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from synth.admission.halt import Halt
from synth.errors import BudgetReached, RecipeError
from synth.files.asking import desk
from synth.live.background import finished
from synth.live.showing import Observe, Work, shown, tell
from synth.live.status import Status
from synth.money.budget import Caps
from synth.protocol.endpoint import Endpoint
from synth.quick import given
from synth.quick.answers import PROMPTS, Answer, Answers, M
from synth.quick.asking import TEACHER, Asking
from synth.quick.given import Prompt
from synth.recipes.options import caps_of
from synth.report.words import words_of
from synth.results.result import Options

__all__ = ["Answer", "Answers", "aask_all", "ask_all"]

FOLDER = "runs/asked"


async def aask_all(
    prompts: Sequence[Prompt],
    *,
    teacher: str | Mapping[str, Any] | Endpoint,
    schema: type[M] | None = None,
    system: str = "",
    budget: float | Mapping[str, Any] | None = None,
    folder: str | Path = FOLDER,
    validators: Sequence[Mapping[str, Any]] | None = None,
    language: str = "en",
    accept_terms: Sequence[str] = (),
    quiet: bool = False,
) -> Answers[M]:
    """`ask_all`, for a loop of your own: takes the same, and is awaited."""
    work = _work(prompts, teacher, schema, system, budget, folder, validators, language, accept_terms, quiet)
    return await shown(work, Answers[M].status, quiet=quiet)


def ask_all(
    prompts: Sequence[Prompt],
    *,
    teacher: str | Mapping[str, Any] | Endpoint,
    schema: type[M] | None = None,
    system: str = "",
    budget: float | Mapping[str, Any] | None = None,
    folder: str | Path = FOLDER,
    validators: Sequence[Mapping[str, Any]] | None = None,
    language: str = "en",
    accept_terms: Sequence[str] = (),
    quiet: bool = False,
) -> Answers[M]:
    """Ask a teacher each of the prompts; an answer or a reason for each, in order.

    prompts       texts, or whole conversations that end with a user's turn
    teacher       "URL,MODEL[,KEY_VARIABLE]", "practice:" for the embedded
                  practice teacher, or what a recipe says of a teacher
    schema        a pydantic model that each answer has to fit, asked for as in
                  a recipe, with the same ladder of corrections
    system        a system turn before each prompt
    budget        dollars, or caps such as {"requests": 500}, of all that is
                  asked in `folder`
    folder        where every reply is kept before it is read: asking the same
                  there again buys nothing
    validators    those of a recipe's stage; unless given, the finished and the
                  refusal check
    language      that of the words around a schema, and what the checks expect
    accept_terms  names of terms that restrict training on a teacher's output
    quiet         without the line that tells how far it is

    It works in a notebook cell too. An interrupt ends the asking, and what had
    come is kept.

    Raises RecipeError for what cannot be asked so, FolderError for a folder
    that cannot be used, and Fatal when the teacher gave no answer at all and
    cannot give any; what ends the asking later is in the result's `message`.
    """
    work = _work(prompts, teacher, schema, system, budget, folder, validators, language, accept_terms, quiet)
    first = Status(str(folder), words=words_of(language), of=PROMPTS)
    return finished(work, first, Answers[M].status, quiet=quiet)


def _work(
    prompts: Sequence[Prompt],
    teacher: str | Mapping[str, Any] | Endpoint,
    schema: type[M] | None,
    system: str,
    budget: float | Mapping[str, Any] | None,
    folder: str | Path,
    validators: Sequence[Mapping[str, Any]] | None,
    language: str,
    accept_terms: Sequence[str],
    quiet: bool,
) -> Work[Answers[M]]:
    """What asks, with everything checked that can be before the first request."""
    if schema is not None and not (isinstance(kind := cast("object", schema), type) and issubclass(kind, BaseModel)):
        raise RecipeError(f"schema= takes a pydantic model, a class of its own, and {schema!r} is none.")
    endpoint = given.endpoint(teacher)
    given.permit(endpoint, accept_terms)
    caps = Caps() if budget is None else caps_of(budget if isinstance(budget, Mapping) else {"usd": budget}, "budget")
    asking = Asking(given.conversations(prompts, system), schema, given.checks(validators, language), language)

    async def work(observe: Observe) -> Answers[M]:
        began, halt = time.monotonic(), Halt()
        options = Options(say=lambda note: tell([note], quiet=quiet))
        async with desk(Path(folder), {TEACHER: endpoint}, caps, halt, options) as opened:
            observe(lambda: asking.status(opened, str(folder), time.monotonic() - began), halt)
            await asking.done(opened)
        rows = tuple(asking.answers)
        ended = halt.error
        if ended is not None and not isinstance(ended, BudgetReached) and not any(row.text for row in rows):
            raise ended.with_traceback(None)
        message = "" if ended is None else str(ended)
        return Answers(rows, Path(folder), endpoint.model, time.monotonic() - began, message, language)

    return work
