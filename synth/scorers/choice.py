"""The choice that an answer makes among several, against the right one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import JsonValue

from synth.ask import Ask
from synth.errors import Rejected
from synth.language.text import fold
from synth.patterns import lazy
from synth.types import Fields, Sample, Score, Value

LETTERS, KANA = "ABCDEFGHIJ", "アイウエオカキクケコ"
LABEL = rf"(?:[A-J]|[{KANA}]|\d{{1,2}})"
OPENS, CLOSES = r"\s(\[{「『【<*_\"'$", r"\s)\]}」』】>*_\"'$"
OPENING, CLOSING = rf"[{OPENS}]*+", rf"[{CLOSES}]*+"
NAMED = r"(?:(?:option|choice|answer|選択肢|番号)\s*)?"
END = r"(?=\Z|[^\w]|番|です|だ|が|を|は|に|で(?:す|ある)|と(?:なる|なり|考え|思)|\s)"
LABELLED = lazy(rf"{OPENING}{NAMED}{OPENING}(?P<label>{LABEL}|(?<=\()[a-j](?=\))|[a-j](?=[).\s]*\Z)){END}"
                      rf"(?P<after>番?{CLOSING}[.:、,]?\s*)", re.IGNORECASE)  # fmt: skip
ARTICLE = lazy(r"A\s+(?!because|since|as\b|is\b|due\b|for\b)[a-z]")
"""The first word of a choice's text, and no label."""
SECOND = lazy(
    rf"(?<![{CLOSES}]){CLOSING}(?:or|and|と|か|または|あるいは|もしくは|及び|[、,/&・]){OPENING}{LABEL}{END}",
    re.IGNORECASE,
)
SAYING = (
    r"(?:answer|choice|option)\s*+(?:(?:is|would\s+be|should\s+be|must\s+be)\s*(?:clearly\s+)?[*_]*\s*+[:=]?|[*_]*\s*+[:=])[\s*_]*"
    r"|\b(?:choose|select|pick|go\s+with)\s+"
    r"|(?:答え|答|こたえ|回答|解答|正解|正答)\s*(?:[*_」]*\s*(?:は|が|[:=])|】)[、\s*_]*"
    r"|(?:では|じゃ)なく(?:て)?[、,]?\s*"
    r"|^\#{4}\s+"
)
FITTING = r"正解|正しい|適切|適当|答え|ふさわしい|当てはま|あてはま|選(?:び|ぶ|択)"
STATED = lazy(
    r"\\boxed\s*\{(?P<boxed>[^{}]*)\}"
    rf"|(?:{SAYING})(?!not\b|no\b)(?=(?P<said>[^\n。]{{1,1000}}))"
    rf"|(?<![a-z0-9ァ-ヶ])(?P<fits>{LABEL}){CLOSING}(?:番\s*)?(?:の方)?[がを]\s*(?:最も|一番|もっとも)?\s*(?:{FITTING})(?!では|じゃ|くな)"
    rf"|(?<!\w)(?P<correct>{LABEL}){CLOSING}(?<=\s)is\s+(?:the\s+)?(?:correct|right|best|answer)",
    re.IGNORECASE | re.MULTILINE,
)
WRAPPED = lazy(r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}")


