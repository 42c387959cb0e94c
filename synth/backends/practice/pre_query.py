"""The practice teacher as a model that goes on where a user's turn begins: it writes what a user would ask it."""

from __future__ import annotations

import random

from synth.backends.practice.questions import TASKS, TOPICS
from synth.backends.practice.said import language_of
from synth.patterns import lazy

BEGINS = lazy(r"(?:[>\n]user(?:<\|\w+\|>)?|<\|user\|>|\[INST\])\s*\Z")
"""How the beginning of a user's turn looks in the chat templates of open models."""
EMPTY = 0.03
"""Of its turns, how many end before they began."""


def user_turn(prompt: str, rng: random.Random) -> str | None:
    """What a user writes where the turn begins at the end of a text; None where it does not."""
    if not BEGINS.search(prompt):
        return None
    if rng.random() < EMPTY:
        return ""
    language = language_of(prompt)
    names = next((names for topic, names in TOPICS[language] if topic in prompt), None)
    tasks = [one for one in TASKS if one.language == language and (names is None or one.name in names)]
    return rng.choice(tasks).write(rng)
