"""Final answers are found and compared as what they mean."""

from __future__ import annotations

from fractions import Fraction

import pytest

from synth.answers import final_answer, same_answer
from synth.numerals import number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,234", 1234), ("１，２３４", 1234), ("3/4", Fraction(3, 4)), ("1 1/2", Fraction(3, 2)), ("50 %", 50), ("$5", 5),
        ("1.5e3", 1500), (r"\frac{1}{2}", Fraction(1, 2)), (r"$\dfrac{3}{4}$", Fraction(3, 4)), ("−7", -7), ("十二", 12),
        ("三千五百", 3500), ("1万2千", 12000), ("二〇二四", 2024), ("3億", 300_000_000), ("百", 100), ("2.5万円", 25000),
        ("1/0", None), ("いくつか", None), ("3 and 4", None), (r"1{,}000", 1000),
    ],
)  # fmt: skip
def test_numbers_are_read(text, value):
    assert number(text) == value


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Steps.\nA: 72", "72"), ("計算します。\n答え: 72個です。", "72個"), ("**Answer:** 72", "72"), ("x\n#### 1,000", "1,000"),
        (r"so \boxed{\frac{1}{2}} it is", r"\frac{1}{2}"), ("The answer is 42.", "42"), ("したがって、答えは12です。", "12"),
        ("She has 3 + 4 = 7 apples left", "7 apples"), ("答え：３２", "３２"), ('{"a": 1}', '{"a": 1}'), ("A: 1\nno\nA: 2", "2"),
    ],
)  # fmt: skip
def test_the_final_answer_is_found(text, answer):
    assert final_answer(text).text == answer


@pytest.mark.parametrize("text", ["", "わかりません", "nothing here", "三角形の話"])
def test_there_may_be_none(text):
    assert final_answer(text) is None


@pytest.mark.parametrize(
    ("given", "reference"),
    [
        ("72", "72.0"), ("72 apples", "72"), ("$18", "18"), ("1,000円", "1000"), ("１２個", "12"), ("十二個", "12"), ("2 km", "2000 m"),
        ("1時間", "60分"), ("1.5 kg", "1500g"), ("3 + 4 = 7", "7"), ("0.5", "1/2"), (r"\frac{1}{2}", "0.5"), ("Tokyo.", "tokyo"),
        ("2024-05-01", "2024年5月1日"), ("令和6年5月1日", "2024-05-01"), ("May 1, 2024", "2024-05-01"), ("Reiwa 6", "令和6年"),
        ("平成元年", "1989年"), ('{"b": 2, "a": "Ａ"}', '{"a": "a", "b": 2}'), ("50%", "50"), ("「東京」", "東京"), ("¥500", "500円"),
    ],
)  # fmt: skip
def test_answers_that_say_the_same(given, reference):
    assert same_answer(given, reference)


@pytest.mark.parametrize(
    ("given", "reference"),
    [
        ("72", "73"), ("2 km", "2 m"), ("5 kg", "5 km"), ("12", "1.2"), ("-7", "7"), ("東京", "京都"), ("3 or 4", "4"), ("", "0"),
        ("2024-05-01", "2024-05-02"), ('{"a": 1}', '{"a": 2}'), ("500円", "500ドル"), ("about", "12"), ("火曜日", "水曜日"),
    ],
)  # fmt: skip
def test_answers_that_differ(given, reference):
    assert not same_answer(given, reference)


@pytest.mark.parametrize("text", ["答え：12", "回答:12", "Ａ：12", "**答え**： 12", "最終的な答え：12円"])
def test_full_width_marks_are_marks(text):
    assert final_answer(text).how == "marked"
