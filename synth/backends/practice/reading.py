"""The practice teacher's tasks read back: a question is recognised, and solved, by the wording it was written from."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from synth.backends.practice.questions import TASKS
from synth.backends.practice.tasks import Choice, Solution, Task
from synth.patterns import lazy


@dataclass(frozen=True, slots=True)
class Read:
    """A question that was recognised."""

    task: Task
    solution: Solution


def read(text: str) -> Read | None:
    """The task that stands somewhere in a text; None when there is none that this teacher can solve."""
    plain = folded(text)
    for task, mark, pattern in _patterns():
        if mark in plain and (match := pattern.search(plain)):
            try:
                return Read(task, task.solve(match.groupdict()))
            except (ValueError, OverflowError):
                continue  # it asks about a day that does not exist, or a number beyond reason
    return None


def folded(text: str) -> str:
    """Width and white space made alike."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


@cache
def _patterns() -> tuple[tuple[Task, str, re.Pattern[str]], ...]:
    """Of each wording its task, the longest of its words, and how it is found."""
    every = [(task, *_found_by(task, wording)) for task in TASKS for wording in task.wordings]
    # the longest wording first, so that a short one never matches inside it
    return tuple(sorted(every, key=lambda one: -len(one[2].pattern)))


def _found_by(task: Task, wording: str) -> tuple[str, re.Pattern[str]]:
    parts: list[str] = []
    words: list[str] = []
    seen: set[str] = set()
    for piece in re.split(r"(\{\w+\})", folded(wording)):
        name = piece[1:-1]
        if not re.fullmatch(r"\{\w+\}", piece):
            parts.append(re.escape(piece).replace(r"\ ", r"\s*"))
            words += piece.split()
        elif name in seen:
            parts.append(f"(?P={name})")
        else:
            seen.add(name)
            parts.append(f"(?P<{name}>{_held(task.slots[name])})")
    return max(words, key=len), lazy("".join(parts))


def _held(choice: Choice) -> str:
    if isinstance(choice, range):
        return r"\d+"
    return "|".join(re.escape(folded(one)) for one in (choice.values() if isinstance(choice, Mapping) else choice))
