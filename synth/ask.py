"""What a plug-in may do: render a template, ask for a text, ask for a schema."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pydantic import BaseModel, JsonValue

from synth import schema
from synth.errors import Rejected
from synth.language.text import several
from synth.recipes.templates import Templates
from synth.teacher import Teacher
from synth.types import EMBEDDINGS, Completion, Message
from synth.unit import Unit

if TYPE_CHECKING:  # numpy takes a tenth of a second
    from synth.protocol.vectors import Vector

M = TypeVar("M", bound=BaseModel)

FRESH_DRAWS, ANEW_DRAWS, TURN_DRAWS = 1000, 10_000, 1_000_000
"""How far apart the draws are of an object asked for once more, of a unit asked anew, and of a seed drawn again: beyond
the recipe's own."""
RAISED_CAP = 2
"""How many times max_tokens a request gets after a reply in which no token was left for the answer."""


TEXTS_AT_ONCE = 32
"""Of one embeddings request: what a server of Text Embeddings Inference takes by default, the least of the known."""


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

    async def embed(self, texts: Sequence[str], *, teacher: str) -> list[Vector]:
        """Ask the named teacher for the vector of each text, in order.

        Raises Rejected as `text` does, and Rejected(`invalid_output`) when it sends another number of vectors.
        """
        ...

    async def found(self, path: str, fields: Mapping[str, JsonValue], *, teacher: str) -> tuple[Any, ...]:
        """Send the named teacher a request with these fields at a path other than the chat's; what its reply holds.

        That is a `measures.Token` for each token of the prompt at `/completions`, a float for each text at `/pooling`,
        `/classify` and `/score`. Raises Rejected as `text` does.
        """
        ...

    async def continued(self, text: str, *, teacher: str, stop: Sequence[str] = ()) -> Completion:
        """What the named teacher writes after a text, without a chat template (`/completions`), up to a stop sequence.

        Raises Rejected as `text` does; what is written may be empty.
        """
        ...

    async def schema(self, model: type[M], messages: Sequence[Message], *, teacher: str) -> M:
        """Ask the named teacher for an object of `model`, validated.

        What does not fit is mended where that is safe, asked for again with the error (its failing fields alone, then
        whole), asked anew twice, and in the end asked of the teacher's `fallback`.

        Raises Rejected(`invalid_output`) when no reply fits, Rejected(`truncated`) when one was cut even so.
        """
        ...


