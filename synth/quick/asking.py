"""Prompts that are asked side by side, and their answers while they come."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Generic

from synth.apart import Apart
from synth.boundary import Boundary
from synth.errors import Fatal, Rejected, TeacherError
from synth.files.asking import Desk
from synth.live.progress import silent
from synth.live.status import Status
from synth.own import OwnValidator
from synth.quick.answers import NOT_ASKED, PARKED, PROMPTS, Answer, M
from synth.report.words import words_of
from synth.types import Message, Sample
from synth.validators import Validator

TEACHER, STAGE = "teacher", "ask"


class Asking(Generic[M]):
    """The answers while they come."""

    def __init__(
        self, prompts: list[tuple[Message, ...]], schema: type[M] | None, checks: Sequence[Validator], language: str
    ) -> None:
        self._prompts, self._schema, self._checks, self._language = prompts, schema, checks, language
        self._done = 0
        self.answers: list[Answer[M]] = [Answer(prompt, reason=NOT_ASKED) for prompt in prompts]

    async def done(self, at: Desk) -> None:
        """Ask until all have come, or the asking has stopped."""
        # the same prompt twice is one request, whose price is told once
        first: dict[tuple[Message, ...], int] = {}
        for place, prompt in enumerate(self._prompts):
            first.setdefault(prompt, place)

        async def some() -> AsyncIterator[int]:
            for place in first.values():
                yield place

        async def answer(place: int) -> None:
            self.answers[place] = await self._answer(at, place, apart)
            self._done += 1

        own = [one for one in self._checks if isinstance(one, OwnValidator)]
        apart = Apart(own, Path(), Boundary(at.halt), at.halt)
        try:
            with suppress(Fatal):  # why it stopped is told of each prompt that was not asked
                await at.each(some(), answer)
        finally:
            await apart.end()
        stopped = "" if at.halt.error is None else str(at.halt.error)
        for place, prompt in enumerate(self._prompts):
            if first[prompt] != place:
                self.answers[place] = _again(self.answers[first[prompt]])
            if self.answers[place].reason == NOT_ASKED:
                self.answers[place] = Answer(prompt, reason=NOT_ASKED, detail=stopped)

    async def _answer(self, at: Desk, place: int, apart: Apart) -> Answer[M]:
        prompt, name = self._prompts[place], f"{place:08d}"
        ask = at.ask(STAGE, name, self._language)
        value, told = None, prompt
        reason = detail = ""
        try:
            if self._schema is None:
                completion = await ask.text(prompt, teacher=TEACHER)
                finish, text, thought = completion.finish_reason, completion.text, completion.reasoning
            else:
                value = await ask.schema(self._schema, prompt, teacher=TEACHER)
                finish, text, thought = "stop", value.model_dump_json(), None
            told = (*prompt, Message(role="assistant", content=text, reasoning_content=thought))
            await self._check(told, finish, name, apart)
        except Rejected as error:
            reason, detail, value = error.reason, error.detail, None
        except Fatal as error:
            reason, detail = NOT_ASKED, str(error)
        except TeacherError as error:
            reason, detail = PARKED, f"{error}; ask again to try once more"
        return Answer(told, value, reason, detail, ask.unit.cost_microusd, ask.unit.bought)

    async def _check(self, messages: tuple[Message, ...], finish: str, name: str, apart: Apart) -> None:
        sample = Sample(
            id=name,
            seed_id=name,
            parent_id=name,
            stage=STAGE,
            draw=0,
            messages=messages,
            fields={},
            finish_reason=finish,
        )
        for check in self._checks:
            if isinstance(check, OwnValidator):
                await apart.check(check, sample)
            else:
                check.check(sample)

    def status(self, at: Desk, name: str, seconds: float) -> Status:
        """How far it is."""
        reasons = Counter(one.reason for one in self.answers)
        good = reasons.pop("", 0)
        reasons.pop(NOT_ASKED, 0)
        share = self._done / len(self.answers) if self.answers else 1.0
        return Status(
            name,
            seeds_done=self._done,
            seeds=len(self.answers),
            rows=good,
            rejected=dict(reasons.most_common()),
            in_flight=at.teachers[TEACHER].admission.in_flight,
            silent=silent(at.teachers),
            cost_microusd=at.budget.spent_microusd,
            seconds=seconds,
            left_s=seconds * (1 - share) / share if self._done else None,
            words=words_of(self._language),
            of=PROMPTS,
        )


def _again(answer: Answer[M]) -> Answer[M]:
    """The same answer where the same was asked before, bought already."""
    return Answer(answer.messages, answer.value, answer.reason, answer.detail)
