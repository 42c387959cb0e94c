"""What is chance: the exact test on known tables, and that intervals cover what they should."""

from __future__ import annotations

import random

import pytest

from synth.comparing.chance import CHANCE, corrected, difference


def pairs(better: int, worse: int, same: int) -> tuple[list[float], list[float]]:
    return [1.0] * better + [0.0] * worse + [1.0] * same, [0.0] * better + [1.0] * worse + [1.0] * same


@pytest.mark.parametrize(("better", "worse", "p"), [(8, 1, 20 / 512), (3, 0, 0.25), (6, 0, 2 / 64), (5, 5, 1.0)])
def test_of_yes_and_no_the_test_is_mcnemars_and_pairs_that_agree_say_nothing(better, worse, p):
    for same in (0, 30):
        found = difference(*pairs(better, worse, same))
        assert found is not None
        assert found.p == pytest.approx(p)
        assert found.pairs == better + worse + same


def test_a_difference_has_its_sign_and_its_size():
    found = difference([4.0, 5.0, 4.5, 5.0, 4.0, 4.5, 5.0, 4.5], [3.0, 3.5, 4.0, 3.0, 3.5, 3.0, 4.0, 4.0])
    assert found is not None
    assert found.mean == pytest.approx(1.0625)
    assert found.p == pytest.approx(2 / 2**8)  # all eight are above
    assert found.interval is not None
    assert 0.4 < found.interval[0] < 1.0625 < found.interval[1] < 1.7


def test_few_pairs_and_pairs_that_are_all_alike_have_no_interval():
    assert difference([], []) is None
    few, alike = difference([1.0, 0.0], [0.0, 0.0]), difference([1.0] * 20, [1.0] * 20)
    assert few is not None
    assert alike is not None
    assert (few.interval, alike.interval, alike.p) == (None, None, 1.0)


def test_an_interval_of_95_per_cent_holds_the_truth_about_as_often():
    draw = random.Random(5)
    held = 0
    for _ in range(150):
        one = [draw.gauss(0.4, 1) for _ in range(12)]
        found = difference(one, [0.0] * 12)
        assert found is not None
        assert found.interval is not None
        held += found.interval[0] <= 0.4 <= found.interval[1]
    assert 0.90 <= held / 150 <= 0.99


def test_chance_alone_is_called_more_than_chance_in_one_of_twenty_at_most():
    draw = random.Random(7)
    called = 0
    for _ in range(200):
        one, other = ([float(draw.random() < 0.7) for _ in range(40)] for _ in range(2))
        found = difference(one, other)
        assert found is not None
        called += found.p < CHANCE
    assert called / 200 <= 0.07


def test_several_comparisons_at_once_are_held_to_more():
    assert corrected([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert corrected([0.9, 0.8]) == [1.0, 1.0]


def test_the_same_values_give_the_same_figures():
    one, other = [random.Random(1).random() for _ in range(50)], [0.5] * 50
    assert difference(one, other) == difference(one, other)
