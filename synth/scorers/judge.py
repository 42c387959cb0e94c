"""A teacher grades the answer by a rubric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from synth.ask import Ask
from synth.errors import Rejected
from synth.types import Message, Sample, Score, TemplateFile, Value

M = TypeVar("M", bound=BaseModel)


class Verdict(BaseModel):
    """What the judge is asked for; the reason comes first, so that it thinks before it grades."""

    model_config = ConfigDict(extra="forbid")

    reason: str
    score: Literal[1, 2, 3, 4, 5]


class Judge(Value):
    """A grade from 1 (useless) to 5 (faultless) by another model, with its reason (Zheng et al., arXiv:2306.05685).

    The rubric template sees the sample's fields, `question` and `answer`. Left empty, it is `judge.ja.md.j2` for a
    Japanese recipe, else `judge.en.md.j2`: both come with synth, and a file of that name beside the recipe goes first.
    So do `complexity`, which grades the question alone, and `quality` (as in Deita, arXiv:2312.15685), for judges with
    a name of their own and `rubric: complexity.ja.md.j2`.
    """

    asks: ClassVar[type[Verdict]] = Verdict
    template_values: ClassVar[dict[str, JsonValue]] = {"question": "1 + 1?", "answer": "2"}

    kind: Literal["judge"] = "judge"
    name: str = Field(default="judge", min_length=1)
    rubric: TemplateFile = ""
    teacher: str = ""
    language: str = ""

    def template_files(self) -> tuple[str, ...]:
        """The rubric's file."""
        return (self.rubric or shipped("judge", self.language),)

    async def score(self, sample: Sample, ask: Ask) -> Score:
        """Ask for a verdict; raises Rejected(`no_verdict`) when the judge gives none."""
        values: dict[str, JsonValue] = {**sample.fields, "question": sample.question(), "answer": sample.answer()}
        verdict = await verdict_of(ask, self.asks, self.template_files()[0], values, self.teacher)
        return Score(name=self.name, value=float(verdict.score), detail=verdict.reason)


def shipped(name: str, language: str) -> str:
    """The file of a template that comes with synth, in the recipe's language as far as there is one."""
    return f"{name}.{'ja' if language == 'ja' else 'en'}.md.j2"


async def verdict_of(ask: Ask, model: type[M], template: str, values: Mapping[str, JsonValue], teacher: str) -> M:
    """A judge's word on a rendered template.

    Raises Rejected(`no_verdict`) when the judge declined, was cut, or said nothing that fits: that is no word on the
    answer, so it becomes no score.
    """
    prompt = Message(role="user", content=ask.render(template, values))
    try:
        return await ask.schema(model, [prompt], teacher=teacher)
    except Rejected as error:
        raise Rejected("no_verdict", f"{error.reason}: {error.detail}") from error
