"""How long an answer is, also beside its question or a reference."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from synth.ask import Ask
from synth.errors import Rejected
from synth.language.text import units
from synth.types import Sample, Score, Value


class Length(Value):
    """The length of the answer in words, where kana and kanji count one by one; punctuation counts nothing.

    `per` makes it a ratio to the length of `question` or of a field, such as a reference: an answer of ten times the
    length of its reference is wordy in any language. With `reasoning` the reasoning before it counts too. `shortest`
    gives the length as a number below 0, so that `best_of` chooses the shortest of several draws.
    """

    template_values: ClassVar[dict[str, JsonValue]] = {"question": "1 + 1?"}

    kind: Literal["length"] = "length"
    name: str = Field(default="length", min_length=1)
    per: str = ""
    reasoning: bool = False
    shortest: bool = False

    def template_files(self) -> tuple[str, ...]:
        """It renders none."""
        return ()

    async def score(self, sample: Sample, ask: Ask) -> Score:  # noqa: ARG002 (the scorers' common shape)
        """Count; raises Rejected(`no_reference`) when what it is a ratio to is missing or empty."""
        other = sample.question() if self.per == "question" else str(sample.fields.get(self.per) or "")
        thought = (sample.messages[-1].reasoning_content or "") if self.reasoning and sample.messages else ""
        length, base = map(len, units([f"{thought}\n{sample.answer()}", other]))
        length = -length if self.shortest else length
        if not self.per:
            return Score(name=self.name, value=float(length))
        if not base:
            raise Rejected("no_reference", f"the field {self.per!r} is empty or missing")
        return Score(name=self.name, value=length / base, detail=f"{length} to {base}")
