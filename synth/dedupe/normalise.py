"""What two texts may differ in and still be the same: width, case, white space, punctuation, invisible characters."""

from __future__ import annotations

import re
import unicodedata

from synth.text import HAN, KANA

WORD = re.compile(r"[^\W_]+")
NUMBER = re.compile(r"\d+")
SIGNS = re.compile(r"(?<!\w)[-+](?=\d)|[+*/=<>^%]|(?<=\d)\.(?=\d)")
CJK = f"[{KANA.pattern[1:-1]}{HAN.pattern[1:-1]}ー々]"
BESIDE_CJK = re.compile(rf"(?<={CJK}) | (?={CJK})")
"""Blanks that no Japanese or Chinese reader would miss."""


def normalise(text: str) -> str:
    """A text reduced to what makes it different: NFKC, folded case, letters and digits, operators, single blanks
    (none beside Japanese or Chinese letters, which are written without).

    Full and half width become alike; hiragana and katakana stay apart, as they are different words often enough.
    Signs that carry meaning in mathematics (minus, plus, decimal points, operators) stay.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    folded = "".join(c for c in folded if unicodedata.category(c) not in ("Cf", "Mn") or c in "\u3099\u309a")
    kept: list[str] = []
    for place, piece in enumerate(re.split(f"({SIGNS.pattern})", folded)):
        kept += [piece] if place % 2 else WORD.findall(piece)  # every second piece is a sign
    return BESIDE_CJK.sub("", " ".join(kept))


def masked(normalised: str) -> str:
    """A normalised text with every digit run replaced by one sign."""
    return NUMBER.sub("0", normalised)
