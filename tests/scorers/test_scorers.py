"""Scorers: the exact answer, and the judge with its closed schema."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from synth.errors import RecipeError, Rejected
from synth.recipes.loading import load
from synth.scorers.exact_answer import ExactAnswer
from synth.scorers.judge import Judge, Verdict
from synth.types import Message, Sample


def sample(answer: str, **fields: Any) -> Sample:
    turns = (Message(role="user", content="問い"), Message(role="assistant", content=answer))
    return Sample(id="0/00/000", seed_id="0", parent_id="0", stage="a", draw=0, messages=turns, fields=fields)


class Judging:
    draw = 0

    def __init__(self, verdict: dict[str, Any]) -> None:
        self.verdict = verdict
        self.values: Any = None

    def render(self, template: str, values: Any) -> str:
        self.values = values
        return template

    async def text(self, messages: Any, *, teacher: str) -> Any:
        raise AssertionError(messages, teacher)

    async def schema(self, model: Any, messages: Any, *, teacher: str) -> Any:
        return model.model_validate(self.verdict)


@pytest.mark.parametrize(
    ("answer", "reference", "value"),
    [
        ("So she pays 5,600.\nA: $5,600", "5600", 1.0),
        ("計算すると\n答え: １２個", "12", 1.0),
        ("答え: 三千五百円", "3500円", 1.0),
        ("答え: 1.5万", "15000", 1.0),
        (r"Thus \boxed{\frac{1}{2}}", "0.5", 1.0),
        ("A: 13", "12", 0.0),
        ("答え: 12kg", "12g", 0.0),
        ("I do not know.", "12", 0.0),
        ("A: 72", "She sold 48/2 = 24.\n48+24 = 72\n#### 72", 1.0),
    ],
)
def test_the_final_answer_is_held_against_the_reference(answer, reference, value):
    scorer = ExactAnswer(reference="ref")
    score = asyncio.run(scorer.score(sample(answer, ref=reference), Judging({})))
    assert (score.name, score.value) == ("exact_answer", value)


@pytest.mark.parametrize("fields", [{}, {"ref": ""}, {"ref": None}])
def test_a_seed_without_a_reference_is_refused_not_scored(fields):
    with pytest.raises(Rejected, match="no_reference"):
        asyncio.run(ExactAnswer(reference="ref").score(sample("A: 1", **fields), Judging({})))


def test_the_judge_sees_question_and_answer_and_its_reason_is_kept():
    ask = Judging({"reason": "手順が正しい。", "score": 5})
    score = asyncio.run(Judge(language="ja", teacher="judge").score(sample("答え: 3", topic="算数"), ask))
    assert (score.value, score.detail) == (5.0, "手順が正しい。")
    assert ask.values == {"topic": "算数", "question": "問い", "answer": "答え: 3"}


@pytest.mark.parametrize(
    "verdict", [{"reason": "x", "score": 6}, {"reason": "x"}, {"score": 5}, {"reason": "x", "score": 5, "more": 1}]
)
def test_a_verdict_outside_the_closed_schema_is_no_verdict(verdict):
    with pytest.raises(ValidationError):
        Verdict.model_validate(verdict)


ALONE = """\
name: alone
language: {language}
seeds: {{kind: grid, axes: {{q: ["1 + 1?"]}}}}
teachers: {{main: {{model: m, base_url: "http://localhost:8000/v1"}}}}
stages:
  - name: answer
    generator: {{kind: answer, prompt: ask.md.j2}}
    scorers:
      - {{kind: judge{more}}}
"""


def alone(folder: Path, language: str, more: str = "") -> Path:
    (folder / "recipe.yaml").write_text(ALONE.format(language=language, more=more), encoding="utf-8")
    (folder / "ask.md.j2").write_text("{{ q }}", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("language", "words"), [("en", "Judge only"), ("ja", "採点してください"), ("fr", "Judge only")]
)
def test_a_recipe_that_stands_alone_has_the_judges_rubric(tmp_path, language, words):
    templates = load(alone(tmp_path, language)).templates
    (name,) = Judge(language=language).template_files()
    assert words in templates.render(name, {"question": "1 + 1?", "answer": "2"})
    assert name in templates.sources()
    (tmp_path / name).write_text("Mine: {{ answer }}", encoding="utf-8")
    assert load(tmp_path).templates.render(name, {"answer": "2"}) == "Mine: 2"


def test_a_rubric_that_is_not_there_is_named_with_its_place(tmp_path):
    with pytest.raises(RecipeError) as caught:
        load(alone(tmp_path, "en", ", rubric: judge.fr.md.j2"))
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.column) == (str(tmp_path / "recipe.yaml"), 9, 23)
    assert problem.field == "stages[0].scorers[0].rubric"
    assert "'judge.fr.md.j2'" in problem.message
