"""The text is neither too short nor too long."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from synth.errors import Rejected
from synth.language.text import subject
from synth.types import Sample, Value


class Length(Value):
    """Refuse a text outside these lengths, in characters (which mean the same in every script)."""

    kind: Literal["length"] = "length"
    min_chars: int = Field(default=1, ge=0)
    max_chars: int | None = Field(default=None, ge=1)

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`too_short`) or Rejected(`too_long`)."""
        chars = len(subject(sample).strip())
        if chars < self.min_chars:
            raise Rejected("too_short", f"{chars} characters, at least {self.min_chars} are wanted")
        if self.max_chars is not None and chars > self.max_chars:
            raise Rejected("too_long", f"{chars} characters, at most {self.max_chars} are allowed")
