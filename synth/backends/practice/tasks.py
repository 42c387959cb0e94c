"""The checkable tasks of the practice teacher: each is written, read back and solved from the same wording."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

Slots = Mapping[str, str]
Choice = range | tuple[str, ...] | Mapping[str, str]
"""A mapping tells what goes with the slot `thing`, such as its counter."""


@dataclass(frozen=True, slots=True)
class Solution:
    """A right answer, the way to it, and a wrong one that looks as good."""

    answer: str
    steps: str
    """In the task's own language."""
    wrong: str
    json: bool = False
    """Whether the whole reply is the answer, as JSON."""


@dataclass(frozen=True, slots=True)
class Task:
    """Wordings with slots, what the slots may hold, and how it is solved."""

    name: str
    language: str
    wordings: tuple[str, ...]
    slots: Mapping[str, Choice]
    solve: Callable[[Slots], Solution]

    def write(self, rng: random.Random) -> str:
        """A question of this kind."""
        wording = rng.choice(self.wordings)
        free = {name: choice for name, choice in self.slots.items() if not isinstance(choice, Mapping)}
        values = {name: str(rng.choice(choice)) for name, choice in free.items()}
        while len(set(values.values())) < len(values):  # nobody writes to himself, no word is asked twice
            values = {name: str(rng.choice(choice)) for name, choice in free.items()}
        bound = {name: choice[values["thing"]] for name, choice in self.slots.items() if isinstance(choice, Mapping)}
        return wording.format(**values, **bound)


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
    from synth.backends.practice.questions import TASKS  # the questions are built from this module's types

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
