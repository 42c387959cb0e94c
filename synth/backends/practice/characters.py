"""The practice teacher as a language model of letters: how likely it finds a text.

It learnt its own exercises by heart, in contexts of up to three letters (Witten and Bell's smoothing, 1991), and takes
over what a text says as it reads on, so that an answer that speaks of its question is likelier after it. Like a
tokeniser of bytes it writes letters that it never saw in several tokens, of which only the last one shows the letter.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from functools import cache

from synth.backends.practice.answering import FINAL
from synth.backends.practice.questions import TASKS
from synth.backends.practice.reading import read
from synth.language.text import HAN, KANA
from synth.patterns import lazy

CONTEXT = 3
EXERCISES = 8
"""Of each kind that it learnt from."""
OWN_SHARE = 0.3
"""Of what it expects, how much comes from the text itself."""
LETTERS = 2**16
PIECE = lazy(r"<\|\w+\|>| ?[A-Za-z]{1,4}|.", re.DOTALL)

Tokens = list[tuple[str, float | None]]


def tokens(text: str) -> int:
    """About how many tokens a text has: one for each Japanese letter, one for four others."""
    wide = len(KANA.findall(text)) + len(HAN.findall(text))
    return max(1, wide + (len(text) - wide + 3) // 4)


def read_through(text: str) -> Tokens:
    """The tokens of a text, each with its log-probability after those before it; the first one has none."""
    learnt, own = _learnt(), Letters()
    found: Tokens = []
    for match in PIECE.finditer(text):
        piece, logprob = match[0], 0.0
        for place in range(match.start(), match.end()):
            before, letter = text[max(0, place - CONTEXT) : place], text[place]
            known = learnt.likelihood(letter, before, 1 / LETTERS)
            logprob += math.log((1 - OWN_SHARE) * known + OWN_SHARE * own.likelihood(letter, before, known))
            own.learn(letter, before)
        size = len(piece.encode("utf-8", "replace")) if piece not in learnt.alphabet and len(piece) == 1 else 1
        found += [("", logprob / size)] * (size - 1) + [(piece, logprob / size)]
    return [(piece, logprob if place else None) for place, (piece, logprob) in enumerate(found)]


def continued(text: str, most: int) -> Tokens:
    """So many tokens more, each the likeliest letter."""
    learnt = _learnt()
    written: Tokens = []
    for _ in range(most):
        letter, likelihood = learnt.likeliest(text[-CONTEXT:])
        written.append((letter, math.log(likelihood)))
        text += letter
    return written


class Letters:
    """How often which letter came after which others."""

    def __init__(self) -> None:
        self._after: dict[str, Counter[str]] = {}
        self._times: Counter[str] = Counter()

    @property
    def alphabet(self) -> Counter[str]:
        """The letters that came, and how often."""
        return self._after.get("", Counter())

    def learn(self, letter: str, before: str) -> None:
        """Count a letter after all the ends of what was before it."""
        for start in range(len(before) + 1):
            self._after.setdefault(before[start:], Counter())[letter] += 1
            self._times[before[start:]] += 1

    def likelihood(self, letter: str, before: str, otherwise: float) -> float:
        """How likely it is next; `otherwise` is what is said of it where nothing is known."""
        for start in range(len(before), -1, -1):
            after = self._after.get(before[start:])
            if after is None:
                break
            kinds = len(after)
            otherwise = (after[letter] + kinds * otherwise) / (self._times[before[start:]] + kinds)
        return otherwise

    def likeliest(self, before: str) -> tuple[str, float]:
        """The letter that came most often after the longest end of `before` that is known, and how likely it is."""
        known = next(before[start:] for start in range(len(before) + 1) if before[start:] in self._after)
        letter = max(self._after[known], key=lambda one: (self._after[known][one], one))
        return letter, self.likelihood(letter, before, 1 / LETTERS)


@cache
def _learnt() -> Letters:
    rng, letters = random.Random(11), Letters()  # noqa: S311 (play, no secret)
    for task in TASKS:
        for _ in range(EXERCISES):
            question = task.write(rng)
            known = read(question)
            assert known is not None
            text = f"{question}\n\n{known.solution.steps}\n\n{FINAL[task.language]}: {known.solution.answer}"
            for place, letter in enumerate(text):
                letters.learn(letter, text[max(0, place - CONTEXT) : place])
    return letters
