"""Patterns that are tried only on texts in which one of their marks stands: looking for marks takes a hundredth of the
time."""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from synth.patterns import lazy


class Marked:
    """A pattern, and groups of marks: a text in which it matches holds, once it is flat, a mark of every group."""

    def __init__(self, pattern: str, *groups: str) -> None:
        """`pattern` is read without regard to case, and to white space of its own; bars part the marks of a group."""
        self.pattern = lazy(pattern, re.IGNORECASE | re.VERBOSE)
        self.groups = [frozenset(group.split("|")) for group in groups]


class Marks(NamedTuple):
    """The marks of some patterns, each once: several have the same."""

    plain: list[str]
    """Those in ASCII."""
    letters: re.Pattern[str]
    """Of each mark the one with the highest code point: in Japanese a kanji, if it has one, which few texts hold."""
    by_letter: dict[str, list[str]]

    def within(self, flat: str) -> set[str]:
        """Those that stand in a text."""
        if flat.isascii():
            return {mark for mark in self.plain if mark in flat}
        return {mark for letter in set(self.letters.findall(flat)) for mark in self.by_letter[letter] if mark in flat}


def first_of(patterns: tuple[Marked, ...], text: str) -> re.Match[str] | None:
    """Of the first matches of some patterns the one that begins first; None when there is none."""
    there = _marks(patterns).within(" ".join(text.casefold().replace("’", "'").split()))
    likely = [one.pattern for one in patterns if not any(map(there.isdisjoint, one.groups))]
    found = [match for pattern in likely if (match := pattern.search(text)) is not None]
    return min(found, key=lambda match: match.start()) if found else None


@functools.cache
def _marks(patterns: tuple[Marked, ...]) -> Marks:
    by_letter: dict[str, list[str]] = {}
    for mark in {mark for one in patterns for group in one.groups for mark in group}:
        by_letter.setdefault(max(mark), []).append(mark)
    plain = [mark for marks in by_letter.values() for mark in marks if mark.isascii()]
    return Marks(plain, re.compile(f"[{re.escape(''.join(by_letter))}]"), by_letter)
