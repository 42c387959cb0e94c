"""Where a line of a terminal may end."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from synth.console.folding import folded


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
    ],
)  # fmt: skip
def test_a_line_ends_between_words_and_never_before_a_full_stop(text, width, lines):
    assert folded(text, width).split("\n") == lines
    assert max(map(cell_len, lines)) <= width


def test_folding_loses_nothing_but_blanks_at_the_ends_of_lines():
    text = "朝、健太さんの店には絵はがきが199枚ありました。Then 82 more came in at noon (12:00). 今は何枚ありますか？"
    for width in range(4, 60):
        assert folded(text, width).replace("\n", "").replace(" ", "") == text.replace(" ", "")
