"""The text is in the register asked for: だ・である, です・ます or 敬語, formal or casual."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from synth.errors import Rejected
from synth.language.text import prose, subject
from synth.patterns import lazy
from synth.types import Sample, Value

Wanted = Literal["plain", "polite", "honorific", "formal", "casual"]

NAMED: dict[str, Wanted] = {
    **dict.fromkeys(("plain", "常体", "だ・である", "である調"), "plain"),
    **dict.fromkeys(("polite", "敬体", "丁寧", "丁寧体", "です・ます", "ですます調"), "polite"),
    **dict.fromkeys(("honorific", "敬語", "尊敬・謙譲"), "honorific"),
    "formal": "formal",
    "casual": "casual",
}
"""What a field may call a register."""

ASIDE = lazy(r"「[^「」]*」|『[^『』]*』|“[^”\n]*”|[(（][^()（）]*[)）]")
"""What is quoted or put in brackets has a register of its own."""
WHOLLY_SPOKEN = lazy(r"「([^「」]*)」")
NO_SENTENCE = lazy(r"\s*(?:#|\||[-*+・●○■□◆◇▶]|[①-⑳]|[(（]?\d{1,2}[.)．）、]|>|[^。！？!?\n]{1,12}[:：\u3000])")
"""Headings, tables, points, quotations and what follows a label: sentences need not end there as they do in prose."""
TAIL = lazy(r"[\W_]+\Z")
"""Signs, brackets and emoji after the last word."""
SENTENCE = lazy(r"([^。．！？!?\n]+)([。．！？!?]*)")
PARTICLE = r"(?:[よねなわぞさ]|けど|けれど|が|から|ので|の|し)*"
POLITE = lazy(
    rf"(?:です|ます|でした|ました|ません|ましょう|でしょう|ませ|ください|下さい|なさい|ございます)か?{PARTICLE}\Z"
)
PLAIN = lazy(
    r"(?:である|であった|だ|だった|だろう|であろう|ない|なかった|らしい|たい|しい|よい|いい|にくい|やすい|づらい|べき|(?<![違願扱使思会合誓争祝買狙問誘])(?<=[一-龯])い"
    rf"|る|(?<!あな)(?<!か)(?<!どな)た|[^のよほどこそと]う|[くぐすぬむぶ]|(?<![一二三四五六七八九くさ\d])つ){PARTICLE}\Z"
)
HONORIFIC = lazy(
    r"いただ|頂[きくけい]|(?:くださ|下さ)(?:[るっ]|いま)|なさ[いっるり]|いらっしゃ|おっしゃ|申し(?:上げ|ま|入れ)|伺[いうっえ]|存じ|承[りっる]|承知"
    r"|ござい|拝[見読借聴受察]|差し上げ|参り|まいり|おりま|いたし|致し|賜|召し上が|お越し|ご覧|お目にかか"
    r"|[おご御](?:[一-龯]{1,3}|[一-龯][ぁ-ん]{1,3})(?:に(?:な[りるっ]|なれ)|し(?:ま|て)|ください|下さい|願|でしょう|です|くだ|のほど|申)"
)
HONORIFIC_EACH = 3
"""One of so many sentences at least holds an honorific or humble form where 敬語 is asked for."""

SHORT = lazy(
    r"\b(?:\w+n['’]t|(?:I|you|he|she|it|we|they|that|there|who|what|this)['’](?:re|ll|ve|m|d)"
    r"|(?:it|that|there|here|what|who|where|how|let|he|she|this|when)['’]s|gonna|wanna|gotta|kinda|y['’]all)\b",
    re.IGNORECASE,
)
CHATTY = lazy(
    r"\b(?:hey|yeah|yep|nope|hi there|lol|btw|guys|awesome|no worries|super|pretty much|tons of|heads up)\b"
    r"|(?<!\d)!(?!=)|[\U0001f300-\U0001faff]",
    re.IGNORECASE,
)
STIFF = lazy(
    r"\b(?:hereby|herein|thereof|pursuant|henceforth|furthermore|moreover|notwithstanding|thus|therefore|shall|whom|one"
    r" (?:must|may|should|ought)|it is (?:advisable|recommended|essential)|utili[sz]e|commence|prior to|in order to)\b",
    re.IGNORECASE,
)


class Endings(NamedTuple):
    """How the sentences of a Japanese text end."""

    plain: tuple[str, ...]
    polite: tuple[str, ...]
    points: int
    """Points that end plainly, as they may in any register."""
    honorific: int
    """Sentences with an honorific or humble form in them."""


class Register(Value):
    """Refuse a text in another register than the one `wanted`, or named by the field `of`.

    In Japanese sentences are held by their endings: `plain` (常体: だ, である), `polite` (敬体: です, ます), `honorific` (敬語:
    polite, and in one sentence of three a form of respect or humility). `mixed` is the share of sentences that may end
    otherwise. Headings, points, tables, quotations, brackets and sentences that end with a noun count for nothing. In
    English `formal` refuses contractions, exclamations and chat, and `casual` a text without any of them or with words
    of contracts. Whether respect goes to the right person is for a judge.
    """

    kind: Literal["register"] = "register"
    wanted: Wanted | None = None
    of: str = ""
    mixed: float = Field(default=0.0, ge=0, lt=0.5)

    @model_validator(mode="after")
    def _is_told_once(self) -> Register:
        if (self.wanted is None) == (not self.of):
            raise ValueError("say which register by `wanted`, or by `of`, the field that names it")
        return self

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`other_register`) or Rejected(`mixed_register`)."""
        wanted = self.wanted or NAMED.get(str(sample.fields.get(self.of) or ""))
        if wanted is None:
            named = sample.fields.get(self.of)
            raise Rejected("other_register", f"the field {self.of!r} holds {named!r}, not {', '.join(NAMED)}")
        text = subject(sample)
        if wanted in ("formal", "casual"):
            problem = _not_formal(text) if wanted == "formal" else _not_casual(text)
            if problem:
                raise Rejected("other_register", problem)
            return
        found = endings(text)
        right, wrong = (found.plain, found.polite) if wanted == "plain" else (found.polite, found.plain)
        if len(wrong) > self.mixed * (len(right) + len(wrong)):
            reason = "mixed_register" if right else "other_register"
            raise Rejected(reason, f"{len(wrong)} of {len(right) + len(wrong)} end otherwise, as {wrong[0][-20:]!r}")
        if not right and not (wanted == "plain" and found.points):
            raise Rejected("other_register", "no sentence in it shows a register")
        if wanted == "honorific" and found.honorific * HONORIFIC_EACH < len(right):
            raise Rejected("other_register", f"{found.honorific} of {len(right)} sentences show respect or humility")


