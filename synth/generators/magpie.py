"""Instructions that an aligned open model writes by itself, where its chat template has a user's turn begin."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, JsonValue, TypeAdapter, model_validator

from synth.ask import Ask
from synth.errors import Rejected
from synth.shipped import shipped
from synth.types import Draft, Message, Seed, TemplateFile, Value
from synth.validators.finished import CUT

FAMILIES = Path(__file__).with_name("pre_query.yaml")

Family = Literal["chatml", "llama3", "llama4", "gemma", "mistral", "phi3", "phi4", "tulu", "granite"]


class PreQuery(Value):
    """What stands before a user's turn in a model's chat template."""

    user: str = Field(min_length=1)
    """What begins the turn, such as `<|im_start|>user` and a line end."""
    system: str = ""
    """What goes before that where the model is told something, with `{system}` in that one's place."""
    stop: list[str] = []
    """What ends the turn, beside the model's own end of text."""


class Magpie(Value):
    """Let an aligned model go on where a user's turn begins, and take what it writes (Xu et al., arXiv:2406.08464).

    The teacher's server must go on with a text (`/completions`, as vLLM does) by the model whose chat template `family`
    names, or a `pre_query` of your own tells. The template `system`, which sees the seed's fields, tells the model whom
    it talks to and about what; the row does not keep it. Each draw writes another instruction if the sampling's
    `temperature` is not 0; a later stage answers it.
    """

    adds: ClassVar[tuple[str, ...]] = ("instruction",)
    usual_drafts: ClassVar[int] = 1
    template_values: ClassVar[dict[str, JsonValue]] = {}

    kind: Literal["magpie"] = "magpie"
    family: Family | None = None
    pre_query: PreQuery | None = None
    system: TemplateFile | None = None
    teacher: str = ""

    @model_validator(mode="after")
    def _has_one_form(self) -> Self:
        if (self.family is None) == (self.pre_query is None):
            raise ValueError("name the model's `family`, or give a `pre_query` of its own, and not both")
        if self.system is not None and "{system}" not in self.form.system:
            raise ValueError("this chat template has no place where a model is told something; leave `system` out")
        return self

    @property
    def form(self) -> PreQuery:
        """What stands before the user's turn."""
        return self.pre_query or families()[str(self.family)]

    def template_files(self) -> tuple[str, ...]:
        """The template files it renders."""
        return () if self.system is None else (self.system,)

    async def generate(self, seed: Seed, ask: Ask) -> list[Draft]:
        """One draft: a conversation that ends with the user's turn.

        Raises Rejected(`no_instructions`) where the model writes nothing before the turn ends.
        """
        told = "" if self.system is None else self.form.system.replace("{system}", ask.render(self.system, seed.fields))
        completion = await ask.continued(f"{told}{self.form.user}", stop=self.form.stop, teacher=self.teacher)
        text = completion.text
        for mark in self.form.stop:  # of servers that do not heed them
            text = text.partition(mark)[0]
        text = text.strip()
        if not text:
            raise Rejected("no_instructions", "the model ended the user's turn at once")
        cut = ("truncated", f"it ends {text[-60:]!r}") if completion.finish_reason in CUT else None
        return [Draft(messages=(Message(role="user", content=text),), fields={"instruction": text}, refused=cut)]


@cache
def families() -> Mapping[str, PreQuery]:
    """The families of models whose chat templates are known."""
    document = shipped(FAMILIES.read_text(encoding="utf-8"))
    return TypeAdapter(dict[str, PreQuery]).validate_python(document)
