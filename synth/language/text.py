"""Facts about text that several checks share: what to judge, and which scripts and languages it is in."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from synth.patterns import lazy
from synth.types import Sample

KANA = lazy(r"[\u3041-\u3096\u30a1-\u30fa\uff66-\uff9d]")
HAN = lazy(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
HANGUL = lazy(r"[\u1100-\u11ff\uac00-\ud7af]")
LATIN = lazy(r"[A-Za-z\u00c0-\u024f]")
CHARACTER = f"{KANA.pattern}|{HAN.pattern}"
LETTER = rf"(?:(?!{CHARACTER})[^\W_]|[\u0300-\u036f\u064b-\u065f\u0900-\u0963\u0966-\u0dff])"  # with marks of their own
UNIT = lazy(rf"{CHARACTER}|{LETTER}+(?:['\u2019]{LETTER}+|[.,]\d+)*")
PLAIN_UNIT = lazy(r"[^\W_]+(?:'[^\W_]+|[.,]\d+)*", re.ASCII)
"""The same for a text in ASCII, in a fifth of the time."""
NOT_PROSE = lazy(
    r"```.*?(?:```|\Z)|`[^`\n]*`|https?://[!-'*-~]+|\$\$.*?\$\$|\\\((?:[^\\]+|\\[^()])*+\\\)|\\\[(?:[^\\]+|\\[^][])*+\\\]|(?<![\w.+-])[\w.+-]{1,64}@[A-Za-z0-9.-]+\.\w+",
    re.DOTALL,
)
NOT_PROSE_MARKS = ("`", "://", "$$", "\\", "@")
NO_LETTERS = bytes(one for one in range(128) if not chr(one).isalpha())
LETTER_RUNS = tuple(lazy(f"{one.pattern}+") for one in (KANA, HAN, HANGUL, LATIN))

# zero-width joiners stay: emoji and several scripts need them
UNSEEN = lazy(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
"""Characters that a reader cannot see and that may change what is seen: controls, zero width, direction, surrogates."""


def visible(text: str) -> str:
    """The text for a terminal: what cannot be seen becomes its code point, such as `<U+001B>`.

    A reply, an error of a server or a file name may hold escape sequences, which a terminal would obey.
    """
    return UNSEEN.sub(lambda match: f"<U+{ord(match[0]):04X}>", text)


def several(count: int, one: str) -> str:
    """A count with its noun, such as `1 row`, `2,000 rows` or `0 replies`, of which `one` is the singular."""
    if count == 1:
        return f"1 {one}"
    if one.endswith("y"):
        return f"{count:,} {one[:-1]}ies"
    return f"{count:,} {one}{'es' if one.endswith(('ch', 'sh', 's', 'x')) else 's'}"


class Count(int):
    """A count that a text is filled with: `{0} {0:row was|rows were} refused` becomes `1 row was refused`.

    A plain place gets the number itself, such as `2,000`; of two words between bars the first is for one.
    """

    def __format__(self, spec: str) -> str:
        one, bar, more = spec.partition("|")
        return (one if self == 1 else more) if bar else super().__format__(spec or ",")


def subject(sample: Sample) -> str:
    """What a validator judges: the answer; for a sample that has none yet, the instruction."""
    return sample.answer() or sample.question()


def fold(text: str) -> str:
    """NFKC, lower case, white space folded to single blanks."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def prose(text: str) -> str:
    """The text without code, formulae, addresses: what a reader would call its language."""
    return NOT_PROSE.sub(" ", text) if any(mark in text for mark in NOT_PROSE_MARKS) else text


def letter_counts(text: str) -> tuple[int, int, int, int]:
    """How many letters are kana, kanji (hanzi), hangul and Latin."""
    if text.isascii():
        return 0, 0, 0, len(text.encode().translate(None, NO_LETTERS))
    kana, han, hangul, latin = (sum(map(len, run.findall(text))) for run in LETTER_RUNS)
    return kana, han, hangul, latin


def units(texts: Iterable[str]) -> list[list[str]]:
    """The words of each text, kana and kanji one by one, without punctuation; after NFKC and in lower case."""
    return [
        PLAIN_UNIT.findall(text.lower())
        if text.isascii()
        else UNIT.findall(unicodedata.normalize("NFKC", text).casefold())
        for text in texts
    ]


FENCE_LINE = lazy(r"^ {0,3}(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)


def open_fence(text: str) -> str:
    """The line of a code fence that is never closed; empty when there is none (CommonMark 0.31, section 4.5)."""
    opened, mark = "", ""
    for line in FENCE_LINE.finditer(text):
        ticks, rest = line[1], line[2].strip()
        if not mark:
            if ticks[0] == "~" or "`" not in rest:
                opened, mark = line[0].strip(), ticks
        elif ticks.startswith(mark) and not rest:
            mark = ""
    return opened if mark else ""
