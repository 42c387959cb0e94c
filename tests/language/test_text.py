"""What several checks take for a word."""

from __future__ import annotations

import random

import pytest

from synth.language.text import Count, several, units


def test_words_are_cut_at_blanks_and_punctuation_and_kana_and_kanji_one_by_one():
    assert units(["It's 3.14, isn't it? e-mail_x", "東京タワーはIt'sいい"]) == [
        ["it's", "3.14", "isn't", "it", "e", "mail", "x"],
        ["東", "京", "タ", "ワ", "ー", "は", "it's", "い", "い"],
    ]


def test_the_units_of_plain_texts_are_those_that_all_texts_are_cut_by():
    rng = random.Random(3)
    letters = "aZ0 9'.,_-!\n\t(e)"
    texts = ["".join(rng.choices(letters, k=40)) for _ in range(300)]
    with_kanji = units([f"{text} 漢" for text in texts])
    assert [[*cut, "漢"] for cut in units(texts)] == with_kanji


@pytest.mark.parametrize(
    ("count", "one", "said"),
    [
        (1, "row", "1 row"),
        (0, "row", "0 rows"),
        (2000, "row", "2,000 rows"),
        (1, "reply", "1 reply"),
        (3, "reply", "3 replies"),
        (2, "batch", "2 batches"),
    ],
)
def test_a_count_and_its_noun_agree(count, one, said):
    assert several(count, one) == said


@pytest.mark.parametrize(
    ("count", "english", "japanese"),
    [
        (0, "0 rows were refused, 0", "不採用 0 行、0"),
        (1, "1 row was refused, 1", "不採用 1 行、1"),
        (2000, "2,000 rows were refused, 2,000", "不採用 2,000 行、2,000"),
    ],
)
def test_the_words_of_a_text_follow_the_count_that_fills_it(count, english, japanese):
    assert "{0} {0:row was|rows were} refused, {0:}".format(Count(count)) == english
    assert "不採用 {0} 行、{0}".format(Count(count)) == japanese
