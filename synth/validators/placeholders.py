"""Nothing was left to be filled in."""

from __future__ import annotations

import re
from typing import Literal

from synth.errors import Rejected
from synth.text import prose, subject
from synth.types import Sample, Value

FILLED = (
    r"(?:your|insert|enter|add|my|his|her|their|first|last|full|sender|recipient|company|employer|business|client|customer|manager|"
    r"recruiter|student|teacher|school|university|organi[sz]ation|department|job|position|event|product|project|team|city|state|"
    r"country|street|phone|telephone|contact|email|e-mail|mailing|home|website|date|time|day|month|year|name|names|address|title|number|amount|signature|link|url|"
    r"location|venue|price|placeholder|blank|specific|relevant|topic|subject)"
)
PLACEHOLDER = re.compile(
    rf"(?<![\w)\]])\[(?i:{FILLED})(?:['’]s)?(?:[ _/-][\w'’./-]+){{0,6}}\](?!\()|<(?i:{FILLED})(?:['’]s)?(?:[ _-]\w+){{1,4}}>|<(?i:name|insert\w*)>"
    r"|(?<![\\\w}$^_{])\{[a-z][a-z_]{2,30}\}(?!\})|(?<![#/*] )\b(?:TODO|FIXME|TBD)\b|\bX{3,}\b(?!\s*(?:l(?:arge)?\b|-?rated))|\bXX[/-]XX\b|(?i:\blorem ipsum\b)|\bDear _{3,}"
    r"|[\[［【(（<＜](?:ご?住所|お?名前|ご?氏名|会社名|貴社名|御社名|日付|日時|電話番号|メールアドレス|部署名?|役職|商品名|担当者名?|相手の名前|あなたの名前|学校名|件名|タイトル|金額|場所|地名)[\]］】)）>＞]"
    r"|[\[［【(（※][^\]］】)）\n]{0,12}(?:ここに|を(?:記入|入力|記載|挿入)|こちらに)[^\]］】)）\n]{0,20}[\]］】)）]"
    r"|(?:[〇○◯△□●]{2,}|[×✕]{2,}|(?<![A-Za-z])[XＸ]{2,}(?=株式|様|さん|の))(?:様|さん|さま|先生|殿|株式会社|会社|大学|高校|[県市区町村年月日])"
    r"|(?:株式|有限|合同)会社(?:[〇○◯△□●×]{2,}|[XＸ]{2,})"
)
ASKED_FOR = re.compile(
    r"template|placeholder|form letter|fill[ -]?in|blank|format|boilerplate|\{\w+\}|\[[A-Z][\w ]*\]|_{3,}|[〇○◯]|テンプレ|雛形|ひな形|ひな型|書式|フォーマット|定型|空欄|穴埋め|プレースホルダ|伏せ字",
    re.IGNORECASE,
)

MARKS = (
    "[",
    "<",
    "{",
    "TODO",
    "FIXME",
    "TBD",
    "XX",
    "orem ipsum",
    "Dear _",
    "［",
    "【",
    "＜",
    "〇",
    "○",
    "◯",
    "△",
    "□",
    "●",
)
MARKS_JA = ("×", "✕", "ＸＸ", "ここに", "こちらに", "記入", "入力", "記載", "挿入")
"""Of which a text holds one if it is to be searched at all."""


class Placeholders(Value):
    """Refuse a text with blanks that somebody was to fill in, such as `[Your Name]`, `{name}`, TODO or 〇〇様.

    Code is not looked at, and a question that asks for a template or holds a blank itself may be answered with one.
    """

    kind: Literal["placeholders"] = "placeholders"

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`placeholder`)."""
        detail = find_placeholder(subject(sample), sample.question() if sample.answer() else "")
        if detail is not None:
            raise Rejected("placeholder", detail)


def find_placeholder(text: str, question: str = "") -> str | None:
    """The first blank left in a text; None when there is none, or the question calls for it."""
    if not any(mark in text for mark in MARKS) and (text.isascii() or not any(mark in text for mark in MARKS_JA)):
        return None
    found = PLACEHOLDER.search(prose(text))
    return None if found is None or ASKED_FOR.search(question) else found[0]
