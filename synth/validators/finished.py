"""The text was not cut off."""

from __future__ import annotations

import re
from typing import Literal

from synth.errors import Rejected
from synth.text import NOT_PROSE, open_fence
from synth.types import Sample, Value

CUT = ("length", "max_tokens", "MAX_TOKENS", "model_length")
PAIRS = {"「": "」", "『": "』", "(": ")", "（": "）", "“": "”"}
FEWEST_CHARS, FEWEST_CHARS_JA = 24, 12
DANGLING = re.compile(
    r"(?:[ ,](?:the|an?|and|or|but|nor|of|because|which|whose|than|into|onto|from|my|your|their|its|our|every|if|"
    r"although|while|where|whether|is|are|was|were|will|would|to|with|for|by|at|that))\Z"
)
"""English words that end no sentence, or hardly any."""
RUNNING = re.compile(r"[a-z)][.!?][\"”)]? +[\"“(]?[A-Z][^.!?\n]*\Z")
"""An English line whose earlier sentence ends as sentences do."""
RUNNING_JA = re.compile(r"[ぁ-ん][。！？][」』）)]?[^。！？!?\n]{6,}\Z")
STOPS_SHORT_JA = re.compile(
    r"(?:[ぁ-ん](?<![るいただうくすつぬむぶぐんねよかなさわぞぜろれてえけせめげり])"
    r"|まし|でし|ませ|くださ|でしょ|てい|[きしちにびみりいえけせてねべめれ]ま)\Z"
)
"""What ends no Japanese sentence: particles and stems. A bare noun may."""
MAY_END_JA = re.compile(
    r"(?:こと|もの|ひと|[ういくすつぬふむるた]と|など|ので|のに|ですが|ますが|けど|でも|かも|とも|までに|ように|[うくいたるなん]の|あと|まま|だけ|以上|予定|次第)\Z"
)
"""Endings of those letters that people do leave without a full stop."""
STRAIGHT_QUOTE = re.compile(r"(?<!\d)\"")
"""After a digit it means inches."""
CLOSING = re.compile(r"\n[^\n,]{0,32},\Z")
"""The last line of a letter, such as `Yours sincerely,`."""


class Finished(Value):
    """Refuse a text the server cut at its token limit, or one that visibly ends too early.

    Too early is: inside a code block, inside a bracket or quotation, at a comma, or in the middle of a sentence of
    running prose. A text that ends where a sentence may end is let through, as are lists, headings and bare answers.
    """

    kind: Literal["finished"] = "finished"

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`truncated`)."""
        detail = find_truncation(sample.answer(), sample.finish_reason)
        if detail is not None:
            raise Rejected("truncated", detail)


def find_truncation(text: str, finish_reason: str = "stop") -> str | None:
    """Where a text was cut off, in words; None when nothing shows that it was."""
    if finish_reason in CUT:
        return f"finish_reason {finish_reason}; it ends {text[-60:]!r}"
    if ("```" in text or "~~~" in text) and (fence := open_fence(text)):
        return f"it ends inside the code block {fence!r}"
    if len(text) < (FEWEST_CHARS if text.isascii() else FEWEST_CHARS_JA):
        return None
    # what comes before the last lines cannot be cut off, and a cut does not end in a formula
    end = NOT_PROSE.sub("\ufffc", text[-600:]).rstrip()
    line = end[end.rfind("\n") + 1 :]
    last, why = line[-1:], ""
    if last in ",、，" and not CLOSING.search(end):
        why = "at a comma"
    elif last not in ".!?。！？…" and (
        any(line.rfind(left) > line.rfind(right) for left, right in PAIRS.items())
        or (last.isalpha() and len(STRAIGHT_QUOTE.findall(line)) % 2)
    ):
        why = "inside a bracket or quotation"
    elif len(line) >= (FEWEST_CHARS if line.isascii() else FEWEST_CHARS_JA) and last.isalpha():
        japanese = RUNNING_JA.search(line) and STOPS_SHORT_JA.search(line) and not MAY_END_JA.search(line)
        if japanese or RUNNING.search(line) or DANGLING.search(line):
            why = "inside a sentence"
    return f"it ends {why}: {text[-60:]!r}" if why else None
