"""The final answer of a text against the reference of its seed."""

from __future__ import annotations

import asyncio
from typing import ClassVar, Literal

from pydantic import JsonValue, field_validator

from synth.ask import Ask
from synth.errors import Rejected
from synth.language import symbolic
from synth.language.answers import final_answer, same_answer
from synth.language.numerals import number
from synth.types import Sample, Score, Value


class ExactAnswer(Value):
    """1 when the final answer equals the field `reference`, else 0. Numbers compare as numbers, units are understood.

    A worked reference, such as GSM8K's that ends in `#### 72`, stands for its final answer.
    `symbolic` also lets math-verify compare what is not a plain number, such as expressions and intervals.
    """

    template_values: ClassVar[dict[str, JsonValue]] = {}

    kind: Literal["exact_answer"] = "exact_answer"
    name: str = "exact_answer"
    reference: str
    symbolic: bool = False

    @field_validator("symbolic")
    @classmethod
    def _can_compare(cls, wanted: bool) -> bool:
        if wanted and not symbolic.installed():
            raise ValueError(symbolic.MISSING)
        return wanted

    def template_files(self) -> tuple[str, ...]:
        """It renders none."""
        return ()

    async def score(self, sample: Sample, ask: Ask) -> Score:  # noqa: ARG002 (the scorers' common shape)
        """Compare; raises Rejected(`no_reference`) when the seed has no such field."""
        value = sample.fields.get(self.reference)
        if value is None or value == "":
            raise Rejected("no_reference", f"the field {self.reference!r} is empty or missing")
        worked = final_answer(str(value)) if "\n" in str(value) else None
        reference = worked.text if worked else str(value).rsplit("####", 1)[-1].strip()
        found = final_answer(sample.answer())
        if found is None:
            return Score(name=self.name, value=0.0, detail=f"no final answer; the reference is {reference!r}")
        right = same_answer(found.text, reference)
        if not right and self.symbolic and (number(found.text) is None or number(reference) is None):
            right = await asyncio.to_thread(symbolic.equal, found.text, reference)
        return Score(name=self.name, value=float(right), detail=f"{found.text!r} against {reference!r}")
