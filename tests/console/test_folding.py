"""Where a line of a terminal may end."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from rich.text import Text

from synth.console.folding import folded, folded_text, longest_word


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("Nothing new is sent; what is in flight still ends.", 20, ["Nothing new is sent;", "what is in flight", "still ends."]),
        ("別々に二度求めた答えが一致した問題。", 34, ["別々に二度求めた答えが一致した問", "題。"]),
        ("答えは「はい」です、たぶん。", 8, ["答えは", "「はい」", "です、た", "ぶん。"]),
        ("Pythonの課題と、その答え", 10, ["Pythonの課", "題と、その", "答え"]),
        ("ちょっと待って", 6, ["ちょっ", "と待っ", "て"]),
        ("  indented\n\nnext", 20, ["  indented", "", "next"]),
        ("x" * 25, 10, ["x" * 10, "x" * 10, "x" * 5]),
        ("ああああ", 3, ["あ", "あ", "あ", "あ"]),
        ("", 10, [""]),
        ("duplicate\u00a022  refusal\u00a017", 20, ["duplicate\u00a022", "refusal\u00a017"]),
        ("重複\u00a022、評価不足\u00a03", 14, ["重複\u00a022、評価", "不足\u00a03"]),
    ],
)  # fmt: skip
def test_a_line_ends_between_words_and_never_before_a_full_stop(text, width, lines):
    assert folded(text, width).split("\n") == lines
    assert max(map(cell_len, lines)) <= width


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("answer_in_japanese", 10, ["answer_in_", "japanese"]),
        ("answer:score", 8, ["answer:", "score"]),
        ("https://example.com/v1/models", 12, ["https://", "example.com/", "v1/models"]),
        ("回答:よみがな", 6, ["回答:", "よみが", "な"]),
        ("a_verylongname", 7, ["a_veryl", "ongname"]),
    ],
)
def test_a_name_that_has_no_room_is_cut_after_a_part_of_it(text, width, lines):
    assert folded(text, width).split("\n") == lines


def test_folding_loses_nothing_but_blanks_at_the_ends_of_lines():
    text = "朝、健太さんの店には絵はがきが199枚ありました。Then 82 more came in at noon (12:00). 今は何枚ありますか？"
    for width in range(4, 60):
        assert folded(text, width).replace("\n", "").replace(" ", "") == text.replace(" ", "")


def test_a_text_keeps_its_colours_in_the_lines_it_is_folded_to():
    lines = folded_text(Text.assemble("two ", ("赤い", "red"), "花です。"), 4)
    assert [line.plain for line in lines] == ["two", "赤い", "花で", "す。"]
    assert [[(span.start, span.end, span.style) for span in line.spans] for line in lines] == [
        [],
        [(0, 2, "red")],
        [],
        [],
    ]


@pytest.mark.parametrize(("text", "cells"), [("", 0), ("attempts made", 8), ("長い名前です。", 4), ("tokens in", 6)])
def test_the_longest_word_is_what_may_not_be_cut(text, cells):
    assert longest_word(text) == cells
