"""What two texts may differ in and still be the same: width, case, white space, punctuation, invisible characters."""

from __future__ import annotations

import re
import unicodedata

from synth.numerals import MINUS
from synth.text import HAN, KANA

CJK = f"[{KANA.pattern[1:-1]}{HAN.pattern[1:-1]}ー々]"
BESIDE_CJK = re.compile(rf"(?<={CJK}) | (?={CJK})")
"""Blanks that no Japanese or Chinese reader would miss."""
INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]")
RAISED = re.compile(r"(?<=[\w)])(?=[⁰¹²³⁴-⁹⁻])(?<![⁰¹²³⁴-⁹⁻])")
MIXED = re.compile(r"(?<=\d)(?=[¼½¾⅐-⅞])")
SCRIPTS_START = 0x3400
"""From here on come letters, and the full-width signs that NFKC has folded."""
KEPT = [c for c in map(chr, range(SCRIPTS_START)) if unicodedata.category(c) in ("Sm", "So", "Sc") and c != "~"]
SYMBOLS = "".join(map(re.escape, KEPT)) + "^%&*/\U0001f000-\U0001faff"
MARKS = "".join(re.escape(c) for c in map(chr, range(SCRIPTS_START)) if unicodedata.category(c)[0] in "PS")
# a hyphen is a minus between two numbers or single letters, and before one that stands alone; the others part words
MINUS_SIGN = (
    r"(?:(?<=[\d)])|(?<=[\d)] )|(?<=\b[a-z])|(?<=\b[a-z] ))-(?=[ \t]?(?:\d|[a-z]\b|\())"
    r"|(?<![a-z0-9)-])-(?=[\d.]|[a-z]\b|\()"
)
# "5!", "n!", "!=" and "!x" mean something; an exclamation mark does not
FACTORIAL = r"!(?==)|(?:(?<=\d)|(?<=\b[a-z]))!(?=\s*\S)|(?<![\w!])!(?=[a-z(])"
# brackets next to an operator group what it takes
BRACKET = r"\)(?=[ \t]?[-+*/×÷^])|(?:(?<=[-+*/×÷^])|(?<=[-+*/×÷^] ))\("
# a point right after a letter ends a sentence, as Japanese does without a blank: かかります．1円未満は
WITHIN = r"(?<![^\W\d_])\.(?=\d)|(?<=[a-z0-9])\#|\#(?=\w)|~(?=[a-z0-9])|(?<=[a-z0-9])~(?=\S)"
SIGN = re.compile(
    rf"(?=[^\w\s]|_)(?:([{SYMBOLS}]|{MINUS_SIGN}|{FACTORIAL}|{BRACKET}|{WITHIN})|[{MARKS}])"  # it looks ahead for speed
)

KANJI = "〇一二三四五六七八九十百千万億兆"
WORDS = re.findall(
    r"\w+",
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion half quarter "
    "twice triple dozen second third fourth fifth sixth seventh eighth ninth tenth",
)
"""Not `one` and `first`, which mostly count nothing ("one of them", "first, read"): their absence tells as much."""
FIGURE = re.compile(
    rf"((?=[^\W_a-z]|[^\w\s])(?:\d+|(?!一[緒般番部方致定体切生種覧気旦応流概見])(?!十分[にな])(?<![統唯均同単])[{KANJI}]+"
    rf"|(?<=[\w)] )\*(?= [\w(])|[{SYMBOLS.replace('*', '')}~().!\#-])|\b(?=[bdefhmnqst])(?:{'|'.join(WORDS)})\b)"
)
"""What makes another question of the same words: numbers, in digits, kanji or words, and signs (but no emphasis)."""
VALUES = {word: str(value) for value, word in enumerate(WORDS[:18], 2)} | {
    kanji: str(value) for value, kanji in enumerate(KANJI[:11])
}


def normalise(text: str) -> str:
    """A text reduced to what makes it different: NFKC, folded case, letters and digits, signs, single blanks
    (none beside Japanese or Chinese letters, which are written without).

    Full and half width become alike; hiragana and katakana stay apart, as they are different words often enough.
    Symbols stay (operators, currencies, emoji), and so do punctuation marks where they carry meaning: a minus, a
    decimal point, a factorial, the # of C#.
    """
    spread = MIXED.sub(" ", RAISED.sub("^", text))  # NFKC makes 10⁸ the number 108, and 1½ eleven halves
    folded = INVISIBLE.sub("", unicodedata.normalize("NFKC", spread).casefold().translate(MINUS))
    folded = folded.replace("\u2044", "/").replace("〜", "~")
    return BESIDE_CJK.sub("", " ".join(SIGN.sub(r" \1 ", folded).split()))
