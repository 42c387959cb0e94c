"""The teacher writes new instructions about a seed; a later stage answers them."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from synth.ask import Ask
from synth.errors import Rejected
from synth.types import Draft, Message, Seed, TemplateFile, Value


class Instructions(BaseModel):
    """What the teacher is asked for."""

    model_config = ConfigDict(extra="forbid")

    instructions: list[str]


class SelfInstruct(Value):
    """Ask for `count` new instructions, in the manner of Self-Instruct (Wang et al., 2023, arXiv:2212.10560).

    The template sees the seed's fields, `count`, `examples`, and in `avoid` what a seed that is drawn again brought
    before. Each instruction becomes a sample with the field
    `instruction`; several draws with different sampling seeds bring different instructions for the same topic.
    """

    adds: ClassVar[tuple[str, ...]] = ("instruction",)
    asks: ClassVar[type[Instructions]] = Instructions
    template_values: ClassVar[dict[str, JsonValue]] = {"count": 5, "examples": ["..."], "avoid": ["..."]}

    kind: Literal["self_instruct"] = "self_instruct"
    prompt: TemplateFile
    count: int = Field(default=5, ge=1, le=100)
    examples: list[str] = []
    teacher: str = ""

    @property
    def usual_drafts(self) -> int:
        """How many drafts one seed usually brings."""
        return self.count

    def template_files(self) -> tuple[str, ...]:
        """The template files it renders."""
        return (self.prompt,)

    async def generate(self, seed: Seed, ask: Ask) -> list[Draft]:
        """One draft for each instruction: a conversation that ends with the user's turn."""
        examples: list[JsonValue] = list(self.examples)
        avoid: list[JsonValue] = list(seed.made)
        values = {**seed.fields, "count": self.count, "examples": examples, "avoid": avoid}
        prompt = ask.render(self.prompt, values)
        written = await ask.schema(self.asks, [Message(role="user", content=prompt)], teacher=self.teacher)
        texts = [text.strip() for text in written.instructions if text.strip()]
        if not texts:
            raise Rejected("no_instructions", "the teacher returned an empty list")
        return [Draft(messages=(Message(role="user", content=t),), fields={"instruction": t}) for t in texts]
