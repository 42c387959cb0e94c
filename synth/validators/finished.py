"""The text was not cut off."""

from __future__ import annotations

from typing import Literal

from synth.errors import Rejected
from synth.types import Sample, Value

CUT = ("length", "max_tokens", "MAX_TOKENS", "model_length")


class Finished(Value):
    """Refuse a text the server cut at its token limit, or one that ends inside a code block."""

    kind: Literal["finished"] = "finished"

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`truncated`)."""
        if sample.finish_reason in CUT:
            raise Rejected("truncated", f"finish_reason {sample.finish_reason}; it ends {sample.answer()[-60:]!r}")
        fences = sum(line.lstrip().startswith("```") for line in sample.answer().splitlines())
        if fences % 2:
            raise Rejected("truncated", "it ends inside a code block")
