"""Text of unknown origin on a page: escaped, what cannot be seen made visible, code kept apart."""

from __future__ import annotations

import re
from dataclasses import dataclass

from markupsafe import Markup, escape

from synth.language.text import UNSEEN
from synth.patterns import lazy

_FENCE = lazy(r"^ {0,3}(`{3,}|~{3,})([^\n`]*)\n(.*?)^ {0,3}\1[`~]*[ \t]*$\n?", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of prose, or one fenced code block without its fence."""

    text: Markup
    is_code: bool = False
    language: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """A text ready for the page, and how many characters were left out at its end."""

    segments: tuple[Segment, ...]
    left_out: int


def shown(text: str, most: int) -> Shown:
    """Cut a text to `most` characters, split off its code blocks and escape everything."""
    return Shown(segments(text[:most]), max(0, len(text) - most))


def segments(text: str) -> tuple[Segment, ...]:
    """Prose and fenced code in order (https://spec.commonmark.org/0.31.2/#fenced-code-blocks, closed fences only)."""
    found: list[Segment] = []
    start = 0
    for block in _FENCE.finditer(text):
        _add_prose(found, text[start : block.start()])
        found.append(Segment(visible(block[3].rstrip("\n")), is_code=True, language=block[2].strip()))
        start = block.end()
    _add_prose(found, text[start:])
    return tuple(found)


def visible(text: str) -> Markup:
    """The text as HTML; control, zero-width and direction characters become small labels with their code point."""
    parts: list[Markup] = []
    start = 0
    for match in UNSEEN.finditer(text):
        parts.append(escape(text[start : match.start()]))
        parts.append(Markup('<span class="unseen">U+{}</span>').format(f"{ord(match[0]):04X}"))
        start = match.end()
    parts.append(escape(text[start:]))
    return Markup("").join(parts)


def plain(text: str) -> str:
    """The text for places that hold no elements, such as a title: what cannot be seen becomes U+FFFD."""
    return UNSEEN.sub("\ufffd", text)


def _add_prose(found: list[Segment], text: str) -> None:
    prose = text.strip("\n")
    if prose:
        found.append(Segment(visible(prose)))
