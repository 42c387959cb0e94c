"""Patterns that are tried only on texts in which one of their marks stands: looking for marks takes a hundredth of the
time."""

from __future__ import annotations

import functools
import re

from synth.patterns import lazy


class Marked:
    """A pattern, and groups of marks: a text in which it matches holds, once it is flat, a mark of every group."""

    def __init__(self, pattern: str, *groups: str) -> None:
        """`pattern` is read without regard to case, and to white space of its own; bars part the marks of a group."""
        self.pattern = lazy(pattern, re.IGNORECASE | re.VERBOSE)
        self.groups = [frozenset(group.split("|")) for group in groups]


def first_of(patterns: tuple[Marked, ...], text: str) -> re.Match[str] | None:
    """Of the first matches of some patterns the one that begins first; None when there is none."""
    flat = " ".join(text.casefold().replace("’", "'").split())
    there = {mark for mark in _marks(patterns) if mark in flat}
    likely = [one.pattern for one in patterns if not any(map(there.isdisjoint, one.groups))]
    found = [match for pattern in likely if (match := pattern.search(text)) is not None]
    return min(found, key=lambda match: match.start()) if found else None


@functools.cache
def _marks(patterns: tuple[Marked, ...]) -> list[str]:
    """The marks of all patterns, each once: several have the same."""
    return list(dict.fromkeys(mark for one in patterns for group in one.groups for mark in sorted(group)))