def endings(text: str) -> Endings:
    """The sentences of a Japanese text by how they end."""
    plain, polite, points, honorific = list[str](), list[str](), 0, 0
    whole = WHOLLY_SPOKEN.fullmatch(text.strip())
    for sentence, ended in _sentences(whole[1] if whole else text):
        if POLITE.search(sentence):
            polite.append(sentence)
        elif PLAIN.search(sentence):
            plain += [sentence] * ended
            points += not ended
        honorific += HONORIFIC.search(sentence) is not None
    return Endings(tuple(plain), tuple(polite), points, honorific)


def _sentences(text: str) -> Iterator[tuple[str, bool]]:
    """The sentences outside of code and quotations, and whether each ends as one of prose."""
    for line in prose(text).split("\n"):
        point = NO_SENTENCE.match(line) is not None
        for found in SENTENCE.finditer(_outside(line)):
            sentence = TAIL.sub("", found[1]).strip()
            if sentence:
                yield sentence, bool(found[2]) and not point


def _outside(line: str) -> str:
    before = ""
    while before != line:  # quotations stand in quotations
        before, line = line, ASIDE.sub("", line)
    return line


def _not_formal(text: str) -> str:
    found = SHORT.search(prose(text)) or CHATTY.search(prose(text))
    return f"{found[0]!r} is not formal" if found else ""


def _not_casual(text: str) -> str:
    if found := STIFF.search(prose(text)):
        return f"{found[0]!r} is not casual"
    return "" if SHORT.search(prose(text)) or CHATTY.search(prose(text)) else "nothing in it is casual"
