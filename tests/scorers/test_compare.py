"""Pairs are compared in both orders, and what a judge does not say is no score."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from synth import opening, pipeline
from synth.errors import RecipeError, Rejected
from synth.recipes.loading import load
from synth.results.result import Options
from synth.scorers.compare import Compare, Preference
from synth.types import Message, Outcome, Sample

RECIPE = """\
name: pairs
language: {language}
seeds: {{kind: jsonl, path: seeds.jsonl}}
teachers:
  main: {{model: writer, base_url: "replay:none", sampling: {{max_tokens: 99}}, limits: {{max_in_flight: 4}}}}
  judge: {{model: judge, base_url: "replay:none", sampling: {{max_tokens: 99}}, limits: {{max_in_flight: 4}}}}
stages:
  - name: answer
    generator: {{kind: answer, prompt: ask.md.j2, question: q}}
    validators: []
    scorers:
      - {scorer}
"""
COMPARE = "{kind: compare, teacher: judge, reference: old}"
BROKEN = Outcome(500, b"{}")


def sample(**fields: Any) -> Sample:
    turns = (Message(role="user", content="首都は？"), Message(role="assistant", content="東京です。"))
    return Sample(id="0/00/000", seed_id="0", parent_id="0", stage="a", draw=0, messages=turns, fields=fields)


class Leaning:
    """A judge that gives these verdicts in turn."""

    draw = 0

    def __init__(self, *better: str) -> None:
        self.better, self.asked = list(better), []

    def render(self, template: str, values: Any) -> str:
        self.asked.append((template, values["first"], values["second"]))
        return template

    async def text(self, messages: Any, *, teacher: str) -> Any:
        raise AssertionError(messages, teacher)

    async def schema(self, model: Any, messages: Any, *, teacher: str) -> Any:
        return model.model_validate({"reason": f"理由{len(self.asked)}", "better": self.better[len(self.asked) - 1]})


@pytest.mark.parametrize(
    ("before", "after", "value", "found"),
    [
        ("first", "second", 1.0, "better; 理由1 / 理由2"),
        ("second", "first", 0.0, "worse; 理由1 / 理由2"),
        ("tie", "tie", 0.5, "tie; "),
        ("first", "first", 0.5, "position_bias: first both times; "),
        ("second", "second", 0.5, "position_bias: second both times; "),
        ("first", "tie", 0.5, "tie, as only one verdict prefers an answer; "),
        ("tie", "first", 0.5, "tie, as only one verdict prefers an answer; "),
    ],
)
def test_only_what_both_orders_say_counts(before, after, value, found):
    ask = Leaning(before, after)
    score = asyncio.run(Compare(reference="old", language="ja", teacher="judge").score(sample(old="京都です。"), ask))
    assert (score.name, score.value) == ("compare", value)
    assert score.detail.startswith(found)
    file = "compare.ja.md.j2"
    assert ask.asked == [(file, "東京です。", "京都です。"), (file, "京都です。", "東京です。")]


@pytest.mark.parametrize("fields", [{}, {"old": ""}, {"old": None}, {"old": "　\n"}])
def test_without_another_answer_nothing_is_asked(fields):
    ask = Leaning()
    with pytest.raises(Rejected, match="no_reference"):
        asyncio.run(Compare(reference="old").score(sample(**fields), ask))
    assert ask.asked == []


@pytest.mark.parametrize("verdict", [{"reason": "x", "better": "A"}, {"better": "tie"}, {"reason": "x"}])
def test_a_preference_outside_the_closed_schema_is_none(verdict):
    with pytest.raises(ValidationError):
        Preference.model_validate(verdict)


class Playing:
    """Answers by the model that is asked; `sent` holds the judge's prompts."""

    def __init__(self, judge):
        self.judge, self.sent = judge, []

    async def send(self, request):
        body = json.loads(request.body)
        if body["model"] == "writer":
            return says(f"新しい{body['messages'][-1]['content']}")
        prompt = "\n".join(message["content"] for message in body["messages"])
        self.sent.append(prompt)
        said = self.judge(prompt)
        return said if isinstance(said, Outcome) else says(said)


