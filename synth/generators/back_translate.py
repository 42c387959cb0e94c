"""The instruction that a good text answers."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from synth.ask import Ask
from synth.errors import Rejected
from synth.types import Draft, Message, Seed, TemplateFile, Value

WHOLE_CHARS = 30
"""A shorter text, such as a label, may well stand in what asks for it."""


class Wanted(BaseModel):
    """What the teacher is asked for."""

    model_config = ConfigDict(extra="forbid")

    instruction: str


class BackTranslate(Value):
    """Ask which instruction an existing text would be the answer to (Li et al., 2023, arXiv:2308.06259).

    `answer` is the field that holds the text, which becomes the row's answer as it is. The template sees the seed's
    fields. How well the two fit is for a `judge` with a rubric of its own to say.
    """

    adds: ClassVar[tuple[str, ...]] = ("wanted",)
    asks: ClassVar[type[Wanted]] = Wanted
    usual_drafts: ClassVar[int] = 1
    template_values: ClassVar[dict[str, JsonValue]] = {}

    kind: Literal["back_translate"] = "back_translate"
    prompt: TemplateFile
    answer: str
    teacher: str = ""

    def template_files(self) -> tuple[str, ...]:
        """The template files it renders."""
        return (self.prompt,)

    async def generate(self, seed: Seed, ask: Ask) -> list[Draft]:
        """One draft: the instruction, and the text as its answer.

        Raises Rejected(`empty_answer`) before anything is asked where the field holds no text, and
        Rejected(`no_instructions`) where the teacher writes none, or only repeats the text.
        """
        text = seed.fields.get(self.answer)
        if not isinstance(text, str) or not text.strip():
            raise Rejected("empty_answer", f"the field {self.answer!r} is {str(text)[:80]!r}, which answers nothing")
        prompt = Message(role="user", content=ask.render(self.prompt, seed.fields))
        instruction = (await ask.schema(self.asks, [prompt], teacher=self.teacher)).instruction.strip()
        if not instruction or (len(text.strip()) >= WHOLE_CHARS and text.strip() in instruction):
            raise Rejected("no_instructions", repr(instruction[:80]))
        turns = (Message(role="user", content=instruction), Message(role="assistant", content=text))
        return [Draft(messages=turns, fields={"wanted": instruction})]
