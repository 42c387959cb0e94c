"""What two texts may differ in and still be the same: width, case, white space, punctuation, invisible characters.

Every pattern begins with the characters it may begin with: `re` then skips all others without trying. Texts in ASCII
have patterns of their own, since sets that fit into one byte are the quickest to look up.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from synth.language.text import HAN, KANA
from synth.patterns import lazy

END = "\0"
MANY = 1 << 12
"""Bytes from which numpy is the quicker reader."""

CJK = f"[{KANA.pattern[1:-1]}{HAN.pattern[1:-1]}ー々]"
BESIDE_CJK = lazy(rf" (?:(?<={CJK} )|(?={CJK}))")
"""Blanks that no Japanese or Chinese reader would miss."""
INVISIBLE = lazy("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]")
RARE = lazy(f"[{INVISIBLE.pattern[1:-1]}⁰¹²³⁴-⁹⁻¼½¾⅐-⅞〜‐‑‒–—―−─﹣-]")
RAISED = lazy(r"[⁰¹²³⁴-⁹⁻](?<=[\w)].)(?<![⁰¹²³⁴-⁹⁻].)")
MIXED = lazy(r"[¼½¾⅐-⅞](?<=\d.)")
DASHES = "‐‑‒–—―−─﹣-"
LONG = lazy(rf"[{DASHES}](?<=[ァ-ヺ].)(?=[ァ-ヺ])")
"""A dash within a katakana word, typed for the long vowel mark that it looks like."""
WIDE = lazy("[\u3000！-～]+")
USUAL = "、。？「」"
"""The marks of nearly every Japanese text: replaced one by one they take a tenth of the time."""

SCRIPTS_START = 0x3400
"""From here on come letters, and the full-width signs that NFKC has folded."""
AT_TIMES = "-!().#~"
"""Marks that mean something in some places."""
BELOW = [chr(code) for code in range(SCRIPTS_START)]
MARKS = [c for c in BELOW if unicodedata.category(c)[0] in "PS"]
KEPT = [c for c in MARKS if (unicodedata.category(c) in ("Sm", "So", "Sc") and c != "~") or c in "^%&*/"]
MEANT = {*KEPT, *AT_TIMES}
IDLE = [c for c in MARKS if c not in MEANT and c not in ",_"]
IDLE_MARKS = lazy(f"[{''.join(map(re.escape, IDLE))}]+")
UNMEANT_BYTES = bytes(code for code in range(1, 128) if chr(code) not in MEANT)
IDLE_BYTES = bytes(ord("," if chr(code) in IDLE else chr(code).lower()) for code in range(128)) + bytes(128)
BLANK_BYTES = bytes(32 if chr(code).isspace() or chr(code) in ",_" else code for code in range(128)) + bytes(128)
BANG = lazy(rb"!(?<=[a-z]{2}!)!*(?!=)")
"""Marks after a word, by far the most of them, which are no factorial: found in a twentieth of the time."""
NARROW = bytes(IDLE_BYTES[(low + 0x20) % 128] for low in range(256))
"""From the lower byte of a full-width character to ASCII: as in NFKC, which takes far longer where it finds any."""

# a hyphen is a minus between two numbers or single letters, and before one that stands alone; the others part words
MINUS = (
    r"(?:(?<=[\d)]-)|(?<=[\d)] -)|(?<=\b[a-z]-)|(?<=\b[a-z] -))(?=[ \t]?(?:\d|[a-z]\b|\())"
    r"|(?<![-a-z0-9)]-)(?<=-)(?=[\d.]|[a-z]\b|\()"
)
# "5!", "n!", "!=" and "!x" mean something; an exclamation mark does not
FACTORIAL = r"(?<=!)(?==)|(?:(?<=\d!)|(?<=\b[a-z]!))(?=\s*\S)|(?<=!)(?<![\w!]!)(?=[a-z(])"
# brackets next to an operator group what it takes
BRACKET = r"(?<=\))(?=[ \t]?[-+*/×÷^])|(?<=[-+*/×÷^]\()|(?<=[-+*/×÷^] \()"
# a point right after a letter ends a sentence, as Japanese does without a blank: かかります．1円未満は
WITHIN = r"(?<=\.)(?<![^\W\d_]\.)(?=\d)|(?<=[a-z0-9]\#)|(?<=\#)(?=\w)|(?<=~)(?=[a-z0-9])|(?<=[a-z0-9]~)(?=\S)"
IDLE_HERE = lazy(rf"[{re.escape(AT_TIMES)}](?!{MINUS}|{FACTORIAL}|{BRACKET}|{WITHIN})")

SYMBOLS = "".join(map(re.escape, KEPT)) + "\U0001f000-\U0001faff" + re.escape(AT_TIMES)
ASCII_SYMBOLS = "".join(re.escape(c) for c in (*KEPT, *AT_TIMES) if c.isascii())
SIGN, ASCII_SIGN = (lazy(f"[{symbols}]") for symbols in (SYMBOLS, ASCII_SYMBOLS))

KANJI = "〇一二三四五六七八九十百千万億兆"
WORDS = re.findall(
    r"\w+",
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion half quarter "
    "twice triple dozen second third fourth fifth sixth seventh eighth ninth tenth",
)
"""Not `one` and `first`, which mostly count nothing ("one of them", "first, read"): their absence tells as much."""
DIGITS = {word: str(value) if value < 20 else chr(0x6C + value) for value, word in enumerate(WORDS, 2)}
"""What a number word is read as; for those past nineteen a control character that stands in no text."""
KANJI_DIGITS = {kanji: str(value) for value, kanji in enumerate(KANJI[:11])}
# a star is an operator between two operands, else emphasis
STAR = r"(?<=[\w)\x80-\x9f] \*)(?= [\w(\x80-\x9f])"
IS_FIGURE = [chr(code).isdigit() or chr(code) in MEANT for code in range(128)]
ZERO_BYTES = bytes(ord("0") if IS_FIGURE[code] else code for code in range(128)) + bytes(128)
FIGURE_BYTES = bytes(code if IS_FIGURE[code] or not code else 32 for code in range(128)) + bytes(128)
"""What ASCII_FIGURE does where no star is: blanks stand around every sign that was kept."""
KANJI_NUMBER = (
    rf"(?<=[{KANJI}])(?!(?<=一)[緒般番部方致定体切生種覧気旦応流概見]|(?<=十)分[にな])(?<![統唯均同単].)[{KANJI}]*"
)
FIGURE = lazy(rf"([\d{KANJI}{SYMBOLS}\x80-\x9f](?:(?<=\d)\d*|{KANJI_NUMBER}|{STAR}|(?<![\d{KANJI}*])))")
ASCII_FIGURE = lazy(rf"([0-9{ASCII_SYMBOLS}\x80-\x9f](?:(?<=\d)\d*|{STAR}|(?<![\d*])))")
"""What makes another question of the same words: numbers, in digits, kanji or words, and signs (but no emphasis)."""


def normalise(text: str) -> str:
    """A text reduced to what makes it different: NFKC, folded case, letters and digits, signs, single blanks
    (none beside Japanese or Chinese letters, which are written without).

    Full and half width become alike; hiragana and katakana stay apart, as they are different words often enough.
    Symbols stay (operators, currencies, emoji), and so do punctuation marks where they carry meaning: a minus, a
    decimal point, a factorial, the # of C#.
    """
    return normalised([text])[0]


def normalised(texts: Sequence[str]) -> list[str]:
    """As `normalise` for each of some texts; those in ASCII in half the time, since they are joined and parted again.

    What is returned has no NUL, which is read as a blank: it stands between the joined texts.
    """
    read = [text.replace(END, " ") for text in texts]
    read = [text if text.isascii() else _narrowed(text) for text in read]
    easy = iter(_ascii([text for text in read if text.isascii()]))
    return [next(easy) if text.isascii() else _unicode(text) for text in read]


def _ascii(texts: Sequence[str]) -> list[str]:
    """Without splitting them into words, which takes longer than all the rest."""
    coded = (
        BANG.sub(b",", END.join([*texts, ""]).encode().translate(IDLE_BYTES))
        .replace(b". ", b", ")
        .replace(b".\0", b"\0")
    )
    signs = coded.translate(None, UNMEANT_BYTES).split(b"\0")
    if any(signs):
        parts = coded.split(b"\0")
        for row, meant in enumerate(signs):
            if meant:
                parts[row] = ASCII_SIGN.sub(r" \g<0> ", IDLE_HERE.sub(",", parts[row].rstrip(b".").decode())).encode()
        coded = b"\0".join(parts)
    return [plain.strip(" ") for plain in _once(coded.translate(BLANK_BYTES), b" ").decode().split(END)[:-1]]


def _unicode(text: str) -> str:
    if RARE.search(text):
        text = MIXED.sub(r" \g<0>", RAISED.sub(r"^\g<0>", text))  # NFKC makes 10⁸ the number 108
        text = LONG.sub("ー", INVISIBLE.sub("", unicodedata.normalize("NFKC", text)))
        text = text.replace("−", "-").replace("–", "-").replace("‐", "-").replace("〜", "~")
    folded = unicodedata.normalize("NFKC", text).casefold().replace("\u2044", "/")
    folded = IDLE_MARKS.sub(",", folded)
    if SIGN.search(folded):
        folded = SIGN.sub(r" \g<0> ", IDLE_HERE.sub(",", folded))
    words = " ".join(folded.replace(",", " ").replace("_", " ").split())
    return words if words.isascii() else BESIDE_CJK.sub("", words)


def _narrowed(text: str) -> str:
    for mark in USUAL:
        text = text.replace(mark, ",")
    return WIDE.sub(_narrow, text.replace("\u00a0", " "))


def _narrow(match: re.Match[str]) -> str:
    return match[0].encode("utf-16-le")[::2].translate(NARROW).decode()


def masked(plains: Sequence[str], with_words: Sequence[bool]) -> list[tuple[str, str]]:
    """Each normalised text with its figures as `0`, and the figures in their order: texts that differ in these alone
    are one template and different questions. Where it is known that no word is a number, `with_words` may be false.
    """
    read = [
        plain
        if not words or DIGITS.keys().isdisjoint(units := plain.split(" "))
        else " ".join([DIGITS.get(unit, unit) for unit in units])
        for plain, words in zip(plains, with_words, strict=True)
    ]
    quick = [text.isascii() and "*" not in text for text in read]
    coded = END.join([*(text for text, easy in zip(read, quick, strict=True) if easy), ""]).encode()
    frames = iter(_once(coded.translate(ZERO_BYTES), b"0").decode().split(END))
    figures = iter(_once(coded.translate(FIGURE_BYTES), b" ").decode().split(END))
    return [
        (next(frames), next(figures).strip(" ")) if easy else _masked(plain, text)
        for plain, text, easy in zip(plains, read, quick, strict=True)
    ]


def _masked(plain: str, read: str) -> tuple[str, str]:
    pieces = (ASCII_FIGURE if plain.isascii() else FIGURE).split(read)  # every second piece is a figure
    return "0".join(pieces[::2]), " ".join([KANJI_DIGITS.get(figure, figure) for figure in pieces[1::2]])


def _once(coded: bytes, character: bytes) -> bytes:
    """With one for several of a character in a row."""
    if len(coded) < MANY:
        while character * 2 in coded:
            coded = coded.replace(character * 2, character)
        return coded
    import numpy as np  # it takes a tenth of a second to load, which short texts need not wait for

    read = np.frombuffer(coded, np.uint8)
    other = read != ord(character)
    other[1:] |= other[:-1].copy()
    other[0] = True
    return read[other].tobytes()
