"""JSON answers, field by field."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from synth.errors import Rejected
from synth.scorers.json_fields import JsonFields, found_json, same_value
from synth.types import Message, Sample, Score

EXPECTED = {
    "name": "トヨタ自動車",
    "founded": 1937,
    "address": {"city": "豊田市", "zip": "471-8571"},
    "products": ["車", "部品"],
}


def score(answer: str, expected: Any = EXPECTED) -> Score:
    turns = (Message(role="user", content="問い"), Message(role="assistant", content=answer))
    sample = Sample(
        id="0/00/000", seed_id="0", parent_id="0", stage="a", draw=0, messages=turns, fields={"ref": expected}
    )
    return asyncio.run(JsonFields(reference="ref").score(sample, None))


def test_the_share_of_fields_that_match_is_the_score():
    given = {
        **EXPECTED,
        "founded": "１９３７年",
        "address": {"city": "名古屋市", "zip": "４７１－８５７１"},
        "extra": 1,
    }
    found = score(json.dumps(given, ensure_ascii=False))
    assert found.value == pytest.approx(5 / 6)
    assert found.detail == 'address.city: "名古屋市", not "豊田市"'


def test_the_first_mismatches_are_named():
    found = score('{"products": ["車"]}')
    assert found.value == pytest.approx(1 / 6)
    assert (
        found.detail
        == 'name: missing, not "トヨタ自動車"; founded: missing, not 1937; address.city: missing, not "豊田市"; 2 more'
    )


@pytest.mark.parametrize("answer", ["すみません、わかりません。", "", "{", '"text"', "12", "[1, 2", "{'a': 1}"])
def test_an_answer_without_json_scores_nothing(answer):
    assert (score(answer).value, score(answer).detail) == (0.0, "no JSON in the answer")


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}', '\ufeff{"a": 1}', '```json\n{"a": 1}\n```', '結果は次のとおりです。\n```json\n{"a": 1}\n```\n以上です。', 'Here: {"a": 1}. Done.',
        '```json\n{"a": 0}\n```\nCorrected:\n```json\n{"a": 1}\n```',
    ],
)  # fmt: skip
def test_the_json_of_an_answer_is_found(text):
    assert found_json(text) == {"a": 1}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (12, 12.0), ("12", 12), ("1,200円", 1200), (1200, "１２００"), ("三千", 3000), ("東京　都", "東京 都"), ("ﾄﾖﾀ", "トヨタ"), ("TOKYO", "tokyo"), (0.1, "0.1"),
        (True, True), (None, None), ([], []), ({}, {}), ("50%", 50), (1e21, 10**21), (-3, "-3"), ("½", 0.5),
    ],
)  # fmt: skip
def test_values_that_say_the_same(given, expected):
    assert same_value(given, expected)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (12, 13), ("12", "12.0"), (True, 1), (1, True), (None, ""), ("", 0), ("東京", "京都"), ([], {}), ("3 or 4", 3), (None, False), ("null", None), (0, None), ("はい", True),
    ],
)  # fmt: skip
def test_values_that_differ(given, expected):
    assert not same_value(given, expected)


def test_the_expected_fields_may_be_json_in_a_text():
    assert score('{"価格": 1200}', '{"価格": 1200}').value == 1.0
    assert score('[{"a": 1}, {"a": 3}]', [{"a": 1}, {"a": 2}]).value == 0.5


def test_an_answer_may_be_nested_however_deep():
    assert score("[" * 1000 + "]" * 1000).value == 0.0
    assert score("[" * 9999 + "]" * 9999).detail == "no JSON in the answer"


@pytest.mark.parametrize("expected", [None, "", "トヨタ", "12", 12, {}, [], "{}"])
def test_a_seed_that_expects_nothing_is_refused_not_scored(expected):
    with pytest.raises(Rejected, match="no_reference"):
        score("{}", expected)
