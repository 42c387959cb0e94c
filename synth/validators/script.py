"""The letters are those a reader expects."""

from __future__ import annotations

import re
from typing import Literal

from synth.errors import Rejected
from synth.text import HAN, KANA, LATIN, NOT_PROSE, subject
from synth.types import Sample, Value
from synth.validators.language import CHINESE

DAMAGED = re.compile(
    "[\ufffd\ud800-\udfff\ue000-\uf8fe\ufdd0-\ufdef\ufffe\uffff\U000f0000-\U0010ffff\u0000-\u0008\u000e-\u001a\u001c-\u001f]"
)
"""Replacement characters, halves of pairs, private use, controls. U+F8FF, which Apple uses, is private too but common."""
MOJIBAKE = re.compile(
    # UTF-8 read as Windows-1252 or Latin-1
    "\u00e2\u20ac[\u2122\u0153\u0080-\u009f\u201c\u201d\u00a6\u02dc\u00a2]|\u00c3[\u0080-\u00bf\u0192\u00a9\u2018-\u201e\u2026](?![A-Z])"
    "|\u00e3[\u0080-\u0083\u201a\u0192]|\u00ef\u00bc[\u0080-\u00bf]|\u00ef\u00bb\u00bf|\u00c2[\u00a0\u00a3\u00a9\u00ae\u00b0\u00b7\u00ab\u00bb]"
    # UTF-8 read as Shift_JIS: kana become these kanji, which hardly a word has
    "|(?:[繧繝縺](?:[^ぁ-んァ-ヶ、。\\s]{1,2}|[\\s\\S])){2}"
    # Shift_JIS and EUC-JP read as Latin-1
    "|(?:[\u201a\u0192][\u00a0-\u00ff\\w]){4}|(?:\u00a4[\u00a1-\u00f3]){3}"
)
HOMOGLYPH = re.compile(r"[A-Za-z][\u0400-\u04ff]|[\u0400-\u04ff][A-Za-z]")
FOREIGN = re.compile(
    "[\u0400-\u052f]{2,}|[\u0531-\u058f]{2,}|[\u0590-\u05ff]{2,}|[\u0600-\u06ff\u0750-\u077f]{2,}|[\u0900-\u0dff]{2,}|[\u0e00-\u0eff]{2,}"
    "|[\u10a0-\u10ff]{2,}|[\u1780-\u17ff]{2,}|[\u1100-\u11ff\uac00-\ud7af]+"
)
"""Runs of scripts that neither English nor Japanese prose holds; Greek is left to the sciences, one letter to faces."""
EAST_ASIAN = re.compile(f"(?:{KANA.pattern}|{HAN.pattern})+")
TALK_OF_LANGUAGES = re.compile(
    r"language|translat|transliterat|alphabet|script|unicode|cyrillic|word for|pronounc|character|letter|greeting|origin|"
    r"russia|ukrain|bulgar|serb|soviet|arab|persia|farsi|iran|urdu|pakistan|hebrew|israel|hindi|india|sanskrit|thai|korea|hangul|"
    r"georgia|armenia|tamil|bengal|japan|chin(?:a|ese)|mandarin|kanji|kana\b|"
    r"言語|外国語|翻訳|[和英]訳|訳し|文字|発音|語で|語の|ロシア|ウクライナ|アラビア|ペルシ|イラン|ヘブライ|イスラエル|ヒンディ|インド|サンスクリット|タイ|韓国|朝鮮|"
    r"ハングル|中国|簡体|繁体|台湾",
    re.IGNORECASE,
)
QUOTED = re.compile(r"[「『(（\[【“\"'*_:：|<][^\n]{0,40}\Z")
MOSTLY = 0.3


class Script(Value):
    """Refuse a text with characters that were damaged on the way, or with stray letters of a foreign script.

    Stray are a few Cyrillic, Arabic, Thai or Korean letters and the like amid English or Japanese, kanji amid English,
    and simplified Chinese amid Japanese, unless they are quoted, or question or text speak of languages or countries.
    """

    kind: Literal["script"] = "script"

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`damaged_text`) or Rejected(`mixed_script`)."""
        text = subject(sample)
        if detail := find_damage(text):
            raise Rejected("damaged_text", detail)
        if detail := find_mixed_script(text, sample.question()):
            raise Rejected("mixed_script", detail)


def find_damage(text: str) -> str | None:
    """Characters that show a text was decoded wrongly, with their surroundings; None when there are none."""
    if text.isascii() and text.isprintable():
        return None
    found = DAMAGED.search(text) or MOJIBAKE.search(NOT_PROSE.sub(" ", text))
    return None if found is None else f"{found[0]!a} in {text[max(0, found.start() - 20) : found.end() + 20]!r}"


def find_mixed_script(text: str, question: str = "") -> str | None:
    """Letters that strayed into a text of another script, with their surroundings; None when there are none."""
    if text.isascii():
        return None
    letters = NOT_PROSE.sub(" ", text)
    found = HOMOGLYPH.search(letters)
    if found is None:
        found = next(
            (
                one
                for one in FOREIGN.finditer(letters)
                if not QUOTED.search(letters[max(0, one.start() - 42) : one.start()])
            ),
            None,
        )
        east, latin = HAN.findall(letters), 0
        kana = len(KANA.findall(letters))
        if found is None and kana > 0.2 * len(east):
            chinese = [
                one
                for one in CHINESE.finditer(letters)
                if not QUOTED.search(letters[max(0, one.start() - 42) : one.start()])
            ]
            found = chinese[0] if len({one[0] for one in chinese}) >= 2 else None
        if found is None and (east or kana):
            latin = len(LATIN.findall(letters))
            if len(east) + kana < 0.1 * latin:
                found = next(
                    (
                        one
                        for one in EAST_ASIAN.finditer(letters)
                        if not QUOTED.search(letters[max(0, one.start() - 42) : one.start()])
                    ),
                    None,
                )
        if found is None:
            return None
    talk = TALK_OF_LANGUAGES.search(letters) or TALK_OF_LANGUAGES.search(question)
    if talk or len(FOREIGN.sub("", letters)) < (1 - MOSTLY) * len(letters):
        return None  # the subject calls for it, or the whole text is in that script: a matter for the language check
    return f"{found[0]!r} in {letters[max(0, found.start() - 20) : found.end() + 20]!r}"
