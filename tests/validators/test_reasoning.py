"""Whether an answer comes with reasoning that can be learnt from."""

from __future__ import annotations

import pytest

from synth.errors import Rejected
from synth.types import Message, Sample
from synth.validators.reasoning import Reasoning


def checked(thought, **options):
    turns = (
        Message(role="user", content="1+2は？"),
        Message(role="assistant", content="3です。", reasoning_content=thought),
    )
    Reasoning(**options).check(Sample(id="0", seed_id="0", parent_id="0", stage="a", draw=0, messages=turns, fields={}))


@pytest.mark.parametrize(
    "thought", ["1に2を足すと3になる。", "One and two are three. Let me check: three less two is one. Yes."]
)
def test_reasoning_passes(thought):
    checked(thought, min_chars=5, max_chars=100)


@pytest.mark.parametrize(
    ("thought", "options", "reason"),
    [
        (None, {}, "no_reasoning: there is an answer alone: '3です。'"),
        ("　\n", {}, "no_reasoning"),
        ("足す。", {"min_chars": 5}, "too_short: 3 characters of reasoning"),
        ("1に2を足すと3になる。", {"max_chars": 5}, "too_long: 12 characters of reasoning"),
        ("1に2を足す。" + "いや、もう一度確かめます。" * 40, {}, "repetition: the reasoning ends in"),
        ("Add them. " + "Wait, let me check again. " * 40, {}, "repetition"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(thought, options, reason):
    with pytest.raises(Rejected, match=reason):
        checked(thought, **options)
