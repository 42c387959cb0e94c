"""One instruction asks for one thing."""

from __future__ import annotations

import re
from typing import Literal

from synth.errors import Rejected
from synth.language.text import prose
from synth.patterns import lazy
from synth.types import Sample, Value

FEWEST_CHARS, FEWEST_CHARS_JA = 16, 9
LABEL = r"(?:Tasks?|Questions?|Problems?|Exercises?|Instructions?|Prompts?|Parts?|Requests?|Items?|Q|課題|問題?|設問|質問|指示|タスク|演習|依頼|その|お願い)"
ORDINAL = r"(?:(?:first|second|third|next|another|new|other|1st|2nd)\s+(?:task|question|problem|request|instruction|exercise|thing|one)|(?:一|二|三|１|２|1|2)つ(?:目|め)(?:の?(?:質問|課題|問題|お願い))?|(?:第|その)[一二三12１２](?:問)?|(?:最初|次|もう一つ|別)の(?:質問|課題|問題|タスク|指示|お願い|依頼))"
START = r"(?:\A|\n|(?<=[.?!;。？！\"”])[ \t　]*)"
LABELLED = lazy(
    rf"{START}(?:\*\*|#+ |[\[【(（])?(?:{LABEL}\s?(?:\d{{1,2}}|[０-９]{{1,2}}|[A-D]|[一二三四])\s*[\]】)）]?\s*(?:\*\*)?(?:[:：.．)）、　-]|\n)|(?:Instruction|Task|Question|Prompt|指示|課題|質問|タスク)\s?[:：]|{ORDINAL}\s*[:：])",
    re.IGNORECASE,
)
NUMBERED = lazy(
    r"(?:\A|\n|(?<=[.?!。？！\"”])\s*|\s)[(\[]?(?:\d{1,2}|[０-９]|[a-d])[.．)\]](?=\s|[^\s\d.)])|（(?:\d{1,2}|[０-９]|[ア-オ]|[あ-お])）|[①②③④⑤]"
)
SEAM = lazy(
    r"\b(?:as\s+a\s+(?:separate|second|new|different)\s+(?:task|question|instruction)|(?:(?:un|not\s+)related\s+to\s+(?:that|this|the\s+above)|unrelated(?:ly)?|separately(?:\s+from\s+th\w+)?|independently)\s*[,:]"
    r"|(?:on|in)\s+(?:a|an)\s+(?:(?:completely|totally|entirely|quite)\s+)?(?:unrelated|different|separate|other|another)\s+(?:note|topic|subject|matter)|on\s+another\s+(?:note|topic|subject)|(?:completely|totally|entirely)\s+(?:different|unrelated|separate|new)\s*(?:topic|question|task|subject)?|by\s+the\s+way|changing\s+(?:the\s+)?(?:subject|topic|gears)|switching\s+(?:gears|topics)|while\s+(?:you['’]re|I['’]m|we['’]re)\s+(?:at\s+it|here)|apart\s+from\s+that"
    r"|(?:another|next|second|one\s+more|new|final|last|different|separate|other)\s+(?:question|task|thing|request|instruction|problem)\s*[:.,]|P\.?S\.?[ :,]|also,\s+(?:can|could|would|please|write|tell|give|what|who|how)|(?:and|plus|oh|now|then),?\s+(?:also\s+)?(?:something\s+(?:completely\s+|totally\s+)?different|unrelated))"
    r"|(?:全く|まったく)?別の(?:課題|質問|問題|指示|タスク|話題|お願い|件|話|依頼)(?:として|です|で|：|:|も|が|に)|それとは(?:別|関係なく|全く)|これとは(?:別|関係なく)|話(?:題)?は?を?(?:変わ|変え|かわ)|(?:もう[一1１]つ|もう一点|さらに一つ|別に)[、]?(?:質問|お願い|課題|教えて|聞き)|ところで、|ついでに|それから全然|全然関係(?:ない|あり)|関係ないですが|余談ですが|追伸|別件"
    r"|(?:次の|続いて(?:の)?)(?:タスク|課題|質問|指示|お願い)(?:です|は)?[:：、。]"
    r"|(?:\n|(?<=[.?!。？！]))[ \t]*(?:-{3,}|\*{3,}|[＊*]\s?[＊*]\s?[＊*]|#{3,}|={3,}|～{3,}|[・●◆■※]{3,}|－{3,})[ \t]*(?:\n|(?=[A-Z]))|\|\|\||\s//\s(?!\d)",
    re.IGNORECASE,
)
ASKS = lazy(
    r"[?？]|\b(?:please|write|explain|describe|list|find|calculate|compute|translate|summari[sz]e|create|generate|give|name|how|what|why|which|who|when|where|tell|solve|convert|sort|put|classify|determine|return|output|extract|identify|rewrite|complete|choose|select|count|add|multiply|suggest|compare|discuss|analy[sz]e|provide|predict|edit|fix|paraphrase|evaluate|estimate|design|define|state|prove|show)\b"
    r"|ください|下さい|なさい|せよ|ますか|ですか|でしょうか|してほしい|教えて|求め|(?:して|作って|書いて|挙げて|考えて|答えて)(?:[。\s]|\Z)|か。|\b(?:recommend|draft|compose|invent|think|propose|outline|can\s+you|could\s+you)\b",
    re.IGNORECASE,
)


