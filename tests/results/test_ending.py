"""What is said at the end of a run."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from synth.results.ending import NOTHING, in_both, left_at_hosts, parked_for


@pytest.mark.parametrize(
    ("parked", "poison", "said", "japanese"),
    [
        (
            1,
            0,
            "1 sample got no usable reply: parked, to be asked for once more when you run again.",
            "1 件は使える返答がなく保留しました。もう一度実行すると尋ね直します。",
        ),
        (
            2,
            2,
            "2 samples failed in the same way each time: parked, until `synth retry` asks again.",
            "2 件は毎回同じ失敗をしたため保留しました。`synth retry` でもう一度尋ねます。",
        ),
        (
            7,
            3,
            "7 samples got no usable reply: parked, to be asked for once more when you run again, but for 3 that failed in "
            "the same way each time: `synth retry`.",
            "7 件は使える返答がなく保留しました。もう一度実行すると尋ね直します（うち毎回同じ失敗をした 3 件は "
            "`synth retry`）。",
        ),
    ],
)
def test_who_is_asked_again_by_what_is_said_of_parked_samples(parked, poison, said, japanese):
    assert parked_for(parked, poison) == (said, japanese)


def test_what_is_had_in_english_only_stands_in_it_among_the_japanese():
    assert in_both([("One.", "一つ。"), NOTHING, ("A host's words.", "")]) == (
        "One. A host's words.",
        "一つ。A host's words.",
    )
    assert in_both([("A host's words.", ""), NOTHING]) == ("A host's words.", "")


def test_what_lies_at_hosts_is_told_of_those_that_hold_something():
    teachers = [
        SimpleNamespace(endpoint=SimpleNamespace(host=host), batches=left and SimpleNamespace(left=left))
        for host, left in (("a.example", (3, 1)), ("b.example", None), ("c.example", (0, 0)), ("d.example", (1200, 2)))
    ]
    english, japanese = left_at_hosts(teachers)
    assert english.startswith("3 requests in 1 batch at a.example; 1,200 requests in 2 batches at d.example: run again")
    assert japanese.startswith(
        "a.example のバッチ 1 個に 3 件、d.example のバッチ 2 個に 1,200 件が残っています。もう一度"
    )
    assert left_at_hosts(teachers[1:3]) == NOTHING
