"""Numbers come in the units and the money that the readers use."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from synth.errors import Rejected
from synth.language.text import prose, subject
from synth.patterns import lazy
from synth.types import Sample, Value

AMOUNT = r"\d[\d,.]*\s?(?:万|億|兆|千|million|billion|trillion|thousand)?\s?"
METRIC = lazy(
    r"(?<![a-z])(?:[ckm]?m|k?g|m?l|km/h)(?![a-z])|メートル|キロ|センチ|ミリ|グラム|リットル|ヘクタール|平米|℃|摂氏"
    r"|\b(?:kilo|centi|milli)?(?:met(?:re|er)|gram|lit(?:re|er))s?\b|\bcelsius\b|\bhectares?\b|(?:feet|foot|inches|acres?)\b",
    re.IGNORECASE,
)
SENTENCE = lazy(r"[^。！？!?\n]+?(?:[。！？!?\n]|\.(?=\s|\Z)|\Z)")
FORMULA = lazy(r"\$[^$\n]*[\\^_=+*/][^$\n]*\$")


class _Foreign(NamedTuple):
    """A writing that is strange to readers, unless its counterpart stands in the same sentence."""

    what: re.Pattern[str]
    beside: re.Pattern[str]


YEN = lazy(r"円|[¥￥]|yen\b", re.IGNORECASE)
THEIRS = lazy(r"[$€£]|\b(?:dollar|euro|pound)s?\b", re.IGNORECASE)
WESTERN = lazy(r"(?<!\d)(?:1[89]|20)\d\d(?!\d)")
FOREIGN: dict[str, tuple[_Foreign, ...]] = {
    "ja": (
        _Foreign(lazy(rf"{AMOUNT}(?:マイル|フィート|ヤード|ポンド|オンス|ガロン|エーカー|クォート|パイント)"), METRIC),
        _Foreign(lazy(r"華氏|\d+\s?(?:°\s?F|℉|mph|miles?|feet|ft|lbs?|oz)(?![a-z])", re.IGNORECASE), METRIC),
        _Foreign(lazy(rf"(?:US)?\$\s?\d[\d,.]*|{AMOUNT}(?:米?ドル|セント(?!ラル)|USD)"), YEN),
    ),
    "en": (
        _Foreign(lazy(rf"[¥￥]\s?\d[\d,.]*|{AMOUNT}(?:yen\b|円|JPY)", re.IGNORECASE), THEIRS),
        _Foreign(lazy(rf"{AMOUNT}(?:tsubo|tatami(?: mats?)?|mats?|shaku|kan|koku|j[ōo])\b", re.IGNORECASE), METRIC),
        _Foreign(lazy(r"\b(?:Reiwa|Heisei|Sh[ōo]wa|Taish[ōo]|Meiji)\s\d{1,2}\b", re.IGNORECASE), WESTERN),
    ),
}
ABROAD = {
    "ja": lazy(
        r"換算|単位|為替|レート|両替|ドル建て|ポンド法|何(?:マイル|フィート|ポンド|オンス|ガロン|ドル|セント)|マイレージ|特典航空券"
        r"|ゴルフ|アメフト|アメリカンフットボール|ボウリング|ボクシング|米国|アメリカ|英国|イギリス|カナダ|オーストラリア|海外|外国|世界|国際"
        r"|輸[出入]|原油|ニューヨーク"
    ),
    "en": lazy(
        r"\bconver(?:t|sion)|\bexchange rate|\bunits? of|\bhow many (?:yen|tsubo|tatami|mats)|\bin yen\b|\bJapan"
        r"|\bTokyo|\bOsaka|\bKyoto|\bJudo|\bfutons?\b",
        re.IGNORECASE,
    ),
}
"""Where units themselves, another country, or a sport is spoken of, they have to be named."""


class HomeUnits(Value):
    """Refuse a text with numbers in units or money that its `readers` do not use.

    For readers of Japanese: miles, pounds, degrees Fahrenheit and dollars; for readers of English: yen, tsubo, mats and
    years of eras alone. Each may stand in a sentence that gives its counterpart, as in 「約5km（3マイル）」, or that speaks of
    another country, and in the answer to a question that does, or that is about the units. Code, formulae and inches,
    which screens have everywhere, are not judged.
    """

    kind: Literal["home_units"] = "home_units"
    readers: Literal["ja", "en"]

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`foreign_units`)."""
        abroad = ABROAD[self.readers]
        if abroad.search(sample.question()):
            return
        for sentence in SENTENCE.findall(FORMULA.sub(" ", prose(subject(sample)))):
            for foreign in FOREIGN[self.readers]:
                found = foreign.what.search(sentence)
                if found and not foreign.beside.search(sentence) and not abroad.search(sentence):
                    raise Rejected("foreign_units", found[0].strip())
