"""What the practice teacher remembers of long prompts, as hosts do that charge less for a beginning they have seen."""

from __future__ import annotations

from collections import deque
from typing import Any

from synth.backends.practice.characters import tokens

LEAST, STEP = 1024, 128
"""Tokens: of the shortest beginning that counts, and what its length is a multiple of.
https://platform.openai.com/docs/guides/prompt-caching"""
REMEMBERED = 32


class PromptCache:
    """The last long prompts."""

    def __init__(self) -> None:
        self._seen = deque[str](maxlen=REMEMBERED)

    def reused(self, messages: list[dict[str, Any]]) -> int:
        """How many tokens of a prompt's beginning were there before; the prompt is remembered."""
        text = "\n".join(f"{message['role']}: {message.get('content')}" for message in messages)
        if tokens(text) < LEAST:
            return 0
        longest = max((tokens(text[: _alike(text, one)]) for one in self._seen), default=0)
        if text not in self._seen:
            self._seen.append(text)
        return longest // STEP * STEP if longest >= LEAST else 0


def _alike(one: str, other: str) -> int:
    """How many letters two texts have in common at their beginnings."""
    letters = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in letters if a != b), min(len(one), len(other)))
