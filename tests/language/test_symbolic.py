"""Expressions are compared by math-verify, in a process that may hang or die without harm."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import ValidationError

from synth.language import symbolic
from synth.scorers.exact_answer import ExactAnswer
from synth.types import Message, Sample

needs_math = pytest.mark.skipif(
    not symbolic.installed(), reason="math-verify is not installed: pip install 'synth[math]'"
)


def score(answer: str, reference: str, **more) -> float:
    turns = (Message(role="user", content="問い"), Message(role="assistant", content=answer))
    sample = Sample(
        id="0/00/000", seed_id="0", parent_id="0", stage="a", draw=0, messages=turns, fields={"ref": reference}
    )
    return asyncio.run(ExactAnswer(reference="ref", **more).score(sample, None)).value


@needs_math
@pytest.mark.parametrize(
    ("answer", "reference", "value"),
    [
        (r"Thus \boxed{2\sqrt{2}}", r"\sqrt{8}", 1.0), (r"答え：$x^2+2x+1$", "(x+1)^2", 1.0), (r"\boxed{[0, 1)}", "[0,1)", 1.0), (r"\boxed{\left(0,1\right]}", "[0,1)", 0.0),
        (r"\boxed{\{3, 1\}}", r"\{1,3\}", 1.0), (r"答えは\boxed{\frac{\pi}{2}}です。", r"\frac{2\pi}{4}", 1.0), (r"\boxed{x^2}", "x^3", 0.0), ("答え：東京", "京都", 0.0),
    ],
)  # fmt: skip
def test_expressions_that_are_equal_are_the_same_answer(answer, reference, value):
    assert score(answer, reference, symbolic=True) == value


def test_without_being_asked_nothing_is_computed(monkeypatch):
    monkeypatch.setattr(symbolic, "equal", None)
    assert score(r"\boxed{2\sqrt{2}}", r"\sqrt{8}") == 0.0


def test_plain_numbers_never_reach_it(monkeypatch):
    monkeypatch.setattr(symbolic, "installed", lambda: True)
    monkeypatch.setattr(symbolic, "equal", None)
    assert score("答え：１９個", "18", symbolic=True) == 0.0
    assert score("答え：１８個", "18", symbolic=True) == 1.0


def test_without_the_package_the_recipe_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(symbolic, "installed", lambda: False)
    with pytest.raises(ValidationError, match=r"pip install 'synth\[math\]'"):
        ExactAnswer(reference="ref", symbolic=True)


@pytest.mark.parametrize(
    "worker",
    ["import time; time.sleep(99)", "raise SystemExit", "print('ready', flush=True); input()", "print('ready', flush=True); import time; time.sleep(99)"],
)  # fmt: skip
def test_a_worker_that_hangs_or_dies_is_replaced(monkeypatch, worker):
    symbolic._end()
    with monkeypatch.context() as patch:
        patch.setattr(symbolic, "WORKER", worker)
        patch.setattr(symbolic, "START_S", 0.5)
        patch.setattr(symbolic, "COMPARE_S", 0.5)
        assert symbolic.equal("x", "x") is False
        assert symbolic._running == []
    answering = "import sys\nprint('ready', flush=True)\nfor line in sys.stdin: print('true', flush=True)"
    monkeypatch.setattr(symbolic, "WORKER", answering)
    assert symbolic.equal("x", "y") is True
    symbolic._end()
