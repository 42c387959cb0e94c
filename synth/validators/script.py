"""The letters are those a reader expects."""

from __future__ import annotations

import re
from typing import Literal

from synth.errors import Rejected
from synth.language.text import HAN, KANA, letter_counts, prose, subject
from synth.patterns import lazy
from synth.types import Sample, Value
from synth.validators.language import CHINESE

DAMAGED = lazy(
    "[\ufffd\ud800-\udfff\ue000-\uf8fe\ufdd0-\ufdef\ufffe\uffff\U000f0000-\U0010ffff\u0000-\u0008\u000e-\u001f]"
)
"""Replacement characters, halves of pairs, private use, controls. U+F8FF, which Apple uses, is private too but common."""
MOJIBAKE = lazy(
    # UTF-8 read as Windows-1252 or Latin-1
    "\u00e2\u20ac[\u2122\u0153\u0080-\u009f\u201c\u201d\u00a6\u02dc\u00a2]|\u00c3[\u0080-\u00bf\u0192\u00a9\u2018-\u201e\u2026](?![A-Z])"
    "|\u00e3[\u0080-\u0083\u201a\u0192]|\u00ef\u00bc[\u0080-\u00bf]|\u00ef\u00bb\u00bf|\u00c2[\u00a0\u00a3\u00a9\u00ae\u00b0\u00b7\u00ab\u00bb]"
    "|(?:[\u00e3-\u00e9][\u0080-\u00bf\u0152-\u2122\u00a0]{1,2}){2}|\u00ef\u00bf\u00bd|(?:[\u00d0\u00d1][\u0080-\u00bf\u0152-\u2122]){2}"
    "|\u951f\u65a4\u62f7|\u70eb\u70eb\u70eb|\u5c6f\u5c6f\u5c6f"
    # what was written for a program to read
    "|(?:\\\\u[0-9a-fA-F]{4}){2}|&amp;(?:#?\\w{2,6};)|&#x?[0-9a-fA-F]{2,6};&?#?|&(?:lt|gt);/?\\w{0,4}&(?:lt|gt);|[\u0300-\u036f]{3}"
    # UTF-8 read as Shift_JIS: kana become these kanji, which hardly a word has
    "|(?:[繧繝縺](?:[^ぁ-んァ-ヶ、。\\s]{1,2}|[\\s\\S])){2}"
    # Shift_JIS and EUC-JP read as Latin-1
    "|(?:[\u201a\u0192][\u00a0-\u00ff\\w]){4}|(?:\u00a4[\u00a1-\u00f3]){3}"
)
HOMOGLYPH = lazy(
    r"(?<=[ぁ-ヶ一-鿿])[\u0400-\u052f\u0590-\u0eff\u10a0-\u11ff\uac00-\ud7af]+(?=[ぁ-ヶ一-鿿])|[A-Za-z][\u0400-\u04ff]|[\u0400-\u04ff][A-Za-z]"
)
SCRIPTS = {
    "[\u0400-\u052f]": "cyrillic|russia|ukrain|bulgar|serb|soviet|slav|mongol|ロシア|ウクライナ|ブルガリア|セルビア|ソ連|モンゴル",
    "[\u0531-\u058f]": "armenia|アルメニア",
    "[\u0590-\u05ff]": "hebrew|israel|jew|yiddish|ヘブライ|イスラエル|ユダヤ",
    "[\u0600-\u06ff\u0750-\u077f]": "arab|persia|farsi|iran|urdu|pakistan|islam|muslim|quran|アラビア|アラブ|ペルシ|イラン|イスラム|コーラン",
    "[\u0900-\u0dff]": "hindi|india|sanskrit|nepal|tamil|bengal|ヒンディ|インド|サンスクリット|梵|ネパール|タミル|ベンガル",
    "[\u0e00-\u0eff]": "thai|lao|タイ|ラオス",
    "[\u10a0-\u10ff]": "georgia|ジョージア|グルジア",
    "[\u1100-\u11ff\uac00-\ud7af]": "korea|hangul|seoul|韓国|朝鮮|ハングル|韓",
    f"(?:{KANA.pattern}|{HAN.pattern})": "japan|chin(?:a|ese)|mandarin|taiwan|kanji|kana|hepburn|tokyo",
}
"""Scripts that stray into texts of another, and how a text speaks of where they are written.

Greek is left to the sciences, and one letter alone to faces such as (´д｀).
"""
RUNS = tuple(
    (lazy(f"{letter}{{2,}}(?:[\\s,.!?-]+{letter}+)*"), lazy(talk, re.IGNORECASE)) for letter, talk in SCRIPTS.items()
)
STRANGE = lazy("[\u0400-\u0eff\u10a0-\u11ff\uac00-\ud7af]")
TALK_OF_LANGUAGES = lazy(
    r"\blanguages?\b|translat|transliterat|alphabet|unicode|\bword for\b|pronounc|言語|外国語|翻訳|[和英]訳|訳し|発音|[語文]で|文字",
    re.IGNORECASE,
)
TALK_OF_DAMAGE = lazy(r"mojibake|garbled|character encoding|文字化け|文字コード", re.IGNORECASE)
ABOUT_CHINESE = lazy(r"chin(?:a|ese)|中国|中文|漢[文詩]|簡体|繁体|台湾|北京|上海", re.IGNORECASE)
CERTAIN = frozenset("这们吗么说还让给谁为")
"""Chinese letters so common and so foreign to Japanese that one is enough."""
OPENS, CLOSES = "「『(（[【“\"'‘*_:：|<《", "」』)）]】”\"'’*_|>》"
STRAY_SHARE, MINOR_SHARE = 0.3, 0.35


