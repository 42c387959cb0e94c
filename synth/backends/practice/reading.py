"""The practice teacher's tasks read back: a question is recognised, and solved, by the wording it was written from."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from synth.backends.practice.questions import TASKS
from synth.backends.practice.tasks import Choice, Solution, Task


@dataclass(frozen=True, slots=True)
class Read:
    """A question that was recognised."""

    task: Task
    solution: Solution


def read(text: str) -> Read | None:
    """The task that stands somewhere in a text; None when there is none that this teacher can solve."""
    plain = folded(text)
    for task, pattern in _patterns():
        match = pattern.search(plain)
        if match is not None:
            try:
                return Read(task, task.solve(match.groupdict()))
            except (ValueError, OverflowError):
                continue  # it asks about a day that does not exist, or a number beyond reason
    return None


def folded(text: str) -> str:
    """Width and white space made alike."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


@cache
def _patterns() -> tuple[tuple[Task, re.Pattern[str]], ...]:
    compiled = [(task, _pattern(task, wording)) for task in TASKS for wording in task.wordings]
    # the longest wording first, so that a short one never matches inside it
    return tuple(sorted(compiled, key=lambda pair: -len(pair[1].pattern)))


def _pattern(task: Task, wording: str) -> re.Pattern[str]:
    parts: list[str] = []
    seen: set[str] = set()
    for piece in re.split(r"(\{\w+\})", folded(wording)):
        name = piece[1:-1]
        if not re.fullmatch(r"\{\w+\}", piece):
            parts.append(re.escape(piece).replace(r"\ ", r"\s*"))
        elif name in seen:
            parts.append(f"(?P={name})")
        else:
            seen.add(name)
            parts.append(f"(?P<{name}>{_held(task.slots[name])})")
    return re.compile("".join(parts))


def _held(choice: Choice) -> str:
    if isinstance(choice, range):
        return r"\d+"
    return "|".join(re.escape(folded(one)) for one in (choice.values() if isinstance(choice, Mapping) else choice))
