"""The seed is the question; the teacher answers it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, JsonValue, model_validator

from synth.ask import Ask
from synth.errors import Rejected
from synth.types import Draft, Message, Seed, TemplateFile, Value


class Answer(Value):
    """Render a prompt from the seed and take the teacher's answer.

    With `question` set to a field's name, the row shows that field as the user's turn and keeps the prompt's own
    instructions out of the training data; with `shown` it shows what that template makes of the seed. With `keep_as`
    later stages find the answer in a field of that name: a prompt that rewrites it, or a `compare` with it as the
    `reference`.
    """

    usual_drafts: ClassVar[int] = 1
    template_values: ClassVar[dict[str, JsonValue]] = {}

    kind: Literal["answer"] = "answer"
    prompt: TemplateFile
    system: TemplateFile | None = None
    question: str = ""
    shown: TemplateFile | None = None
    teacher: str = ""
    keep_as: str = Field(default="", pattern=r"^([^\W\d]\w*)?$")

    @model_validator(mode="after")
    def _one_turn(self) -> Answer:
        if self.question and self.shown is not None:
            raise ValueError("`question` and `shown` both say what the user's turn is; leave one of them out")
        return self

    @property
    def adds(self) -> tuple[str, ...]:
        """The field that it gives its samples, if any."""
        return (self.keep_as,) if self.keep_as else ()

    def template_files(self) -> tuple[str, ...]:
        """The template files it renders."""
        return tuple(name for name in (self.system, self.prompt, self.shown) if name is not None)

    async def generate(self, seed: Seed, ask: Ask) -> list[Draft]:
        """One draft: the system turn if there is one, the question, the answer.

        Raises Rejected(`empty_question`) before anything is asked where the field is no text or number, or blank.
        """
        named, shown_by = self.question, self.shown
        question = seed.fields.get(named)
        if named and (type(question) not in (str, int, float) or not str(question).strip()):
            raise Rejected("empty_question", f"the field {named!r} is {str(question)[:80]!r}, which asks nothing")
        prompt = Message(role="user", content=ask.render(self.prompt, seed.fields))
        system = () if self.system is None else (Message(role="system", content=ask.render(self.system, seed.fields)),)
        completion = await ask.text((*system, prompt), teacher=self.teacher)
        shown = Message(role="user", content=str(question)) if named else prompt
        if shown_by is not None:
            shown = Message(role="user", content=ask.render(shown_by, seed.fields))
        answer = Message(role="assistant", content=completion.text, reasoning_content=completion.reasoning)
        messages = (*system, shown, answer)
        kept: dict[str, JsonValue] = {self.keep_as: completion.text} if self.keep_as else {}
        return [Draft(messages=messages, fields=kept, finish_reason=completion.finish_reason)]
