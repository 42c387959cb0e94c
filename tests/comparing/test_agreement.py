"""The majority of several draws, and when another draw is worth asking for."""

from __future__ import annotations

import itertools
import random

import pytest
from pydantic import ValidationError

from synth.comparing.agreement import Adaptive, Draw, majority, pass_rate, still_needed


def draws(answers: str) -> list[Draw]:
    """One letter a draw: `.` has no answer, capitals are verified."""
    return [Draw(None if letter == "." else letter.lower(), letter.isupper()) for letter in answers]


@pytest.mark.parametrize(
    ("answers", "draw", "votes"),
    [
        (["72"], 0, 1), (["72", "71", "72.0"], 0, 2), (["71", "72", "７２個", "七十二"], 1, 3), (["a", "b"], 0, 1),
        ([None, "12", None, "１２円"], 1, 2), (["b", "a", "a", "b"], 0, 2), (["令和6年", "2024年", "2023年"], 0, 2), (["東京", "京都", "「東京」"], 0, 2),
    ],
)  # fmt: skip
def test_the_majority_is_the_first_said_of_the_largest(answers, draw, votes):
    vote = majority(answers)
    assert (vote.draw, vote.answer, vote.votes) == (draw, answers[draw], votes)


def test_without_any_answer_there_is_no_majority():
    assert majority([]) is None
    assert majority([None, None]) is None


def test_the_pass_rate_is_the_share_of_verified_draws():
    assert pass_rate(draws("aAbA"), Adaptive(most=4, verified=1)) == 0.5
    assert pass_rate(draws("aabc"), Adaptive(most=4)) == 0.5
    assert pass_rate([], Adaptive(most=4)) == 0.0


def asked(outcome: str, rule: Adaptive) -> str:
    """The draws that are asked for when these are what comes, in waves as large as the rule allows."""
    made = ""
    while more := still_needed(draws(made), rule):
        made += outcome[len(made) : len(made) + more]
    return made


@pytest.mark.parametrize(
    ("rule", "outcome", "made"),
    [
        ({"most": 4}, "aaaa", "aa"), ({"most": 4}, "abab", "aba"), ({"most": 4}, "abaa", "aba"), ({"most": 4}, "baaa", "baaa"), ({"most": 4}, "abcd", "abcd"), ({"most": 4}, "....", "...."),
        ({"most": 5}, "aabaa", "aaba"), ({"most": 5}, "aaaaa", "aaa"), ({"most": 1}, "a", "a"),
        ({"most": 8, "verified": 1}, "Abbbbbbb", "A"), ({"most": 8, "verified": 1}, "bbbAbbbb", "bbbA"), ({"most": 8, "verified": 1}, "bbbbbbbb", "bbbbbbbb"),
        ({"most": 8, "verified": 1, "give_up": 3}, "bbbAbbbb", "bbb"), ({"most": 8, "verified": 2, "give_up": 3}, "bAbbbAbb", "bAbbbA"), ({"most": 8, "verified": 2}, "AAbbbbbb", "AA"),
        ({"most": 8, "verified": 4, "per": "difficulty"}, "AAAAAAAA", "A"), ({"most": 8, "verified": 4, "per": "difficulty"}, "bbbAbAbA", "bbbAbAbA"), ({"most": 8, "verified": 2, "per": "difficulty"}, "bAAAAAAA", "bA"),
    ],
)  # fmt: skip
def test_draws_end_when_they_are_enough(rule, outcome, made):
    assert asked(outcome, Adaptive(**rule)) == made


@pytest.mark.parametrize("most", range(1, 6))
def test_stopping_early_never_changes_the_majority(most):
    rule = Adaptive(most=most)
    for outcome in map("".join, itertools.product("abc.", repeat=most)):
        made = asked(outcome, rule)
        assert getattr(majority([d.answer for d in draws(made)]), "draw", None) == getattr(
            majority([d.answer for d in draws(outcome)]), "draw", None
        )
        assert len(made) == most or still_needed(draws(made[:-1]), rule)


def test_a_wave_never_holds_a_draw_that_would_not_be_asked_for_one_by_one():
    rng = random.Random(3)
    for _ in range(500):
        most = rng.randint(1, 9)
        rule = Adaptive(
            most=most,
            verified=rng.randint(1, most),
            give_up=rng.choice([None, rng.randint(1, most)]),
            per=rng.choice(["prompt", "difficulty"]),
        )
        outcome = "".join(rng.choice("Abc.") for _ in range(most))
        single = next((n for n in range(most) if not still_needed(draws(outcome[:n]), rule)), most)
        assert asked(outcome, rule) == outcome[:single]


@pytest.mark.parametrize(
    "rule",
    [
        {"most": 4, "give_up": 2},
        {"most": 4, "per": "difficulty"},
        {"most": 4, "verified": 5},
        {"most": 4, "verified": 1, "give_up": 5},
        {"most": 0},
    ],
)
def test_a_rule_that_means_nothing_is_refused(rule):
    with pytest.raises(ValidationError):
        Adaptive(**rule)
