"""The text does not run in circles."""

from __future__ import annotations

import itertools
import zlib
from collections import Counter
from operator import add, eq
from typing import Literal

from synth.errors import Rejected
from synth.language.text import prose, subject
from synth.patterns import lazy
from synth.types import Sample, Value

TAIL_CHARS = 4000
LOOP_CHARS = 60
LOOP_SHARE = 0.25
LONGEST_UNIT = 400
KEY_CHARS = 40
"""At most what is left of the shortest loop without one of its four copies."""
SENTENCE_CHARS = 8
STUTTER = lazy(
    r"([^\W\d_])\1{29,}|([\U0001f300-\U0001faff\u2600-\u27bf!！?？。])\2{19,}|(?<!\w)([^\W\d_]{2,20})(?:[ ,、]{1,2}\3(?!\w)){7,}"
    r"|([ぁ-んァ-ヶー一-鿿、。]{2,24}?)\4{6,}"
)
"""A letter, a sign, a word, or a stretch of Japanese over and over, anywhere: a model may come out of a loop."""
STUTTER_COPIES = 7
"""The fewest copies of two letters or more in a match of the pattern above, which takes ten times as long to look for
in Japanese."""
STUTTER_CHARS, STUTTER_FEWEST, WINDOW_SHARE, FEWEST_BYTES = 150, 20, 0.6, 90
UNBROKEN, KEY, STEP, REACH = 14, 6, 7, 24
"""A match that is not of words has at least so many characters and no blank. Of every seventh of them the six from it on
come again within the length of the longest unit: seven copies are always long enough for that."""
STOP = lazy(r"([。．！？!?\n.](?:(?<!\.)|\s))")
AGAIN_SHARE, AGAIN_CHARS = 0.4, 60
LONG_COPY_CHARS, LONG_COPIES = 60, 3
NUMBER = lazy(r"\A(?:\d{1,3}[.)．）]|[-*・])\s*")
"""Of an item, which counts on while a list runs in circles."""
COPIES = 4
COPIED_SHARE = 0.4


class Repetition(Value):
    """Refuse a text that ends in a loop, or most of which is the same sentence again and again.

    Works on characters, so that text without spaces is judged alike. After the duplicate line and paragraph
    fractions of Gopher (Rae et al., 2021, arXiv:2112.11446, table A1), with code and tables left out.
    """

    kind: Literal["repetition"] = "repetition"

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`repetition`)."""
        detail = find_repetition(subject(sample))
        if detail is not None:
            raise Rejected("repetition", detail)


def find_repetition(text: str) -> str | None:
    """What a text says again and again; None when it does not."""
    unit = looping(text)
    if unit:
        return f"it ends in a loop of {unit[:80]!r}"
    plain = prose(text)
    if len(text) >= STUTTER_FEWEST and _may_stutter(plain) and (again := STUTTER.search(_dense(plain))):
        return f"it runs in a loop of {next(filter(None, again.groups()))[:80]!r}"
    sentence, copies = commonest_sentence(plain)
    return f"{copies} times the sentence {sentence[:80]!r}" if copies else None


def looping(text: str) -> str:
    """The unit that a text's end consists of, when four copies or more fill a real part of it; else an empty text."""
    tail = prose(text)[-TAIL_CHARS:].rstrip()
    # in a loop the last letters stand also one unit earlier, whether or not the last copy is whole
    key, end, first = tail[-KEY_CHARS:], len(tail) - 1, max(0, len(tail) - KEY_CHARS - LONGEST_UNIT)
    if len(tail) < LOOP_CHARS or tail.rfind(key, first, end) < 0:
        return ""
    data = tail[-400:].encode("utf-8", "replace")
    if len(zlib.compress(data, 1)) > 0.6 * len(data):
        return ""  # no loop: it compresses to nearly nothing
    while (at := tail.rfind(key, first, end)) >= 0:
        start, size = at, len(tail) - KEY_CHARS - at
        while start > 0 and tail[start - 1] == tail[start - 1 + size]:
            start -= 1
        unit, looped = tail[-size:], len(tail) - start
        if not any(character.isalnum() for character in unit):
            return ""  # rulers, dot leaders and empty table rows are no loops
        copies, chars = looped // size, min(len(text), TAIL_CHARS)
        if copies >= 4 and looped >= LOOP_CHARS and looped > LOOP_SHARE * chars:
            return unit
        end = at + KEY_CHARS - 1
    return ""


def _may_stutter(plain: str) -> bool:
    """Whether a text may match STUTTER: it holds a word twice in a row, or without a blank the same letters again.

    The few texts that do are looked at closely, which takes ten times as long.
    """
    words = plain.replace(",", " ").replace("、", " ").split()
    again = itertools.compress(words, map(eq, words, words[1:]))
    return any(word.isalnum() and not word.isdecimal() for word in again) or any(
        unbroken.find(unbroken[at : at + KEY], at + 1, at + KEY + REACH) >= 0
        for unbroken in plain.split()
        if len(unbroken) >= UNBROKEN
        for at in range(0, len(unbroken) - KEY, STEP)
    )


def _dense(plain: str) -> str:
    """Those stretches of a prose that may stutter, compress to less than half and hold a pair of letters as often as
    loops do."""
    windows = [plain[at : at + 2 * STUTTER_CHARS] for at in range(0, len(plain), STUTTER_CHARS)]
    packed = [(one, one.encode("utf-8", "replace")) for one in windows if _may_stutter(one)]
    return "\n".join(
        one
        for one, data in packed
        if len(zlib.compress(data, 1)) < max(WINDOW_SHARE * len(data), FEWEST_BYTES)
        and max(Counter(itertools.pairwise(one)).values(), default=0) >= STUTTER_COPIES
    )


def commonest_sentence(plain: str) -> tuple[str, int]:
    """A long sentence that fills much of a prose and how often it comes; ("", 0) when there is none."""
    pieces = [*STOP.split(plain), ""]
    long = [part for piece in map(add, pieces[::2], pieces[1::2]) if len(part := piece.strip()) >= SENTENCE_CHARS]
    parts = [NUMBER.sub("", part) for part in long]
    sentences = [part for part in parts if len(part) >= SENTENCE_CHARS and not part.startswith(("|", ">"))]
    counted = Counter(sentences)
    if len(sentences) - len(counted) < 2:
        return "", 0
    sentence, copies = counted.most_common(1)[0]
    total = sum(len(part) for part in sentences)
    again = sum((count - 1) * len(part) for part, count in counted.items())
    if again > AGAIN_SHARE * total and again >= AGAIN_CHARS:
        return sentence, copies
    enough = LONG_COPIES if len(sentence) * (1 if sentence.isascii() else 3) >= LONG_COPY_CHARS else COPIES
    return (sentence, copies) if copies >= enough and copies * len(sentence) > COPIED_SHARE * total else ("", 0)
