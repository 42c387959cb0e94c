"""What adaptive draws save on real model solutions: `python tests/bench/draws.py`.

Each question of ../shared/data/gsm8k_model_solutions.jsonl comes with four solutions by real models, whose labels say
which are right. First table: these four as four draws, in all of their 24 orders. Second table: draws sampled from the
four with replacement, so that there can be more than four; a question that none of them solved stays unsolvable.
"""

from __future__ import annotations

import functools
import itertools
import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from synth.comparing import agreement
from synth.comparing.agreement import Adaptive, Draw, majority, still_needed
from synth.language.answers import final_answer, same_answer

DATA = Path(__file__).parents[3] / "shared" / "data" / "gsm8k_model_solutions.jsonl"
MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
ROUNDS = 20


class Made(NamedTuple):
    """What a rule came to, per prompt on average."""

    draws: float
    majority_right: float
    covered: float
    """Prompts with at least one right draw."""
    right: float
    """Right draws."""
    hard_empty: float
    """Of the prompts that some, but at most one of the four solved: those that ended without a right draw."""


def questions() -> list[list[Draw]]:
    records = [json.loads(line) for line in DATA.read_bytes().splitlines()]
    return [[_draw(record[model]) for model in MODELS] for record in records]


def _draw(solution: dict) -> Draw:
    found = final_answer(solution["solution"])
    return Draw(found.text if found else None, solution["is_correct"])


def in_all_orders(four: Sequence[Draw]) -> Iterator[Sequence[Draw]]:
    return itertools.permutations(four)


def sampled(four: Sequence[Draw]) -> Iterator[Sequence[Draw]]:
    rng = random.Random(str(four))
    return ([rng.choice(four) for _ in range(100)] for _ in range(ROUNDS))


Supply = Callable[[Sequence[Draw]], Iterator[Sequence[Draw]]]


def made(every: Sequence[Sequence[Draw]], supply: Supply, rule: Adaptive | int, target: int | None = None) -> Made:
    """Ask by a rule, or for a fixed number."""
    sums, prompts, hard = [0.0] * 4, 0, [0, 0]
    for four in every:
        for outcome in supply(four):
            asked = list(outcome[:rule]) if isinstance(rule, int) else _asked(outcome, rule)
            vote = majority([draw.answer for draw in asked])
            right = sum(draw.verified for draw in asked)
            prompts += 1
            measured = (len(asked), vote is not None and asked[vote.draw].verified, right > 0, right)
            sums = [one + other for one, other in zip(sums, measured, strict=True)]
            if sum(draw.verified for draw in four) == 1:
                hard = [hard[0] + (right == 0), hard[1] + 1]
    return Made(*(one / prompts for one in sums), hard[0] / max(1, hard[1]))


def _asked(outcome: Sequence[Draw], rule: Adaptive) -> list[Draw]:
    asked: list[Draw] = []
    while still_needed(asked, rule):
        asked.append(outcome[len(asked)])
    return asked


def main() -> None:
    agreement.same_answer = functools.cache(same_answer)  # the same few answers are compared many times
    every = questions()
    solved = [sum(draw.verified for draw in four) for four in every]
    print(f"{len(every)} questions; solved by 0 to 4 of the four: {[solved.count(n) for n in range(5)]}")
    print("\nTheir own four draws, all orders")
    show("one draw", made(every, in_all_orders, 1))
    show("fixed four", made(every, in_all_orders, 4))
    show("majority of 4, until decided", made(every, in_all_orders, Adaptive(most=4)))
    show("best of 4, until one verifies", made(every, in_all_orders, Adaptive(most=4, verified=1)))
    print(f"\nSampled from the four, {ROUNDS} rounds")
    for count in (4, 6, 8):
        show(f"fixed {count}", made(every, sampled, count))
    for most in (4, 8, 16):
        show(f"majority of {most}, until decided", made(every, sampled, Adaptive(most=most)))
    for rule in (
        Adaptive(most=4, verified=1),
        Adaptive(most=16, verified=1, give_up=4),
        Adaptive(most=16, verified=1, give_up=8),
        Adaptive(most=16, verified=2, give_up=6),
        Adaptive(most=16, verified=4, give_up=6),
        Adaptive(most=16, verified=4, give_up=8, per="difficulty"),
    ):
        words = " ".join(f"{name}={value}" for name, value in rule.model_dump(exclude_defaults=True).items())
        show(words, made(every, sampled, rule))


def show(name: str, one: Made) -> None:
    print(
        f"{name:44} {one.draws:6.2f} draws  majority right {one.majority_right:6.1%}  with a right draw {one.covered:6.1%}"
        f"  right draws {one.right:5.2f}  hard ones empty {one.hard_empty:6.1%}"
    )


if __name__ == "__main__":
    main()
