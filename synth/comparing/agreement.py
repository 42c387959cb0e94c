"""What several draws of one prompt say together: the majority, and whether another draw is wanted.

Decisions take the draws in their order, so that they do not depend on which reply came first.
Sources: self-consistency (Wang et al., arXiv:2203.11171); targets per prompt, uniform or by difficulty (DART-Math,
Tong et al., arXiv:2407.13690).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from synth.language.answers import final_answer, same_answer
from synth.types import Sample, Score, Value

MAJORITY = "majority"
PASS_RATE = "pass_rate"  # noqa: S105 (no password)


class Draw(NamedTuple):
    """What is known of one draw."""

    answer: str | None
    """Its final answer; None when it has none or was refused."""
    verified: bool = False
    """Whether a verifier found it right."""


class Vote(NamedTuple):
    """What the majority says."""

    draw: int
    """The first draw that says so."""
    answer: str
    votes: int


class Adaptive(Value):
    """How many draws a prompt gets.

    Without `verified`, draws end as soon as no further ones could change what the majority of `most` says. With it they
    end when so many are verified: on every prompt alike, or (`per: difficulty`) in proportion to the share that failed,
    at least one. After `give_up` draws of which none is verified the prompt is left alone.
    """

    most: int = Field(ge=1, le=100)
    verified: int | None = Field(default=None, ge=1)
    """How many draws must get the full mark (1) of the verifier."""
    by: str = ""
    """The verifier, a scorer of the stage such as `exact_answer`; its only one unless named."""
    per: Literal["prompt", "difficulty"] = "prompt"
    give_up: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _means_something(self) -> Adaptive:
        if self.verified is None and (self.give_up is not None or self.per == "difficulty" or self.by):
            raise ValueError(
                "by, give_up and per need a verifier's word: set `verified`, how many verified draws are wanted"
            )
        if max(self.verified or 0, self.give_up or 0) > self.most:
            raise ValueError(f"verified and give_up can be at most `most`, {self.most}")
        return self


def majority(answers: Sequence[str | None]) -> Vote | None:
    """The answer that most draws give, the first of equals; None when none gives any."""
    classes = _classes(answers)
    if not classes:
        return None
    winner = max(classes, key=len)  # the first seen of equals
    answer = answers[winner[0]]
    assert answer is not None
    return Vote(winner[0], answer, len(winner))


def agreed(draws: Sequence[Sample]) -> list[Sample]:
    """The draws of one prompt, each with the score `majority`: the share of answers that are its own."""
    answers = [found.text if (found := final_answer(draw.answer())) else None for draw in draws]
    said = sum(answer is not None for answer in answers)
    votes = {place: len(members) for members in _classes(answers) for place in members}
    scored: list[Sample] = []
    for place, (draw, answer) in enumerate(zip(draws, answers, strict=True)):
        agree = votes.get(place, 0)
        detail = "no final answer" if answer is None else f"{agree} of {said} say {answer!r}"
        score = Score(name=MAJORITY, value=agree / max(1, said), detail=detail)
        scored.append(replace(draw, scores=(*draw.scores, score)))
    return scored


def pass_rate(draws: Sequence[Draw], rule: Adaptive) -> float:
    """The share of a prompt's draws that were verified, or without a verifier that say what most of them say."""
    if rule.verified is None:
        vote = majority([draw.answer for draw in draws])
        return vote.votes / len(draws) if vote else 0.0
    return sum(draw.verified for draw in draws) / max(1, len(draws))


def still_needed(draws: Sequence[Draw], rule: Adaptive) -> int:
    """The fewest further draws after which there could be enough: so many may be asked for at once, none in vain.

    0 when the draws are enough.
    """
    made = len(draws)
    left = max(0, rule.most - made)
    if rule.verified is None:
        sizes = [len(members) for members in _classes([draw.answer for draw in draws])] or [0]
        return next(more for more in range(left + 1) if _decided(sizes, more, left - more))
    right = sum(draw.verified for draw in draws)
    if not right and rule.give_up is not None:
        left = min(left, max(0, rule.give_up - made))
    return next((more for more in range(left) if right + more >= _target(right + more, made + more, rule)), left)


def _target(right: int, made: int, rule: Adaptive) -> int:
    assert rule.verified is not None
    if rule.per == "prompt" or not made:
        return rule.verified
    return max(1, math.ceil(rule.verified * (1 - right / made)))


def _decided(sizes: Sequence[int], more: int, left: int) -> bool:
    """Whether, if `more` draws sided with the largest class, `left` others could not change the winner.

    `sizes` are those of the classes in the order in which they were first said: of equals the first wins.
    """
    best = max(range(len(sizes)), key=lambda place: sizes[place])
    lead = sizes[best] + more
    rivals = [(place, size) for place, size in enumerate([*sizes, 0]) if place != best]  # one not yet heard among them
    return left == 0 or all(lead - size > left - (place > best) for place, size in rivals)


def _classes(answers: Sequence[str | None]) -> list[list[int]]:
    """The places of the answers that say the same, in the order in which they were first said."""
    classes: list[tuple[str, list[int]]] = []
    for place, answer in enumerate(answers):
        if answer is None:
            continue
        for said, members in classes:
            if same_answer(answer, said):
                members.append(place)
                break
        else:
            classes.append((answer, [place]))
    return [members for _, members in classes]