class Script(Value):
    """Refuse a text with characters that were damaged on the way, or with stray letters of a foreign script.

    Stray are a few Cyrillic, Arabic, Thai or Korean letters and the like amid English or Japanese, kanji and kana amid
    English, and simplified Chinese amid Japanese, unless they are quoted or in brackets, or question or text speak of
    languages or of the people who write so.
    """

    kind: Literal["script"] = "script"

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`damaged_text`) or Rejected(`mixed_script`)."""
        text = subject(sample)
        if detail := find_damage(text, sample.question()):
            raise Rejected("damaged_text", detail)
        if detail := find_mixed_script(text, sample.question()):
            raise Rejected("mixed_script", detail)


def find_damage(text: str, question: str = "") -> str | None:
    """Characters that show a text was decoded wrongly, with their surroundings; None when there are none.

    Where question or text speak of such damage its signs may be examples.
    """
    found = DAMAGED.search(text)
    if found is None and (found := MOJIBAKE.search(prose(text))):
        found = None if TALK_OF_DAMAGE.search(text) or TALK_OF_DAMAGE.search(question) else found
    return None if found is None else f"{found[0]!a} in {text[max(0, found.start() - 20) : found.end() + 20]!r}"


def find_mixed_script(text: str, question: str = "") -> str | None:
    """Letters that strayed into a text of another script, with their surroundings; None when there are none."""
    if text.isascii():
        return None
    plain = prose(text)
    found = _stray(plain, question)
    if found is None or TALK_OF_LANGUAGES.search(plain) or TALK_OF_LANGUAGES.search(question):
        return None
    return f"{found[0]!r} in {plain[max(0, found.start() - 20) : found.end() + 20]!r}"


def _stray(plain: str, question: str) -> re.Match[str] | None:
    kana, han, _, latin = letter_counts(plain)
    runs = RUNS if kana + han < MINOR_SHARE * latin and kana + han else RUNS[:-1] if STRANGE.search(plain) else ()
    for run, talk in runs:
        found = [one for one in run.finditer(plain) if not _enclosed(plain, one)]
        share = sum(len(one[0]) for one in found) / len(plain)
        # what is mostly in that script is in another language, which is a matter for the language check
        if found and share < STRAY_SHARE and not talk.search(plain) and not talk.search(question):
            return found[0]
    mixed = HOMOGLYPH.search(plain) if runs else None
    if mixed and not any(talk.search(question) for _, talk in runs):
        return mixed
    if kana > 0.2 * han:
        chinese = [one for one in CHINESE.finditer(plain) if not _enclosed(plain, one)]
        own = {one[0] for one in chinese}
        about = ABOUT_CHINESE.search(plain) or ABOUT_CHINESE.search(question)
        if (len(own) >= 2 or own & CERTAIN) and not about:
            return chinese[0]
    return None


def _enclosed(text: str, found: re.Match[str]) -> bool:
    before, after = text[: found.start()].rstrip()[-1:], text[found.end() :].lstrip(" .,!?")[:1]
    return (before != "" and before in OPENS) or (after != "" and after in CLOSES)