class Choice(Value):
    """1 when the answer makes the choice that the field `reference` names, else 0.

    A choice is named by its label (A to J, ア to コ, 1 to 10, also ①, (B), 2番, in full width) or by its text, for
    which `choices` lists the fields that hold the texts in order, or one that holds them as a list. `first` is the
    number of the first choice where numbers label them. The last choice that the answer states counts; two at once
    are none.
    """

    template_values: ClassVar[dict[str, JsonValue]] = {}

    kind: Literal["choice"] = "choice"
    name: str = "choice"
    reference: str
    choices: list[str] = []
    first: Literal[0, 1] = 1

    def template_files(self) -> tuple[str, ...]:
        """It renders none."""
        return ()

    async def score(self, sample: Sample, ask: Ask) -> Score:  # noqa: ARG002 (the scorers' common shape)
        """Compare; raises Rejected(`no_reference`) when the reference is missing or none of the choices."""
        texts = _texts(sample.fields, self.choices)
        right = _right(sample.fields.get(self.reference), texts, self.first)
        if right is None:
            value = sample.fields.get(self.reference)
            raise Rejected("no_reference", f"the field {self.reference!r} holds none of the choices: {value!r}")
        made = chosen(sample.answer(), texts, self.first)
        shown = [*texts, *LETTERS[len(texts) :]]  # without texts, the letter
        detail = "no single choice" if made is None else f"{shown[made]!r}"
        return Score(name=self.name, value=float(made == right), detail=f"{detail} against {shown[right]!r}")


def chosen(text: str, texts: Sequence[str] = (), first: int = 1) -> int | None:
    """The place, from 0, of the choice that a text makes; None when it makes none, or two at once.

    Looks at a text that is nothing but a choice, then at the last statement (`the answer is (B)`, 「正解は2番」, a
    box), then at the last line, and last for the only choice whose text stands in it.
    """
    plain = WRAPPED.sub(r"\1", unicodedata.normalize("NFKC", text)).strip()
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    if len(lines) == 1 and (found := _named(plain, texts, first)) is not None:
        return found
    for match in reversed(list(STATED.finditer(plain))):
        said = next(part for part in match.groups() if part is not None)
        found = _named(said, texts, first)
        if found is not None or SECOND.search(said):
            return found
        if (only := _only(said, texts)) is not None:
            return only
    if lines and (found := _named(lines[-1], texts, first)) is not None:
        return found
    return _only(plain, texts)


def _named(said: str, texts: Sequence[str], first: int) -> int | None:
    """The choice that a phrase begins with, by its text or label."""
    whole = _bare(said)
    for place, text in enumerate(texts):
        if whole and whole == _bare(text):
            return place
    match = LABELLED.match(said)
    if match is None or ARTICLE.match(said, match.start("label")):
        return None
    if SECOND.match(said, match.end("label")):
        return None
    return _place(match["label"], len(texts), first)


def _only(said: str, texts: Sequence[str]) -> int | None:
    """The one choice whose text stands in a phrase; one that is part of a longer choice's text there does not count."""
    rest, found = fold(said), list[int]()
    for place in sorted(range(len(texts)), key=lambda place: -len(texts[place])):
        text = fold(texts[place])
        at = rf"(?<![a-z0-9]){re.escape(text)}(?![a-z0-9])"
        if text and re.search(at, rest):
            found.append(place)
            rest = re.sub(at, "\n", rest)
    return found[0] if len(found) == 1 else None


def _place(label: str, count: int, first: int) -> int | None:
    label = label.upper()
    place = int(label) - first if label.isdecimal() else max(LETTERS.find(label), KANA.find(label))  # İ is no I
    return place if 0 <= place < (count or len(LETTERS)) else None


def _bare(text: str) -> str:
    """A choice's text without brackets, quotes, and what ends a sentence."""
    text = fold(text).rstrip("。.! ")
    said = next((text.removesuffix(end) for end in ("です", "である", "だ") if text.endswith(end)), text)
    return said.lstrip(" ([{「『【<*_\"'$").rstrip(" )]}」』】>*_\"'$")


def _texts(fields: Fields, names: Sequence[str]) -> list[str]:
    values = [fields.get(name) for name in names]
    if len(values) == 1 and isinstance(values[0], list):
        values = values[0]
    return [str("" if value is None else value) for value in values]


def _right(value: JsonValue, texts: Sequence[str], first: int) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return _place(str(value), len(texts), first) if value >= 0 else None
    return _named(unicodedata.normalize("NFKC", value).strip(), texts, first) if isinstance(value, str) else None
