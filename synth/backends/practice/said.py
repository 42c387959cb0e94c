"""What the practice teacher is asked and what it says, before tokens are counted."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from synth.backends.practice.faults import Faults
from synth.backends.practice.reading import Read
from synth.language.answers import final_answer, same_answer
from synth.language.text import KANA


@dataclass(frozen=True, slots=True)
class Planted:
    """One instruction of a list, and the fault it carries."""

    text: str
    fault: str


@dataclass(frozen=True, slots=True)
class Truth:
    """What a reply really is."""

    role: str
    task: str = ""
    language: str = "en"
    fault: str = ""
    """Empty when the reply is good."""
    answer: str = ""
    """The right final answer."""
    instructions: tuple[Planted, ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """A reply's text before tokens are counted."""

    content: str
    truth: Truth
    finish_reason: str = "stop"


@dataclass(frozen=True, slots=True)
class Asked:
    """A chat request as a role sees it."""

    prompt: str
    """The first user turn: what comes after it are corrections, or a dialogue."""
    wanted: frozenset[str]
    """The properties of the object that is asked for, by its schema or in words; none where a text is."""
    rng: random.Random
    """Of the request: the same one says the same again."""
    faults: Faults
    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Of the objects in the list that is asked for, as their schema has them; none where no such list is wanted."""

    @property
    def language(self) -> str:
        """The prompt's."""
        return language_of(self.prompt)


Role = Callable[[Asked], Said | None]
"""What one kind of request is answered with; None for any other."""


def verdict(asked: Asked, reason: str, score: int) -> Said:
    """A judge's grade with its reason, as JSON."""
    content = json.dumps({"reason": reason, "score": score}, ensure_ascii=False)
    return Said(content, Truth("judge", language=asked.language))


def language_of(text: str) -> str:
    """Japanese where enough of a text is kana, else English."""
    return "ja" if len(KANA.findall(text)) > 0.15 * len(text) else "en"


def is_right(answer: str, known: Read | None) -> bool:
    """Whether an answer ends with what solves an exercise."""
    given = final_answer(answer)
    return known is not None and given is not None and same_answer(given.text, known.solution.answer)