ANNOUNCED = lazy(r"[^\n:：]{8,60}[:：]")
NEXT_TASK = lazy(
    r"\n(?:Now|Next),?\s+(?:write|translate|explain|list|solve|give|make|rewrite|summari[sz]e)\b|\n(?:Task|Exercise|Question|Problem|問題?|課題|質問)\s?[2-9２-９][ .:：．　]|\n(?:Instruction|指示|Task|課題)\s?[:：]"
    r"|\n(?:Text|Input|Sentence|文|入力)\s?[:：][^\n]*\n(?:Sentiment|Output|Answer|Label|判定|出力|答え)\s?[:：]|\n\n(?:Q|Ｑ)[.．:：][^\n]*\n(?:A|Ａ)[.．:：]"
    r"|\n\n(?:Thanks?|Thank you|That['’]s (?:great|helpful)|Great|ありがとうございます|なるほど|では|And)[^\n]{0,60}[?？](?:\n|\Z)|\n\nYou may also be wondering"
)
SERIES = lazy(
    r"quiz|dialog|conversation|FAQ|exercises|questions|problems|tasks|examples|prompts|script|interview|会話|対話|問題を|質問を|例題|クイズ|問答|よくある|練習|台本|課題を",
    re.IGNORECASE,
)
TASK = lazy(
    r"\A(?:please\s+|can you\s+|could you\s+)?(?:write|explain|describe|list|find|calculate|compute|translate|summari[sz]e|create|give|name|how|what|why|which|who|when|where|tell|solve|convert|suggest|compare|define|recommend|draft)\b"
    r"|(?:ください|下さい|なさい|ますか|ですか|でしょうか)[。？?]?\Z",
    re.IGNORECASE,
)
LONGEST_TASK = 200
POINTING = lazy(
    r"[:：]|\b(?:this|that|it|its|these|those|they|them|their|he|she|his|her|following|above|below|given|text|passage|sentence|answer|input|output|one|also|then)\b"
    r"|次の|つぎの|以下|上の|下の|この|その|それ|これ|また|文章|本文|答え|例",
    re.IGNORECASE,
)
"""With which one paragraph speaks of the other."""
CONTENT = lazy(r"[a-z]{4,}|[一-鿿]{2,}|[ァ-ヶー]{2,}")
COMMON = frozenset(
    [
        "what",
        "which",
        "where",
        "when",
        "write",
        "explain",
        "describe",
        "list",
        "find",
        "calculate",
        "compute",
        "translate",
        "please",
        "with",
        "from",
        "into",
        "about",
        "give",
        "name",
        "tell",
        "make",
        "does",
        "that",
        "have",
        "説明",
        "教",
        "挙",
        "書",
    ]
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
        detail = find_merged(sample.question()) or find_next_task(sample.answer(), sample.question())
        if detail is not None:
            raise Rejected("merged_instructions", detail)


def find_merged(instruction: str) -> str | None:
    """The seam between two tasks in one instruction; None when there is none."""
    plain = prose(instruction)
    asked = [found.span() for found in ASKS.finditer(plain)]
    for seam in SEAM.finditer(plain) if asked else ():
        between = asked[0][1] <= seam.start() and seam.end() <= asked[-1][0]
        if between and _long(plain[: seam.start()]) and _long(plain[seam.end() :]):
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
    return _two_paragraphs(plain)


def find_next_task(answer: str, question: str) -> str | None:
    """The task that an answer sets itself after it has done what was asked; None when there is none."""
    if SERIES.search(question):
        return None
    plain = prose(answer)
    start = ANNOUNCED.match(question)
    if start and f"\n{start[0]}" in plain:
        return f"the answer goes on with {start[0]!r} again"
    found = NEXT_TASK.search(plain)
    return f"the answer goes on with a task of its own: {found[0].strip()[:60]!r}" if found else None


def _two_paragraphs(plain: str) -> str | None:
    """The second of two paragraphs that each ask for something, and share not a word."""
    parts = [part.strip() for part in re.split(r"\n\s*\n", plain.strip())]
    if len(parts) != 2 or not all(TASK.search(part) and len(part) <= LONGEST_TASK and _asks(part) for part in parts):
        return None
    if "\n" in plain.replace("\n\n", "") or POINTING.search(plain):
        return None
    one, other = (set(CONTENT.findall(part.casefold())) - COMMON for part in parts)
    return None if one & other else f"{parts[1][:60]!r} is another task"


def _long(part: str) -> bool:
    return len(part.strip()) >= (FEWEST_CHARS if part.isascii() else FEWEST_CHARS_JA)


def _asks(part: str) -> bool:
    return _long(part) and ASKS.search(part) is not None
