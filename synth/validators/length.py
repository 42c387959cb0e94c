"""The text is neither too short nor too long."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from synth.errors import Rejected
from synth.language.text import several, subject
from synth.types import Sample, Value


class Length(Value):
    """Refuse a text outside these lengths, in characters (which mean the same in every script).

    `max_from` is the field in which a seed says its own.
    """

    kind: Literal["length"] = "length"
    min_chars: int = Field(default=1, ge=0)
    max_chars: int | None = Field(default=None, ge=1)
    max_from: str = ""

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`too_short`) or Rejected(`too_long`)."""
        chars = len(subject(sample).strip())
        if chars < self.min_chars:
            raise Rejected("too_short", f"{several(chars, 'character')}, at least {self.min_chars} are wanted")
        own = sample.fields.get(self.max_from)
        for most in (self.max_chars, own if isinstance(own, int) else None):
            if most is not None and chars > most:
                raise Rejected("too_long", f"{several(chars, 'character')}, at most {most} are allowed")
