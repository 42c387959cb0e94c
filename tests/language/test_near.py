"""Names that were mistyped find the ones that were meant."""

import pytest

from synth.language.codes import mistaken
from synth.language.near import hint, nearest


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("juge", "judge"),
        ("ＪＵＤＧＥ", "judge"),
        ("exact-answer", "exact_answer"),
        ("丁寧語", "丁寧語か"),
        ("whatever", ""),
        ("", ""),
    ],
)
def test_a_name_is_near_whatever_its_width_case_and_hyphens(name, meant):
    assert nearest(name, ["judge", "exact_answer", "length", "丁寧語か"]) == meant
    assert hint(name, ["judge", "exact_answer", "length", "丁寧語か"]) == (
        f"; did you mean {meant!r}?" if meant else ""
    )


def test_a_name_is_never_said_to_mean_itself():
    assert nearest("teacher", ["teacher", "teachers"]) == "teachers"


@pytest.mark.parametrize(("code", "meant"), [("jp", "write 'ja'"), ("jpn", "write 'ja'"), ("xx", "no language")])
def test_a_code_that_no_text_is_told_by_is_mistaken(code, meant):
    assert meant in mistaken(code)


@pytest.mark.parametrize("code", ["ja", "en", "zh", "yue", "aa", "zu"])
def test_a_code_of_a_language_is_not_mistaken(code):
    assert mistaken(code) == ""
