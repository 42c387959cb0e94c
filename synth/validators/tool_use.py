"""Tools are called as often as the request needs, and the answer says what they gave."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from synth.errors import Rejected
from synth.language.text import several
from synth.types import Sample, ToolTurn, Value
from synth.validators.grounded import unsupported


class ToolUse(Value):
    """Refuse a dialogue that calls too few tools or too many, the same one twice, or whose answer has other numbers.

    `least` says how many calls there must be at least, by what the field `about` holds; 0 stands for none at all. The
    numbers and quotations of the answer must stand in the tools' results or in what was said before.
    """

    kind: Literal["tool_use"] = "tool_use"
    about: str
    least: dict[str, int] = Field(min_length=1)

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`wrong_tool_use`) or Rejected(`not_in_passage`)."""
        turns = [turn for turn in sample.messages if isinstance(turn, ToolTurn)]
        calls = [call.function for turn in turns for call in turn.tool_calls or ()]
        about = str(sample.fields.get(self.about))
        if about not in self.least:
            raise Rejected("wrong_tool_use", f"nothing is said of {self.about} {about!r} in `least`")
        least = self.least[about]
        if len(calls) < least or (calls and not least):
            wanted = f"at least {least}" if least else "none"
            raise Rejected("wrong_tool_use", f"{about}: {several(len(calls), 'call')}, {wanted} wanted")
        if len({(call.name, call.arguments) for call in calls}) < len(calls):
            raise Rejected("wrong_tool_use", "the same call was made twice")
        before = [turn.content for turn in turns[:-1]]
        before += [call.arguments for call in calls]
        if calls and (missing := unsupported(sample.answer(), ["\n".join(before)], "")):
            raise Rejected("not_in_passage", missing.replace("any passage", "what the tools gave"))