def says(text: str) -> Outcome:
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    return Outcome(200, json.dumps({"choices": [choice], "usage": usage}).encode())


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """Run with a judge; gives the result, the scores of the rows, and the rejections."""
    monkeypatch.setattr("synth.sending.BACKOFF_S", 0.0)
    folder = tmp_path / "recipe"
    folder.mkdir()
    (folder / "ask.md.j2").write_text("{{ q }}", encoding="utf-8")

    def run(teacher, scorer=COMPARE, language="ja", questions=("問い一", "問い二", "問い三")):
        monkeypatch.setattr(opening, "replay", lambda base_url, folder: teacher)
        (folder / "recipe.yaml").write_text(RECIPE.format(language=language, scorer=scorer), encoding="utf-8")
        seeds = [json.dumps({"q": question, "old": f"古い{question}"}) + "\n" for question in questions]
        (folder / "seeds.jsonl").write_text("".join(seeds), encoding="utf-8")
        result = asyncio.run(pipeline.run(load(folder), Options(tmp_path / "run")))
        files = [tmp_path / "run" / name for name in ("rows.jsonl", "rejected.jsonl")]
        rows, rejected = ([json.loads(one) for one in path.read_text("utf-8").splitlines()] for path in files)
        return result, [row["scores"] for row in rows], rejected

    return run


def grade(prompt: str) -> str:
    return json.dumps({"reason": "よい", "score": 5})


def test_the_better_answer_wins_in_whichever_place_it_stands(judged):
    def newer(prompt):
        first = prompt.index("<first>\n新しい") if "<first>\n新しい" in prompt else None
        return json.dumps({"reason": "新しいほう", "better": "second" if first is None else "first"})

    teacher = Playing(newer)
    _, scores, _ = judged(teacher)
    assert [one["value"] for (one,) in scores] == [1.0, 1.0, 1.0]
    assert len(teacher.sent) == 6
    assert all("二つの回答を比べて" in prompt for prompt in teacher.sent)


@pytest.mark.parametrize("scorer", [COMPARE, "{kind: judge, teacher: judge}"])
@pytest.mark.parametrize("said", ["よい回答です。", '{"reason": "x", "score": 0, "better": "A"}'])
def test_what_cannot_be_read_is_no_score_of_zero_and_costs_nothing_again(judged, scorer, said):
    def silent(prompt):
        return said if "問い二" in prompt else json.dumps({"reason": "x", "score": 4, "better": "tie"})

    result, scores, rejected = judged(Playing(silent), scorer)
    assert len(scores) == 2
    assert [one["reason"] for one in rejected] == ["no_verdict"]
    assert rejected[0]["detail"].startswith("invalid_output: ")
    assert rejected[0]["scores"] == []
    assert 0.0 not in next(iter(result.manifest.scores.values()))
    again = Playing(silent)
    assert judged(again, scorer)[1:] == (scores, rejected)
    assert again.sent == []


def test_only_the_judgement_that_did_not_fit_is_asked_again(judged):
    broken = []

    def once(prompt):
        if "問い二" in prompt and not broken:
            broken.append(prompt)
            return "たぶん5点"
        return grade(prompt)

    teacher = Playing(once)
    _, scores, rejected = judged(teacher, "{kind: judge, teacher: judge}")
    assert ([one["value"] for (one,) in scores], rejected) == ([5.0, 5.0, 5.0], [])
    assert len(teacher.sent) == 4


@pytest.mark.parametrize("scorer", [COMPARE, "{kind: judge, teacher: judge}"])
def test_a_rerun_asks_only_for_judgements_that_never_came(judged, scorer):
    def failing(prompt):
        return BROKEN if "問い二" in prompt else json.dumps({"reason": "x", "better": "tie", "score": 3})

    result, scores, rejected = judged(Playing(failing), scorer)
    assert (result.exit_code, len(scores), rejected) == (3, 2, [])
    teacher = Playing(lambda prompt: json.dumps({"reason": "x", "better": "tie", "score": 3}))
    result, scores, rejected = judged(teacher, scorer)
    assert (result.exit_code, len(scores), rejected) == (0, 3, [])
    assert len(teacher.sent) == (2 if "compare" in scorer else 1)
    assert all("問い二" in prompt for prompt in teacher.sent)


