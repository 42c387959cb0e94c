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
        """Ask the named teacher and return its text.

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
        return await asked.complete(asked.request(messages, self.unit.draw), self.unit)

    async def schema(self, model: type[M], messages: Sequence[Message], *, teacher: str) -> M:
        """Ask the named teacher for an object of `model`, validated; asked again with the error at most twice."""
        asked = self.teachers[teacher]
        how = asked.endpoint.structured
        response_format = schema.response_format(model, how)
        if how != "json_schema":
            messages = schema.with_words(messages, model, self.language)
        problem = ""
        for _ in range(1 + schema.REASKS):
            completion = await asked.complete(asked.request(messages, self.unit.draw, response_format), self.unit)
            if completion.finish_reason == "length":
                raise Rejected("truncated", f"the JSON was cut at max_tokens: {completion.text[-80:]!r}")
            try:
                return schema.parse(model, completion.text)
            except ValueError as error:
                problem = str(error)
                messages = schema.ask_again(messages, completion.text, problem, self.language)
        raise Rejected("invalid_output", f"after {schema.REASKS} corrections, {problem}")
