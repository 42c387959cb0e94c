"""The answer says what the passages say, and says where."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from pydantic import Field

from synth.errors import Rejected
from synth.language.numerals import NUMBER, plain, value_of
from synth.patterns import lazy
from synth.types import Sample, Value

CITATION = lazy(r"[\[［【](\d{1,2}(?:\s*[,、，]\s*\d{1,2})*)[\]］】]")
QUOTED = lazy(r"“([^”\n]+)”|「([^」\n]+)」|『([^』\n]+)』|\"([^\"\n]+)\"")
SENTENCE_END = lazy(r"(?<=[。！？!?\n])|(?<=\.)\s")
LIST_NUMBER = lazy(
    r"^[ \t\u3000#>*_・-]*(?:[(（]\s?\d{1,2}\s?[)）]|\d{1,2}[.)．）]\s*(?!\d)|[①-⑳⑴-⒇⒈-⒛])", re.MULTILINE
)
LEAST_QUOTE = 6
"""Characters: a shorter text in quotation marks may be a name, or a word that is spoken of."""
SILENT_EN = (
    r"\b(?:passages?|documents?|texts?|sources?|excerpts?|(?:it|this|that|answer|information)\s+is)\b[^.!?\n]{0,60}?"
    r"\b(?:(?:do(?:es)?|did)\s+not|don['’]t|doesn['’]t|never|not|nothing|no)\b[^.!?\n]{0,30}?"
    r"\b(?:say|state|mention|contain|give|tell|include|specify|provide|answer|found|information|there|cover|address)"
    r"|\b(?:cannot|can['’]t|not possible to)\s+(?:be\s+)?(?:answer|tell|determin)\w*[^.!?\n]{0,30}?\b(?:from|by|on)\b"
)
NOT_JA = r"(?:い|お)(?:ない|ませ|り?ません)"
SILENT_JA = (
    r"(?:文書|文章|資料|本文|記事|抜粋|記述)[^。\n]{0,40}?"
    rf"(?:(?:書かれて|記載されて|述べられて|触れられて|載って){NOT_JA}|記載(?:が|は)(?:ない|あ?りません)"
    r"|(?:からは?|では)(?:分か|わか|判断でき|読み取れ|答えられ)(?:りませ|ませ|らな|な))|記載(?:は|が)(?:ない|ありません)"
)
DECLINED = lazy(f"{SILENT_EN}|{SILENT_JA}", re.IGNORECASE)


class Grounded(Value):
    """Refuse an answer that the passages in the fields of `passages` do not support, as far as letters tell.

    It cites by number, as [1] or [1, 2], in the order of the fields. What stands in quotation marks must stand in what
    its sentence cites, and so must its numbers, or in the question. `unanswerable` is what the field `about` holds when
    the passages have no answer: then it must say so, and else must not. Where it holds `several`, two must be cited.
    Whether the words follow from the passage is for a judge, and so are numbers in words and single kanji.
    """

    kind: Literal["grounded"] = "grounded"
    passages: list[str] = Field(min_length=1)
    question: str = ""
    """The field with the question alone, where the user's turn shows the passages too."""
    about: str = ""
    unanswerable: str = "unanswerable"
    several: str = "multi_hop"

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`not_declined`), (`declined`), (`no_citation`), (`wrong_citation`) or (`not_in_passage`)."""
        answer, about = sample.answer(), sample.fields.get(self.about) if self.about else None
        declines = DECLINED.search(answer)
        cited = {number for found in CITATION.finditer(answer) for number in _numbered(found)}
        if self.about and about == self.unanswerable:
            if declines is None:
                raise Rejected("not_declined", f"the passages have no answer, and this is one: {answer[:80]!r}")
            return
        if declines is not None and not cited:
            raise Rejected("declined", declines[0])
        texts = [str(sample.fields.get(name) or "") for name in self.passages]
        asked = str(sample.fields.get(self.question) or "") if self.question else sample.question()
        if wrong := sorted(number for number in cited if not 1 <= number <= len(texts) or not texts[number - 1]):
            raise Rejected("wrong_citation", f"there is no passage [{wrong[0]}]")
        if not cited:
            raise Rejected("no_citation", f"no passage is named, as [1]: {answer[-80:]!r}")
        if self.about and about == self.several and len(cited) < 2:
            raise Rejected("no_citation", f"two passages are needed, and only [{cited.pop()}] is named")
        if missing := unsupported(answer, texts, asked):
            raise Rejected("not_in_passage", missing)


def unsupported(answer: str, texts: Sequence[str], question: str) -> str:
    """The first quotation or number of an answer that what its sentence cites does not hold; empty when there is none.

    A sentence that cites nothing is held against all texts. A question's own words and numbers may be repeated.
    """
    for part in _cited_parts(answer):
        named = [number for found in CITATION.finditer(part) for number in _numbered(found)]
        held = [texts[number - 1] for number in named if number <= len(texts)] or list(texts)
        where = " ".join(f"[{number}]" for number in named) or "any passage"
        said = LIST_NUMBER.sub("", CITATION.sub(" ", part))
        known = _squeezed(" ".join([*held, question]))
        for found in QUOTED.finditer(said):
            quote = next(group for group in found.groups() if group)
            if len(quote) >= LEAST_QUOTE and _squeezed(quote).strip(".。,、…") not in known:
                return f"{quote[:80]!r} does not stand in {where}"
        numbers = _values("\n".join([*held, question]))
        for match in NUMBER.finditer(plain(said)):
            if (value := value_of(match)) is not None and value not in numbers and not match["kanji"]:
                return f"{match[0]!r} does not stand in {where}"
    return ""


def _cited_parts(answer: str) -> list[str]:
    """Sentences, each with the citations that stand behind it."""
    parts: list[str] = []
    for piece in SENTENCE_END.split(answer):
        while parts and (bare := CITATION.match(piece.lstrip())):  # "… is open. [1][2] It …"
            end = piece.index(bare[0]) + len(bare[0])
            parts[-1] += piece[:end]
            piece = piece[end:]
        if piece.strip():
            parts.append(piece)
    return parts


def _numbered(found: re.Match[str]) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", unicodedata.normalize("NFKC", found[1]))]


def _squeezed(text: str) -> str:
    """Without width, case and blanks, which a quotation may change."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def _values(text: str) -> set[Fraction]:
    values = {value_of(match) for match in NUMBER.finditer(plain(text))}
    digits = {Fraction(int(run)) for run in re.findall(r"\d{1,40}", unicodedata.normalize("NFKC", text))}
    return {value for value in values if value is not None} | digits
