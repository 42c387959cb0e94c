"""What a checkable task of the practice teacher is: wordings with slots, from which it is written and solved."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

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
