"""The text was not cut off."""

from __future__ import annotations

import re
from typing import Literal

from synth.errors import Rejected
from synth.language.text import NOT_PROSE, NOT_PROSE_MARKS, open_fence
from synth.patterns import lazy
from synth.types import Sample, Value

CUT = ("length", "max_tokens", "MAX_TOKENS", "model_length")
PAIRS = {"「": "」", "『": "』", "(": ")", "（": "）", "“": "”"}
FEWEST_CHARS, FEWEST_CHARS_JA = 24, 12
DANGLING = lazy(
    r"(?:[ ,](?:the|an?|and|or|but|nor|of|because|which|whose|than|into|onto|from|my|your|their|its|our|every|if|"
    r"although|while|where|whether|is|are|was|were|will|would|to|with|for|by|at|that|between|among|through|during|"
    r"without|against|toward|towards|upon|via|can|could|should|may|must|has|have|had|been|doesn['’]t|don['’]t|isn['’]t|"
    r"very|when|as|such|unless|until|since|[a-z]+ing the|(?:and|but|that|because|if|when|which) (?:we|they|he|she|you|it)))\Z",
    re.IGNORECASE,
)
"""English words that end no sentence, or hardly any."""
RUNNING = lazy(r"[a-z)][.!?][\"”)*]* +[\"“(*]*[A-Z](?:[^.!?\n]|\.\d)*\Z")
"""An English line whose earlier sentence ends as sentences do."""
STOPPED = lazy(r"[a-z0-9)*]{2}[.!?][\"”)*]*(?: |\n|\Z)")
PROSE_LINE = lazy(r"\A[A-Z\"“*][^:|#\n]*\Z")
WORDS_OF_A_SENTENCE = 8
STOPS_SHORT_JA = lazy(
    r"(?:[ぁ-ん](?<![るいただうくすつぬむぶぐんねよかなさわぞぜろれてえけせめげりや])"
    r"|まし|でし|ませ|くださ|でしょ|てい|[きしちにびみりいえけせてねべめれげじらか]ま|(?<![、。])て[いき]|によ|において|に対して|について|として|によって|られて|考えら|と言わ|場合は|ので|ため[に、]?|れば|たり|や)\Z"
)
"""What ends no Japanese sentence: particles and stems. A bare noun may."""
POLITE = lazy(r"(?:です|ます|ました|ません|でした|でしょう|ください|しょう)[ねよか]{0,2}[。！？!?]")
POLITE_END = lazy(
    r"(?:です|ます|ました|ません|でした|でしょう|ください|下さい|しょう|ましょ|こと|もの|とおり|通り|以上|など|ませ|なさい)[ねよかなわー]{0,3}\Z"
)
STEM_JA = lazy(r"[、はがをにでとも][^、。]*[ぁ-ん]\Z")
ITEM = lazy(r"\A\s*(?:[-*+・●○■◆※>#]|\d{1,2}[.)．）、]|[（(]\d|[①-⑳])")
MAY_END_JA = lazy(
    r"(?:こと|もの|ひと|[ういくすつぬふむるた]と|など|ので|のに|ですが|ますが|けど|でも|かも|とも|までに|ように|[うくいたるなん]の|あと|まま|だけ|以上|予定|次第|同じ|感じ)\Z"
)
"""Endings of those letters that people do leave without a full stop."""
STRAIGHT_QUOTE = lazy(r"(?<!\d)\"")
"""After a digit it means inches."""
LEFT_OPEN = lazy(
    r"(?P<at_an_empty_item>\n\s*(?:[-*+・]|\d{1,2}[.)．）])\Z)"
    r"|(?P<before_what_it_announces>^(?!\s*(?:[-*+・●○■◆※>#]|\d{1,2}[.)．）、]|[①-⑳]))[^\n]{11,}[:：]\Z|[\d)] ?[=+×÷]\Z)"
    r"|(?P<inside_a_table>\n\|[^\n]*\n\|[^\n]*[^|\s]\Z)"
    r"|(?P<inside_JSON>\A(?:\{\s*\"[^\"\n]*\"\s*:|\[\s*[{\"\d])[\s\S]*[^}\]]\Z)"
    r"|(?P<inside_a_formula>(?<!\\)\\[(\[](?:(?!\\[)\]])[\s\S])*\Z)"
    r"|(?P<inside_a_word>[a-z]{3}-\Z)|(?P<at_a_dash>[\w)*]\s?[-–—]\Z)",
    re.MULTILINE,
)
"""What a text stops at that something had to follow or close."""
OPEN_ENDS, LONGEST_ITEM = "-–—*+・:：=×÷", 3
"""How else than within an object, a table or a formula such a text ends: with a sign, or an item's number."""
SHORTEST_TAIL_JA = 6
DOUBLED = lazy(r"([ぁ-ん]{2})\1\Z")
PLAIN_END_JA = lazy(
    r"(?:[うくすつぬむぶぐるただいなよねかわぞぜさん]|のに|けど|から|ので|けれど|ても|まで|より|だけ|ほど)\Z"
)
"""With which a friendly text may end though it was polite before."""
CLOSING = lazy(r"\n[^\n,]{0,32},\Z")
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
    end = text[-1200:]
    if any(mark in end for mark in NOT_PROSE_MARKS):
        end = NOT_PROSE.sub("\ufffc", end)
    end = end.rstrip()
    line = end[end.rfind("\n") + 1 :]
    last, why = line[-1:], ""
    opens = last in OPEN_ENDS or end[:1] in "{[" or len(line.strip()) <= LONGEST_ITEM or "\n|" in end or "\\" in end
    left = LEFT_OPEN.search(end) if opens else None
    if last in ",、，" and not CLOSING.search(end):
        why = "at a comma"
    elif left:
        why = left.lastgroup.replace("_", " ") if left.lastgroup else ""
    elif last not in ".!?。！？…" and (
        any(line.rfind(left) > line.rfind(right) for left, right in PAIRS.items())
        or (last.isalpha() and len(STRAIGHT_QUOTE.findall(line)) % 2)
    ):
        why = "inside a bracket or quotation"
    elif last.isalpha():
        why = _sentence_left_open(end)
    return f"it ends {why}: {text[-60:]!r}" if why else None


