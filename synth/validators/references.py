"""The text speaks of nothing that is not there."""

from __future__ import annotations

import re
from typing import Literal

from synth.errors import Rejected
from synth.text import prose, subject
from synth.types import Sample, Value
from synth.validators.refusal import LETTER

SEEN = (
    r"(?:image|picture|photo(?:graph)?|screenshot|figure(?!s)|diagram|chart|graph|map|illustration|drawing|infographic)"
)
HEARD = r"(?:video|audio|recording|podcast|clip|slides?|slideshow|presentation)"
FILE = r"(?:file|document|spreadsheet|pdf|attachment|resume|cv|report|sheet|form|excel|word document|zip)"
THING = rf"(?:{SEEN}|{HEARD}|{FILE})"
REFERENCE = re.compile(
    rf"""\b(?:
        (?:attached|enclosed|accompanying|uploaded)\s+(?:\w+\s+)?{THING}s?\b
        | {THING}s?\s+(?:(?:that\s+)?(?:you|I)(?:\s+have|['’]ve)?\s+)?(?:attached|uploaded|enclosed)\b
        | I(?:\s+have|['’]ve)\s+(?:attached|enclosed|uploaded)\s+(?:an?|the|some|my)\b
        | (?:{SEEN}|{HEARD})s?\s+(?:shown\s+|provided\s+|given\s+|displayed\s+|included\s+)?(?:above|below|on\s+the\s+(?:right|left)|at\s+(?:right|left)|to\s+the\s+(?:right|left))\b
        | (?:the|this)\s+(?:above|following)\s+(?:{SEEN}|{HEARD})\b
        | (?:as\s+)?(?:shown|seen|see|depicted|illustrated|displayed)\s+(?:in|on|by)\s+(?:the|this)\s+(?:{SEEN}|{HEARD})\b
        | (?:see|refer\s+to|shown\s+in|in|from)\s+(?:Fig(?:ure|\.)|Appendix|Exhibit|Attachment)\s*(?:\d+|[A-Z])\b
        | click(?:ing)?\s+(?:on\s+)?(?:here\b|(?:the|this)\s+(?:following\s+)?link\b)
        | (?:follow|visit|see|use|open)\s+(?:this|the)\s+(?:following\s+)?link\b
        | (?:the|this)\s+link\s+(?:above|below|provided)\b
        | (?:watch|view|download|find|see|listen\s+to)\s+(?:\w+\s+){{1,4}}(?:here\s*[.!:)]|via\s+this\s+link|at\s+this\s+link)
    )|添付(?:の|した|された|している|して(?:い|お)り?ます|いたし|ファイル|資料|画像|写真|書類|文書)(?!方法|できる)
    |(?:同封|アップロード|お送りいただい|送って(?:いただい|くださっ))(?:の|した|された|いただいた|た)(?:\w{{0,4}}の)?(?:資料|ファイル|画像|写真|書類|文書|図|動画|音声|データ)
    |(?:上|下|右|左|次|以下|上記|下記|前掲)の(?:画像|写真|図|グラフ|動画|音声|地図|イラスト|スクリーンショット|リンク)(?:[をはがにで、]|の(?:よう|とおり|通り)|から|では|にも|も)
    |(?:画像|写真|図|グラフ|動画|イラスト)に(?:示|写|描か|表示)(?:されて|って|れて|され|した)(?:いる)?(?:とおり|通り|ように|よう)
    |[上下左右]図(?:[をはがにで、の])|(?:画像|写真|グラフ|動画)を見ると|図(?:\d|[０-９]){{1,2}}[にはを]|[(（]?[図表](?:\d|[０-９]){{1,2}}(?:を参照|参照|のよう|の通り|のとおり|をご覧|を見)
    |(?:こちら|リンク|ここ)(?:を|から)(?:クリック|ダウンロード|タップ|ご覧|視聴|アクセス)""",
    re.IGNORECASE | re.VERBOSE,
)
THERE = re.compile(
    r"!\[|<(?:img|svg|figure|video|audio)\b|https?://|```|~~~|<a\s|\]\(\S|^\|.*\|", re.IGNORECASE | re.MULTILINE
)
"""A picture, a drawing in code, a table, or an address: what is spoken of may be there."""
WRITTEN_FOR = re.compile(
    r"\b(?:e-?mail|memo|newsletter|blog|web\s?(?:page|site)|html)\b|\b(?:write|draft|compose|reply|respond)\b[^.?!]{0,40}\b(?:letter|message)\b"
    r"|メール|手紙|文面|返信|案内文|お知らせ|礼状|ウェブ|サイト|ブログ",
    re.IGNORECASE,
)
"""What the question wants written may enclose something, or have links and pictures where it is put."""
MARKS = (
    *(
        "attach",
        "enclosed",
        "accompanying",
        "upload",
        "image",
        "picture",
        "photo",
        "screenshot",
        "figure",
        "fig.",
        "diagram",
    ),
    *("chart", "graph", "map", "illustration", "drawing", "video", "audio", "recording", "podcast", "clip", "slide"),
    *("presentation", "appendix", "exhibit", "link", "click", " here"),
    *("添付", "同封", "アップロード", "お送り", "送って", "画像", "写真", "図", "表", "グラフ", "動画", "音声", "地図"),
    *("イラスト", "スクリーンショット", "リンク", "クリック", "こちら", "ここ"),
)
"""Of which a text holds one if it is to be searched at all."""


class References(Value):
    """Refuse a text that points to an attachment, a picture, a recording or a link that it does not hold.

    Letters may enclose something. An answer may speak of what its question speaks of; in an instruction without an
    answer such words are refused, as its reader has nothing to look at. Tables and texts can be written and are not judged.
    """

    kind: Literal["references"] = "references"

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`missing_reference`)."""
        detail = find_missing_reference(subject(sample), sample.question() if sample.answer() else "")
        if detail is not None:
            raise Rejected("missing_reference", detail)


def find_missing_reference(text: str, question: str = "") -> str | None:
    """The words that point to something outside a text; None when there are none."""
    lower = text.lower()
    if not any(mark in lower for mark in MARKS):
        return None
    found = REFERENCE.search(prose(text))
    if found is None or THERE.search(text) or WRITTEN_FOR.search(question) or LETTER.match(text):
        return None
    spoken, asked = found[0].lower(), question.lower()
    return None if any(mark in spoken and mark in asked for mark in MARKS) else found[0]
