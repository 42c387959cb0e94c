"""What a plug-in may do: render a template, ask for a text, ask for a schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from pydantic import BaseModel, JsonValue

from synth import schema
from synth.errors import Rejected
from synth.teacher import Teacher, Unit
from synth.templates import Templates
from synth.types import Completion, Message

M = TypeVar("M", bound=BaseModel)

RAISED_CAP = 2
"""How many times max_tokens a request gets after a reply in which no token was left for the answer."""


class Ask(Protocol):
    """The one capability a generator or scorer receives.

    Every call is stored under the content of its request, so that asking the same again costs nothing.
    """

    @property
    def draw(self) -> int:
        """Which of the replies to the same prompt this is, from 0."""
        ...

    def render(self, template: str, values: Mapping[str, JsonValue]) -> str:
        """Render a template file of the recipe with these values."""
        ...

    async def text(self, messages: Sequence[Message], *, teacher: str) -> Completion:
        """Ask the named teacher and return its text; once more, with twice max_tokens, when thinking used all of it.

        Raises Rejected for this sample only (`teacher_refused`, `truncated_empty`, `permanent`, ...); a Transient
        failure whose retries are used up, and a Fatal one, pass through to the run.
        """
        ...

    async def schema(self, model: type[M], messages: Sequence[Message], *, teacher: str) -> M:
        """Ask the named teacher for an object of `model`, validated; asked again with the error at most twice.

        Raises Rejected(`invalid_output`) when no reply fits, Rejected(`truncated`) when one was cut.
        """
        ...


@dataclass(frozen=True, slots=True)
class UnitAsk:
    """`Ask` for one unit of a stage: it remembers which requests the unit used and what they cost."""

    unit: Unit
    teachers: Mapping[str, Teacher]
    templates: Templates
    language: str

    @property
    def draw(self) -> int:
        """Which of the replies to the same prompt this is, from 0."""
        return self.unit.draw

    def render(self, template: str, values: Mapping[str, JsonValue]) -> str:
        """Render a template file of the recipe with these values."""
        return self.templates.render(template, values)

    async def text(self, messages: Sequence[Message], *, teacher: str) -> Completion:
        """Ask the named teacher and return its text."""
        asked = self.teachers[teacher]
        try:
            return await asked.complete(asked.request(messages, self.unit.draw), self.unit)
        except Rejected as error:
            return await self._with_larger_cap(error, asked, messages)

    async def schema(self, model: type[M], messages: Sequence[Message], *, teacher: str) -> M:
        """Ask the named teacher for an object of `model`, validated; asked again with the error at most twice."""
        asked = self.teachers[teacher]
        how = asked.endpoint.structured
        response_format = schema.response_format(model, how)
        if how != "json_schema":
            messages = schema.with_words(messages, model, self.language)
        problem = ""
        for _ in range(1 + schema.REASKS):
            bought = self.unit.bought
            try:
                completion = await asked.complete(asked.request(messages, self.unit.draw, response_format), self.unit)
            except Rejected as error:
                completion = await self._with_larger_cap(error, asked, messages, response_format)
            if completion.finish_reason == "length":
                raise Rejected("truncated", f"the JSON was cut at max_tokens: {completion.text[-80:]!r}")
            try:
                found, problem = schema.parse(model, completion.text), ""
            except ValueError as error:
                found, problem = None, str(error)
            if self.unit.bought > bought:
                asked.note_fit(problem)
            if found is not None:
                return found
            messages = schema.ask_again(messages, completion.text, problem, self.language)
        raise Rejected("invalid_output", f"after {schema.REASKS} corrections, {problem}")

    async def _with_larger_cap(
        self,
        error: Rejected,
        asked: Teacher,
        messages: Sequence[Message],
        response_format: Mapping[str, JsonValue] | None = None,
    ) -> Completion:
        """Ask once more with room for the answer when thinking used all of max_tokens; else raise what was raised."""
        if error.reason != "truncated_empty":
            raise error
        asked.charge(asked.request(messages, self.unit.draw, response_format), self.unit)
        larger = asked.request(messages, self.unit.draw, response_format, raised=RAISED_CAP)
        try:
            return await asked.complete(larger, self.unit)
        except Rejected as refused:  # the model may not write so much: the recipe's own cap is what was too small
            raise (error if refused.reason == "permanent" else refused) from None
