"""The answer comes with reasoning that can be learnt from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from synth.errors import Rejected
from synth.language.text import several
from synth.types import Sample, Value
from synth.validators.repetition import looping


class Reasoning(Value):
    """Refuse an answer without reasoning of its own, with too much of it, or with one that ends in a loop.

    Lengths are in characters. A teacher that does not show its reasoning can be asked for it between `<think>` and
    `</think>`, from where it is read as from a field.
    """

    kind: Literal["reasoning"] = "reasoning"
    min_chars: int = Field(default=1, ge=1)
    max_chars: int | None = Field(default=None, ge=1)

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`no_reasoning`), (`too_short`), (`too_long`) or (`repetition`)."""
        thought = (sample.messages[-1].reasoning_content or "").strip()
        if not thought:
            raise Rejected("no_reasoning", f"there is an answer alone: {sample.answer()[:80]!r}")
        long = f"{several(len(thought), 'character')} of reasoning"
        if len(thought) < self.min_chars:
            raise Rejected("too_short", f"{long}, at least {self.min_chars} are wanted")
        if self.max_chars is not None and len(thought) > self.max_chars:
            raise Rejected("too_long", f"{long}, at most {self.max_chars} are allowed")
        if unit := looping(thought):
            raise Rejected("repetition", f"the reasoning ends in {unit[:80]!r} again and again")
