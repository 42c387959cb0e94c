"""Twins in English and Japanese: what is the same, what only looks alike."""

from __future__ import annotations

import random

import pytest

from synth.dedupe import Dedupe, Twins, normalise

LONG_JA = "次の文章を読んで、筆者が最も言いたいことを三十字以内でまとめ、その理由も二つ挙げてください。"
LONG_EN = (
    "Read the passage below, then sum up in one sentence what the author wants to say and give two reasons for it."
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ｈｅｌｌｏ，　ｗｏｒｌｄ！", "hello world"),
        ("ｶﾞｷﾞｸﾞ", "ガギグ"),
        ("東京都の人口は？", "東京都の人口は?"),
        ("「Python」で書いて。", "Pythonで書いて"),
        ("a\u200bb  c\n", "ab c"),
        ("１２３円", "123円"),
    ],
)
def test_width_case_marks_and_blanks_do_not_matter(one, other):
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("はし", "ハシ"), ("3 - 2", "3 + 2"), ("-5", "5"), ("1.5", "15"), ("かき", "がき"), ("is a < b", "is a > b")],
)
def test_what_changes_the_meaning_stays(one, other):
    assert normalise(one) != normalise(other)


@pytest.mark.parametrize(
    ("text", "twin"),
    [
        (LONG_EN, LONG_EN.replace("one sentence", "a single sentence")),
        (LONG_EN, "Please " + LONG_EN.lower()),
        (LONG_JA, LONG_JA.replace("挙げてください", "書いてください")),
        (LONG_JA, "問題です。" + LONG_JA),
        ("def f(x): を日本語で説明してください。引数と戻り値にも触れてください。",
         "def f(x): を日本語で説明して下さい。引数と戻り値にも触れて下さい。"),
    ],
)  # fmt: skip
def test_the_same_in_slightly_other_words_is_a_near_twin(text, twin):
    twins = Twins(Dedupe())
    assert twins.add("0", text) is None
    match = twins.add("1", twin)
    assert match is not None
    assert (match.twin_id, match.kind) == ("0", "near")
    assert 0.6 <= match.similarity < 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("りんごを12個、みかんを30個買いました。全部で何個ですか。", "りんごを15個、みかんを31個買いました。全部で何個ですか。"),
        ("Mia buys 12 mugs at $3 each. How much does she pay?", "Mia buys 13 mugs at $3 each. How much does she pay?"),
        ("日本の首都はどこですか。", "フランスの大統領は誰ですか。"),
        ("Name the capital of France.", "Explain how photosynthesis works."),
    ],
)  # fmt: skip
def test_other_numbers_and_other_questions_are_no_twins(one, other):
    twins = Twins(Dedupe())
    assert twins.add("0", one) is None
    assert twins.add("1", other) is None


def test_without_near_only_equal_texts_are_twins():
    twins = Twins(Dedupe(near=False))
    assert twins.add("0", LONG_JA) is None
    assert twins.add("1", "問題です。" + LONG_JA) is None
    match = twins.add("2", LONG_JA.replace("、", "，"))
    assert match is not None
    assert (match.twin_id, match.kind, match.similarity) == ("0", "exact", 1.0)


def test_an_empty_text_has_empty_twins_only():
    twins = Twins(Dedupe())
    assert twins.add("0", "！！！") is None
    assert twins.add("1", "？") is not None
    assert twins.add("2", "a") is None


def test_two_indexes_fed_alike_say_alike():
    rng = random.Random(5)
    words = ["東京", "大阪", "料理", "の", "作り方", "を", "教えて", "ください", "簡単な", "三つ", "recipe", "short"]
    texts = ["".join(rng.choices(words, k=3)) for _ in range(400)]

    def told() -> list[str]:
        twins = Twins(Dedupe())
        return [match.twin_id if (match := twins.add(str(place), text)) else "" for place, text in enumerate(texts)]

    first = told()
    assert first == told()
    assert any(first)
    assert not all(first)
