"""What a translation or a rewriting has to leave as it is stands in the answer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Literal

from pydantic import Field

from synth.errors import Rejected
from synth.language.dates import ERAS
from synth.language.numerals import NUMBER, plain, value_of
from synth.language.text import prose, subject
from synth.patterns import lazy
from synth.types import Sample, Value

Part = Literal["code", "addresses", "placeholders", "numbers", "years"]

BLOCK = lazy(r"^ {0,3}(`{3,}|~{3,})[ \t]*(\w*)[^\n]*\n(.*?)^ {0,3}\1", re.DOTALL | re.MULTILINE)
PROSE_BLOCKS = frozenset({"", "text", "txt", "plaintext", "plain", "markdown", "md", "html", "xml", "mermaid"})
"""In a block of these kinds, or of none, words may be what is translated."""
FREE = lazy(
    r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|<!--.*?-->|(?:#|//|--)[^\n]*|\s+|[^\x00-\x7f]+', re.DOTALL
)
"""Of code, what may be said in another language: texts and comments."""
INLINE = lazy(r"(?<!`)`([!-_a-~]+)`(?!`)")
ADDRESS = lazy(r"https?://[!-'*-~]+|(?<![\w.+-])[\w.+-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+", re.ASCII)
PLACEHOLDER = lazy(r"(?<![\w\\{}$^])\{\{? ?[A-Za-z_]\w* ?\}\}?|(?<![\w%])%(?:\(\w+\))?[sd]\b|\$\{\w+\}", re.ASCII)
HOUR = lazy(r"\A ?(?:時(?!間)|:\d\d|[ap]\.?m\b|o['’]clock)", re.IGNORECASE)
ERA = lazy(rf"(?:{'|'.join(ERAS)})\s?\Z", re.IGNORECASE)
SMALLEST = 13
"""A number below it may become a word, a month or an idiom: two, 四月, a dozen."""
TEENS = ("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred")
ONES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WORDS = dict(zip(TEENS, range(13, 20), strict=True)) | dict(zip(TENS, range(20, 101, 10), strict=True))
IN_WORDS = lazy(rf"\b({'|'.join(WORDS)})(?:[- ]({'|'.join(ONES)}))?\b", re.IGNORECASE)
YEAR = lazy(
    r"\b(?:in|since|from|until|till|before|after|by|around|[A-Z][a-z]{2,8}\.?\s\d{1,2},)\s((?:1[5-9]|20)\d\d)\b"
    r"(?=[.,;:)?!]|\Z|\n|\s(?:and|or|to|the|when|with|by|as|at)\b)|(?<!\d)((?:1[5-9]|20)\d\d)年"
)


class Kept(Value):
    """Refuse an answer that lost what it has to keep of the fields in `of`, as in a translation of them.

    `code`: fenced blocks, but for their texts and comments, and names in single back-ticks; `addresses`: of pages and
    mail; `placeholders` such as {name} and %s; `numbers`: each that is 13 or more or has a fraction, as the same value
    in any writing (12万 for 120,000, fifty for 50); `years`: those that are plainly one, also as the year of an era.
    Numbers leave out hours and the years of eras, which languages count otherwise. A field that is empty demands
    nothing.
    """

    kind: Literal["kept"] = "kept"
    of: list[str] = Field(min_length=1)
    parts: list[Part] = Field(default=["code", "addresses", "placeholders", "numbers"], min_length=1)

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`not_kept`) with the first thing that is missing."""
        source = "\n\n".join(str(sample.fields.get(name) or "") for name in self.of)
        text = subject(sample)
        for part in self.parts:
            if lost := LOST[part](source, text):
                raise Rejected("not_kept", f"{part}: {lost}")


def _lost_code(source: str, text: str) -> str:
    there = Counter(_skeleton(block) for block in _blocks(text))
    for block in _blocks(source):
        skeleton = _skeleton(block)
        if not there[skeleton]:
            return f"the block that begins {block[1].strip()[:60]!r} is another one, or missing"
        there[skeleton] -= 1
    wanted = (found[1] for found in INLINE.finditer(BLOCK.sub(" ", source)))
    return next((f"`{name}` is missing" for name in wanted if name not in text), "")


def _blocks(text: str) -> list[tuple[str, str]]:
    return [(found[2].lower(), found[3]) for found in BLOCK.finditer(text)]


def _skeleton(block: tuple[str, str]) -> str:
    """What of a code block is in no human language; nothing for a block that may be prose."""
    kind, code = block
    return "" if kind in PROSE_BLOCKS else FREE.sub("", code)


def _lost_texts(pattern: re.Pattern[str], after: str = "") -> Callable[[str, str], str]:
    """What finds the texts of a pattern that are not there, without the signs that may stand after them."""

    def lost(source: str, text: str) -> str:
        found = (match[0].rstrip(after) for match in pattern.finditer(source))
        return next((f"{one} is missing" for one in found if one not in text), "")

    return lost


def _lost_numbers(source: str, text: str) -> str:
    there = {value_of(match) for match in NUMBER.finditer(plain(text))}
    there |= {WORDS[one.lower()] + ("", *ONES).index(more.lower()) for one, more in IN_WORDS.findall(text)}
    there |= {int(run) for run in re.findall(r"\d{1,40}", plain(text))}
    for shown, value in _numbers(plain(ADDRESS.sub(" ", prose(source)))):
        if value not in there:
            return f"{shown} is missing"
    return ""


def _numbers(source: str) -> Iterator[tuple[str, object]]:
    """The numbers of a text that another language has to give as numbers too."""
    for match in NUMBER.finditer(source):
        value = value_of(match)
        if value is None or match["kanji"] or match["top"] or match["whole"] or source[: match.start()].endswith("'"):
            continue
        if HOUR.match(source[match.end() :]) or ERA.search(source[: match.start()]):
            continue
        if value >= SMALLEST or (value.denominator > 2 and value > 0):
            yield match[0], value


def _lost_years(source: str, text: str) -> str:
    there = {int(run) for run in re.findall(r"\d{1,40}", plain(text))}
    for match in YEAR.finditer(plain(prose(source))):
        year = int(match[1] or match[2])
        eras = (f"{name}{'元' if year - before == 1 else year - before}年" for name, before in ERAS.items())
        if year not in there and not any(era in plain(text) for era in eras):
            return f"the year {year} is missing"
    return ""


LOST: dict[Part, Callable[[str, str], str]] = {
    "code": _lost_code,
    "addresses": _lost_texts(ADDRESS, ".,;:!?'\"*_>|]}`"),
    "placeholders": _lost_texts(PLACEHOLDER),
    "numbers": _lost_numbers,
    "years": _lost_years,
}