def test_a_judge_that_declines_gives_no_verdict_on_the_answer(judged):
    refusal = {"message": {"content": None, "refusal": "I can't help."}, "finish_reason": "stop"}
    declined = Outcome(200, json.dumps({"choices": [refusal], "usage": {}}).encode())
    _, scores, rejected = judged(Playing(lambda prompt: declined), "{kind: judge, teacher: judge}")
    assert scores == []
    assert {one["reason"] for one in rejected} == {"no_verdict"}
    assert "teacher_refused" in rejected[0]["detail"]


@pytest.mark.parametrize(("language", "words"), [("en", "comparing two answers"), ("ja", "比べてください")])
def test_the_template_comes_in_each_language_and_one_beside_the_recipe_goes_first(tmp_path, language, words):
    folder = written(tmp_path, language, COMPARE)
    templates, (name,) = load(folder).templates, Compare(reference="old", language=language).template_files()
    values: dict[str, Any] = {"question": "q", "first": "one", "second": "other"}
    text = templates.render(name, values)
    assert words in text
    assert text.index("one") < text.index("other")
    (folder / name).write_text("Mine: {{ first }}", encoding="utf-8")
    assert load(folder).templates.render(name, values) == "Mine: one"


def test_a_reference_that_no_seed_has_is_named_with_its_place(tmp_path):
    with pytest.raises(RecipeError) as caught:
        load(written(tmp_path, "ja", "{kind: compare, teacher: judge, reference: older}"))
    (problem,) = caught.value.problems
    assert problem.field == "stages[0].scorers[0].reference"
    assert "there is no field 'older'; the fields here are q, old" in problem.message


def written(folder: Path, language: str, scorer: str) -> Path:
    (folder / "recipe.yaml").write_text(RECIPE.format(language=language, scorer=scorer), encoding="utf-8")
    (folder / "ask.md.j2").write_text("{{ q }}", encoding="utf-8")
    (folder / "seeds.jsonl").write_text(json.dumps({"q": "問い", "old": "答え"}), encoding="utf-8")
    return folder


REWRITING = """\
name: rewriting
language: {language}
seeds: {{kind: jsonl, path: seeds.jsonl}}
teachers:
  main: {{model: writer, base_url: "replay:none"}}
  judge: {{model: judge, base_url: "replay:none"}}
stages:
  - name: draft
    generator: {{kind: answer, prompt: ask.md.j2, question: q, keep_as: {keep_as}}}
    validators: []
  - name: rewrite
    generator: {{kind: answer, prompt: rewrite.md.j2, question: q}}
    validators: []
    scorers: [{{kind: compare, teacher: judge, reference: 下書き}}]
"""


def rewriting(folder: Path, language: str, keep_as: str = "下書き") -> Path:
    (folder / "recipe.yaml").write_text(REWRITING.format(language=language, keep_as=keep_as), encoding="utf-8")
    (folder / "ask.md.j2").write_text("{{ q }}", encoding="utf-8")
    (folder / "rewrite.md.j2").write_text("[{{ 下書き }}]", encoding="utf-8")
    (folder / "seeds.jsonl").write_text(json.dumps({"q": "問い"}), encoding="utf-8")
    return folder


@pytest.mark.parametrize("language", ["en", "ja"])
def test_an_answer_that_a_later_stage_rewrites_is_what_the_new_one_is_compared_with(tmp_path, monkeypatch, language):
    def longer(prompt):
        first = "<first>\n新しい[新しい問い]" in prompt
        return json.dumps({"reason": "長いほう", "better": "first" if first else "second"})

    teacher = Playing(longer)
    monkeypatch.setattr(opening, "replay", lambda base_url, folder: teacher)
    result = asyncio.run(pipeline.run(load(rewriting(tmp_path, language)), Options(tmp_path / "run")))
    (row,) = result.examples
    assert [message.content for message in row.messages] == ["問い", "新しい[新しい問い]"]
    assert row.score("compare") == 1.0
    assert all("\n新しい問い\n" in prompt for prompt in teacher.sent)


@pytest.mark.parametrize(
    ("keep_as", "words"), [("q", "the seeds have a field 'q'"), ("my draft", "pattern"), ("別名", "no field '下書き'")]
)
def test_a_kept_answer_has_a_name_that_is_free_and_that_templates_can_write(tmp_path, keep_as, words):
    with pytest.raises(RecipeError, match=words):
        load(rewriting(tmp_path, "ja", keep_as))
