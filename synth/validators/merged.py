"""One instruction asks for one thing."""

from __future__ import annotations

import re
from typing import Literal

from synth.errors import Rejected
from synth.text import prose
from synth.types import Sample, Value

FEWEST_CHARS, FEWEST_CHARS_JA = 24, 12
LABEL = r"(?:Tasks?|Questions?|Problems?|Exercises?|Instructions?|Prompts?|課題|問題?|設問|質問|指示|タスク|演習)"
LABELLED = re.compile(
    rf"(?:\A|\n|(?<=[.?!。？！\"”」])\s*){LABEL}\s?(?:\d{{1,2}}|[０-９]{{1,2}}|[A-D]|[一二三四])\s*[:：.．)）、　]",
    re.IGNORECASE,
)
NUMBERED = re.compile(r"(?:\A|\n|(?<=[.?!。？！\"”])\s*)\(?(?:\d{1,2}|[０-９])[.．)]\s|（(?:\d{1,2}|[０-９])）|[①②③④⑤]")
SEAM = re.compile(
    r"\b(?:as\s+a\s+(?:separate|second|new|different)\s+(?:task|question|instruction)|(?:un|not\s+)related\s+to\s+(?:that|this|the\s+above)|separately,|"
    r"on\s+(?:a|an)\s+(?:unrelated|different|separate)\s+(?:note|topic))|別の(?:課題|質問|問題|指示|タスク)(?:として|です)|それとは(?:別|関係なく)|これとは別に|話は変わ"
    r"|\n\s*(?:-{3,}|\*{3,}|[＊*]\s?[＊*]\s?[＊*]|#{3,}|={3,})\s*\n",
    re.IGNORECASE,
)
ASKS = re.compile(
    r"[?？]|\b(?:please|write|explain|describe|list|find|calculate|compute|translate|summari[sz]e|create|generate|give|name|how|what|why|which|who|when|where|tell|solve|convert|sort|put|classify|determine|return|output|extract|identify|rewrite|complete|choose|select|count|add|multiply|suggest|compare|discuss|analy[sz]e|provide|predict|edit|fix|paraphrase|evaluate|estimate|design|define|state|prove|show)\b"
    r"|ください|下さい|なさい|せよ|ますか|ですか|でしょうか|してほしい|教えて|求め",
    re.IGNORECASE,
)


class Merged(Value):
    """Refuse an instruction that is two tasks put together.

    Judged is the question, by seams that a writer leaves: labels such as `Task 1` and 問2, numbers or a ruler before
    two parts that each ask for something, or words such as "as a separate task". Two tasks in one sentence, and a
    request with its steps, are let through.
    """

    kind: Literal["merged"] = "merged"

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`merged_instructions`)."""
        detail = find_merged(sample.question())
        if detail is not None:
            raise Rejected("merged_instructions", detail)


def find_merged(instruction: str) -> str | None:
    """The seam between two tasks in one instruction; None when there is none."""
    plain = prose(instruction)
    seam = SEAM.search(plain)
    if seam and _asks(plain[: seam.start()]) and _asks(plain[seam.end() :]):
        return f"{seam[0].strip()!r} stands between two tasks"
    for numbers in (LABELLED, NUMBERED):
        marks = list(numbers.finditer(plain))
        # what is said before the first number is the task, and the numbers are its steps
        if len(marks) < 2 or plain[: marks[0].start()].strip():
            continue
        ends = [mark.start() for mark in marks[1:]] + [len(plain)]
        parts = [plain[mark.end() : end] for mark, end in zip(marks, ends, strict=True)]
        if all(_long(part) if numbers is LABELLED else _asks(part) for part in parts):
            return f"{len(parts)} numbered tasks"
    return None


def _long(part: str) -> bool:
    return len(part.strip()) >= (FEWEST_CHARS if part.isascii() else FEWEST_CHARS_JA)


def _asks(part: str) -> bool:
    return _long(part) and ASKS.search(part) is not None
