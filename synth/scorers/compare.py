"""A teacher compares the answer with another one, asked twice with their places exchanged."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from synth.ask import Ask
from synth.errors import Rejected
from synth.scorers.judge import shipped, verdict_of
from synth.types import Sample, Score, TemplateFile, Value

POSITION_BIAS = "position_bias"
"""What the detail of a score begins with when both verdicts chose the same place."""
PLACES = {"first": 1.0, "tie": 0.5, "second": 0.0}


class Preference(BaseModel):
    """What the judge is asked for; the reason comes first, so that it thinks before it chooses."""

    model_config = ConfigDict(extra="forbid")

    reason: str
    better: Literal["first", "second", "tie"]


class Compare(Value):
    """1 when a judge finds the answer better than the one in the field `reference`, 0 when worse, 0.5 when neither.

    It is asked twice, with the answer in the first place and in the second: judges lean to a place (Wang et al.,
    arXiv:2305.17926), so only what both verdicts say counts. When both choose the same place the detail begins with
    `position_bias`. The template sees the sample's fields, `question`, `first` and `second`. Left empty, it is
    `compare.ja.md.j2` for a Japanese recipe, else `compare.en.md.j2`, found as the judge's.
    """

    asks: ClassVar[type[Preference]] = Preference
    template_values: ClassVar[dict[str, JsonValue]] = {"question": "1 + 1?", "first": "2", "second": "3"}

    kind: Literal["compare"] = "compare"
    name: str = Field(default="compare", min_length=1)
    reference: str
    rubric: TemplateFile = ""
    teacher: str = ""
    language: str = ""

    def template_files(self) -> tuple[str, ...]:
        """The template's file."""
        return (self.rubric or shipped("compare", self.language),)

    async def score(self, sample: Sample, ask: Ask) -> Score:
        """Ask for both verdicts; raises Rejected(`no_verdict`) when the judge does not give both.

        Rejected(`no_reference`) says that there is nothing to compare with.
        """
        other = str(sample.fields.get(self.reference) or "")
        if not other.strip():
            raise Rejected("no_reference", f"the field {self.reference!r} is empty or missing")
        answer = sample.answer()
        before = await self._preferred(sample, answer, other, ask)
        after = await self._preferred(sample, other, answer, ask)
        value, found = settled(before.better, after.better)
        return Score(name=self.name, value=value, detail=f"{found}; {before.reason} / {after.reason}")

    async def _preferred(self, sample: Sample, first: str, second: str, ask: Ask) -> Preference:
        values: dict[str, JsonValue] = {
            **sample.fields,
            "question": sample.question(),
            "first": first,
            "second": second,
        }
        return await verdict_of(ask, self.asks, self.template_files()[0], values, self.teacher)


def settled(before: str, after: str) -> tuple[float, str]:
    """The score of an answer that stood first in one comparison and second in the other, and what was found."""
    one, other = PLACES[before], 1 - PLACES[after]
    if one == other:
        return one, {1.0: "better", 0.5: "tie", 0.0: "worse"}[one]
    if before == after:
        return 0.5, f"{POSITION_BIAS}: {before} both times"
    return 0.5, "tie, as only one verdict prefers an answer"
