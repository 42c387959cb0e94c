"""Length in words, or in characters where no blanks stand between words."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from synth.errors import RecipeError, Rejected
from synth.files.scoring import nobody
from synth.recipes.loading import load
from synth.scorers.length import Length
from synth.types import Message, Sample


def test_reasoning_counts_where_it_is_wanted_and_the_shortest_is_the_greatest():
    turn = Message(role="assistant", content="答えは三。", reasoning_content="一と二で三。")
    sample = Sample(id="0", seed_id="0", parent_id="0", stage="a", draw=0, messages=(turn,), fields={})
    values = [
        asyncio.run(scorer.score(sample, nobody(sample.id))).value
        for scorer in (Length(), Length(reasoning=True), Length(reasoning=True, shortest=True))
    ]
    assert values == [4, 9, -9]


def length(answer: str, question: str = "問い", per: str = "", **fields: Any) -> float:
    turns = (Message(role="user", content=question), Message(role="assistant", content=answer))
    sample = Sample(id="0/00/000", seed_id="0", parent_id="0", stage="a", draw=0, messages=turns, fields=fields)
    return asyncio.run(Length(per=per).score(sample, nobody(sample.id))).value


@pytest.mark.parametrize(
    ("answer", "units"),
    [
        ("The answer is 12,000 yen.", 5),
        ("It's a well-known naïve café.", 6),
        ("答えは12,000円です。", 7),
        ("答えは１２，０００円です。", 7),
        ("ｶﾞﾗｽ", 3),
        ("ガラス", 3),
        ("これはPythonのlist型です！", 9),
        ("東 京 タ ワ ー", 5),
        ("東京タワー", 5),
        ("𠮷野家", 3),
        ("```python\nprint(1)\n```", 3),
        ("서울은 수도입니다.", 2),
        ("हिन्दी भाषा।", 2),
        ("", 0),
        ("……！？", 0),
    ],
)
def test_words_and_characters_are_counted_and_punctuation_is_not(answer, units):
    assert length(answer) == units


def test_a_ratio_is_to_the_question_or_to_a_field():
    assert length("one two three", "one two", "question") == 1.5
    assert length("東京です。", "首都は？", "question") == pytest.approx(4 / 3)
    assert length("東京です", per="ref", ref="東京") == 2.0


@pytest.mark.parametrize("fields", [{}, {"ref": ""}, {"ref": "。"}, {"ref": None}])
def test_there_is_no_ratio_to_nothing(fields):
    with pytest.raises(Rejected, match="no_reference"):
        length("東京です", per="ref", **fields)


RECIPE = """\
name: short
language: ja
seeds: {{kind: grid, axes: {{q: ["首都は？"]}}}}
teachers: {{main: {{model: m, base_url: "http://localhost:8000/v1"}}}}
stages:
  - name: answer
    generator: {{kind: answer, prompt: ask.md.j2}}
    scorers: [{{kind: length, per: {per}}}]
selection: {{at_most: {{length: 3}}}}
"""


def test_a_recipe_selects_by_it_and_an_unknown_field_is_named(tmp_path):
    (tmp_path / "ask.md.j2").write_text("{{ q }}", encoding="utf-8")
    for per in ("question", "q"):
        (tmp_path / "recipe.yaml").write_text(RECIPE.format(per=per), encoding="utf-8")
        assert load(tmp_path).recipe.selection.at_most == {"length": 3}
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(per="answre"), encoding="utf-8")
    with pytest.raises(RecipeError, match="no field 'answre'"):
        load(tmp_path)
