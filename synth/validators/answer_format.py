"""A final answer can be found in the text."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import field_validator

from synth.errors import Rejected
from synth.language.answers import marked_answer
from synth.types import Sample, Value


class AnswerFormat(Value):
    """Refuse an answer without a marked final answer, such as a last line `A: 72`, `答え: 72` or a boxed one.

    With `pattern`, the answer must match that regular expression instead.
    """

    kind: Literal["answer_format"] = "answer_format"
    pattern: str | None = None

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression ({error})") from None
        return pattern

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`no_final_answer`)."""
        text = sample.answer()
        if self.pattern is not None:
            if re.search(self.pattern, text, re.MULTILINE) is None:
                raise Rejected("no_final_answer", f"nothing matches {self.pattern!r}; it ends {text[-60:]!r}")
            return
        if marked_answer(text) is None:
            raise Rejected("no_final_answer", f"no marked final answer; it ends {text[-60:]!r}")
