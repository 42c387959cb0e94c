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
        ("１２－４は？", "12−4は?"),
        ("Compute 12-4.", "compute 12 - 4"),
        ("Compute 2×(3+4)", "Compute 2 × (3 + 4)."),
        ("well-known", "Well known!"),
        ("- one\n- two", "one, two"),
        ("合計は５００円です！", "合計は500円です。"),
        ("9:30–10:45", "9:30-10:45"),
        ("10%かかります．1円未満は捨てます．", "10%かかります。1円未満は捨てます。"),
        ("値段は500円.3個では？", "値段は５００円。３個では？"),
    ],
)
def test_width_case_marks_and_blanks_do_not_matter(one, other):
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("はし", "ハシ"), ("3 - 2", "3 + 2"), ("-5", "5"), ("1.5", "15"), ("を１．５倍", "を15倍"), ("is .5", "is 5"), ("かき", "がき"), ("is a < b", "is a > b"),
        ("12 × 4", "12 ÷ 4"), ("12 - 4", "12 × 4"), ("12−4を計算", "12×4を計算"), ("x ≥ 3", "x ≤ 3"), ("x != y", "x = y"),
        ("a & b", "a | b"), ("pointers in C", "pointers in C#"), ("ポインタ（C言語）", "ポインタ（C++言語）"), ("😀", "🎉"),
        ("💴で払う", "💳で払う"), ("2 × (3 + 4)", "2 × 3 + 4"), ("10⁸", "108"), ("1½", "11/2"), ("5!を計算", "5を計算"),
        ("$5", "€5"), ("x - y", "x + y"), ("हिन्दी", "हन्दा")],
)  # fmt: skip
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
        ("A shop sells 3 apples and 5 pears. How many are left?", "A shop sells 5 apples and 3 pears. How many are left?"),
        ("What is 12 divided by 4?", "What is 4 divided by 12?"),
        ("Write 3.5 as a fraction in lowest terms.", "Write 5.3 as a fraction in lowest terms."),
        ("The train runs from 9:30–10:45. How long is the trip?", "The train runs from 10:30–9:45. How long is the trip?"),
        ("It was -5 degrees in the village and rose by 12. What is it now?",
         "It was 5 degrees in the village and rose by 12. What is it now?"),
        ("Tom has three apples and buys twelve more at the market.", "Tom has seven apples and buys twelve more at the market."),
        ("Explain in a few words what the expression a & b returns here.",
         "Explain in a few words what the expression a | b returns here."),
        ("Explain how pointers work in C and give a short example.", "Explain how pointers work in C# and give a short example."),
        ("三百円 五個 を買いました。合計はいくらになりますか。", "四百円 五個 を買いました。合計はいくらになりますか。"),
        ("りんごを三個買いました。合計はいくらですか。", "りんごを四個買いました。合計はいくらですか。"),
        ("次の式を筆算で計算してください。 12×4 途中も書くこと。", "次の式を筆算で計算してください。 12÷4 途中も書くこと。"),
        ("気温は−5度でした。昼までに12度上がりました。昼は何度ですか。", "気温は5度でした。昼までに12度上がりました。昼は何度ですか。"),
        ("半径が3.5cmの円の面積を求めてください。", "半径が5.3cmの円の面積を求めてください。"),
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


def test_a_text_of_marks_alone_has_its_like_for_twins_only():
    twins = Twins(Dedupe())
    assert twins.add("0", "！！！") is None
    assert twins.add("1", "？") is None
    assert twins.add("2", " ？\n") is not None
    assert twins.add("3", "a") is None


@pytest.mark.parametrize(
    ("text", "twin"),
    [
        ("A farmer has {} apples and sells half of them at the market on Monday. How many are left?",
         "A farmer has {} apples and sells half of them on the market on Monday. How many are left?"),
        ("農家がりんごを{}個持っていて、月曜日に市場で半分を売りました。残りは何個ですか。",
         "農家がりんごを{}個持っていて、月曜日に市場で半分売りました。残りは何個ですか。"),
    ],
)  # fmt: skip
def test_a_rewording_is_found_among_hundreds_of_one_template(text, twin):
    twins = Twins(Dedupe())
    assert [place for place in range(1000, 1400) if twins.add(str(place), text.format(place))] == []
    assert [twins.add("x", twin.format(place)).twin_id for place in (1000, 1300, 1399)] == ["1000", "1300", "1399"]


def test_a_number_word_and_its_digits_are_the_same_number():
    twins = Twins(Dedupe())
    assert twins.add("0", "Tom has three apples and buys twelve more apples at the market.") is None
    assert twins.add("1", "Tom has 3 apples and buys 12 more apples at the market.") is not None
    assert twins.add("2", "りんごを三つ買い、友だちと分けました。一人分はいくつですか。") is None
    assert twins.add("3", "りんごを3つ買い、友だちと分けました。1人分はいくつですか。") is not None


@pytest.mark.parametrize(
    "template",
    [
        "Tom has {} apples and buys {} more at the market.",
        "{} of us, or {}",
        "日本語で答えてください。Tom has {} apples and {} pears in all.",
    ],
)
def test_number_words_count_in_a_batch_as_they_do_one_by_one(template):
    words = ["two", "seven", "seventeen", "twenty", "dozen", "third", "ten", "tenor", "twofold", "halfway", "million"]
    texts = [template.format(one, other) for one in words for other in words]
    ids = [str(place) for place in range(len(texts))]
    one_by_one, at_once = Twins(Dedupe()), Twins(Dedupe())
    singly = [one_by_one.add(*pair) for pair in zip(ids, texts, strict=True)]
    assert at_once.add_batch(ids, texts) == singly
    assert at_once.summary() == one_by_one.summary()
    counted = [place for place, text in enumerate(texts) if not any(word in text for word in ("tenor", "fold", "way"))]
    assert not any(singly[place] for place in counted)


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