def _sentence_left_open(end: str) -> str:
    line = end[end.rfind("\n") + 1 :]
    before, last = end[: -len(line)], line[-1:]
    if not last.isalpha() or re.search(r"[ァ-ヶー一-鿿]w+\Z", line):
        return ""
    if line.isascii() or not re.search(r"[ぁ-んァ-ヶ]", line):
        prose_line = PROSE_LINE.match(line) and len(line.split()) >= WORDS_OF_A_SENTENCE and STOPPED.search(before)
        found = len(line) >= FEWEST_CHARS and (RUNNING.search(line) or DANGLING.search(line) or prose_line)
        return "inside a sentence" if found else ""
    if len(line) < FEWEST_CHARS_JA and not ITEM.match(line):
        return ""
    tail = line[max(line.rfind(stop) for stop in "。！？!?") + 1 :]
    stopped = re.search(r"[ぁ-ん][。！？]", end)
    short = len(tail) >= SHORTEST_TAIL_JA and STOPS_SHORT_JA.search(tail) and not MAY_END_JA.search(tail)
    if (
        short
        and (stopped or (ITEM.match(line) and tail[-1] in "をがはにの") or len(tail) >= FEWEST_CHARS_JA)
        and not DOUBLED.search(tail)
    ):
        return "inside a sentence"
    manner = len(POLITE.findall(end)) >= 2 and len(tail) >= SHORTEST_TAIL_JA and STEM_JA.search(tail)
    return "inside a sentence" if manner and not POLITE_END.search(tail) and not PLAIN_END_JA.search(tail) else ""