@dataclass(slots=True)
class UnitAsk:
    """`Ask` for one unit of a stage: it remembers which requests the unit used and what they cost."""

    unit: Unit
    teachers: Mapping[str, Teacher]
    templates: Templates
    language: str
    draw: int
    """Which of the replies to the same prompt this is, from 0."""
    turn: int = 0
    """How often the seed was drawn before."""
    anew: int = 0
    """How often its teacher has been asked anew."""
    raised: int = 1
    """What max_tokens is multiplied by."""
    own: str = ""
    """The stage's teacher."""
    instead: str = ""
    """The teacher that is asked in place of that one, where one is."""
    after: tuple[str, ...] = ()
    """The teachers that are to be asked, in turn, when what that one gives is of no use."""

    def number(self, fresh: int = 0) -> int:
        """The draw as a request has it: beyond all of the recipe's own where the same is asked once more."""
        return self.draw + FRESH_DRAWS * fresh + ANEW_DRAWS * self.anew + TURN_DRAWS * self.turn

    def render(self, template: str, values: Mapping[str, JsonValue]) -> str:
        """Render a template file of the recipe with these values."""
        return self.templates.render(template, values)

    async def text(self, messages: Sequence[Message], *, teacher: str) -> Completion:
        """Ask the named teacher and return its text."""
        asked = self._stand_in(teacher) if self.instead and teacher == self.own else self.teachers[teacher]
        try:
            return await asked.complete(asked.request(messages, self.number(), raised=self.raised), self.unit)
        except Rejected as error:
            return await self._with_larger_cap(error, asked, messages)

    async def embed(self, texts: Sequence[str], *, teacher: str) -> list[Vector]:
        """Ask the named teacher for the vector of each text, in order."""
        return await embed(self.teachers[teacher], texts, self.unit)

    async def found(self, path: str, fields: Mapping[str, JsonValue], *, teacher: str) -> tuple[Any, ...]:
        """Send the named teacher a request at a path other than the chat's; what its reply holds."""
        asked = self.teachers[teacher]
        return (await asked.complete(asked.request_to(path, fields), self.unit)).found

    async def continued(self, text: str, *, teacher: str, stop: Sequence[str] = ()) -> Completion:
        """What the named teacher writes after a text."""
        asked = self._stand_in(teacher) if self.instead and teacher == self.own else self.teachers[teacher]
        return await asked.complete(asked.continuation(text, self.number(), stop, raised=self.raised), self.unit)

    async def schema(self, model: type[M], messages: Sequence[Message], *, teacher: str) -> M:
        """Ask the named teacher for an object of `model`, validated; up the ladder while none fits."""
        asked = self._stand_in(teacher) if self.instead and teacher == self.own else self.teachers[teacher]
        if asked.endpoint.extractor:
            free = await self._reply(asked, schema.Step("free", messages, model), None)
            messages = schema.extraction(free.text, self.language)
            asked = self.teachers[asked.endpoint.extractor]
            self.unit.repairs.append("extracted")
        found = await self._climbed(model, asked, messages, "first")
        stand_in = asked.endpoint.fallback
        other = self.teachers.get(stand_in) if stand_in not in self.after else None  # whose own turn comes
        if found.value is None and other is not None and other is not asked:
            self.unit.model = other.endpoint.model
            found = await self._climbed(model, other, messages, "fallback")
        if found.value is None:
            raise Rejected("invalid_output", f"after all corrections, {found.problem}")
        return found.value

    async def _climbed(
        self, model: type[M], asked: Teacher, messages: Sequence[Message], rung: str
    ) -> schema.Reading[M]:
        """What one teacher gives in the end; a fallback is asked once."""
        how = asked.endpoint.structured
        if how != "json_schema":
            messages = schema.with_words(messages, model, self.language)
        step = first = schema.Step(rung, messages, model)
        while True:
            bought, cost = self.unit.bought, self.unit.cost_microusd
            completion = await self._reply(asked, step, schema.response_format(step.form, how))
            found = schema.read(model, completion.text, step.kept)
            fits = found.value is not None
            name = step.rung if step.rung != "first" else "mended" if found.mended else "exact"
            self.unit.rungs.append((name, fits, self.unit.cost_microusd - cost))
            if self.unit.bought > bought:
                asked.note_fit(found.problem)
            if fits:
                self.unit.repairs += [*([] if step is first and rung == "first" else [step.rung]), *found.mended]
            above = (
                None if fits or rung == "fallback" else schema.climb(step, first, completion.text, found, self.language)
            )
            if above is None:
                return found
            step = above

    async def _reply(
        self, asked: Teacher, step: schema.Step, response_format: Mapping[str, JsonValue] | None
    ) -> Completion:
        """The reply to one step; one that was cut is asked for once more with twice max_tokens, and never used."""
        number = self.number(step.fresh)
        try:
            request = asked.request(step.messages, number, response_format, raised=self.raised)
            completion = await asked.complete(request, self.unit)
            if completion.finish_reason == "length" and self.raised == 1:
                raise Rejected("truncated")
        except Rejected as error:
            completion = await self._with_larger_cap(error, asked, step.messages, response_format, step.fresh)
        if completion.finish_reason == "length":
            raise Rejected("truncated", f"the reply was cut at max_tokens: {completion.text[-80:]!r}")
        return completion

    def _stand_in(self, name: str) -> Teacher:
        """The teacher that stands in for the named one."""
        other = self.teachers[self.instead]
        self.unit.model = other.endpoint.model if other.name != name else ""
        return other

    async def _with_larger_cap(
        self,
        error: Rejected,
        asked: Teacher,
        messages: Sequence[Message],
        response_format: Mapping[str, JsonValue] | None = None,
        fresh: int = 0,
    ) -> Completion:
        """Ask once more with room for the answer when thinking or JSON used all of max_tokens; else raise."""
        if error.reason not in ("truncated_empty", "truncated") or self.raised > 1:
            raise error
        number = self.number(fresh)
        if error.reason == "truncated_empty":
            asked.charge(asked.request(messages, number, response_format), self.unit)
        larger = asked.request(messages, number, response_format, raised=RAISED_CAP)
        try:
            completion = await asked.complete(larger, self.unit)
        except Rejected as refused:  # the model may not write so much: the recipe's own cap is what was too small
            raise (error if refused.reason == "permanent" else refused) from None
        self.unit.repairs.append("larger_cap")
        return completion


async def embed(asked: Teacher, texts: Sequence[str], unit: Unit) -> list[Vector]:
    """The vectors of texts from a teacher that serves embeddings, on a unit's account. Raises as `Ask.embed` does."""
    vectors: list[Vector] = []
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        some: list[JsonValue] = [*texts[start : start + TEXTS_AT_ONCE]]
        # base64 is a quarter of the bytes; servers that do not know it send numbers, which are read too
        request = asked.request_to(EMBEDDINGS, {"input": some, "encoding_format": "base64"})
        found = (await asked.complete(request, unit)).found
        if len(found) != len(some):
            raise Rejected("invalid_output", f"{several(len(found), 'vector')} came for {several(len(some), 'text')}")
        vectors += found
    return vectors


async def embed_each(texts: Sequence[str], ask: Ask, *, teacher: str) -> list[Vector | None]:
    """The vectors of texts; None for one that the teacher refuses, such as one that is too long."""
    try:
        return [*await ask.embed(texts, teacher=teacher)]
    except Rejected:
        vectors: list[Vector | None] = [None] * len(texts)
        for place, text in enumerate(texts if len(texts) > 1 else ()):
            with contextlib.suppress(Rejected):
                vectors[place] = (await ask.embed([text], teacher=teacher))[0]
        return vectors
