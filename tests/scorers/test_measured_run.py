"""A run whose answers are measured by a student and a reward model: selected by it, reported, and replayed."""

from __future__ import annotations

import asyncio
import json

import pytest

import synth
from synth.backends.practice.faults import faults_of
from synth.backends.practice.scoreboard import scoreboard
from synth.errors import RecipeError
from synth.pipeline import run
from synth.recipes.loading import Overrides, load, override
from synth.results.result import Options

RECIPE = """\
name: measured
language: {language}
license: cc0-1.0
seeds: {{kind: jsonl, path: seeds.jsonl}}
teachers:
  main: {{model: practice-1, base_url: "practice:", sampling: {{seed: 1}}}}
  student: {{model: practice-1, base_url: "practice:faultless"}}
  rewards: {{model: practice-reward-1, base_url: "practice:faultless"}}
stages:
  - name: answer
    draws: 3
    generator: {{kind: answer, prompt: answer.md.j2}}
    validators: []
    scorers:
      - {{kind: likelihood, teacher: student, measure: perplexity, name: perplexity}}
      - {{kind: likelihood, teacher: student, measure: ifd, name: ifd}}
      - {{kind: reward, teacher: rewards}}
      - {{kind: exact_answer, reference: answer}}
{selection}
"""
QUESTIONS = {
    "en": [(f"On which day of the week does 2000-1-{day} fall?", name) for day, name in enumerate(
        ("Saturday", "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday"), 1)],
    "ja": [(f"西暦2000年1月{day}日は何曜日ですか。", f"{name}曜日") for day, name in enumerate("土日月火水木金", 1)],
}  # fmt: skip


def recipe(folder, language="ja", selection="selection: {best_of: reward}"):
    (folder / "recipe.yaml").write_text(RECIPE.format(language=language, selection=selection), encoding="utf-8")
    (folder / "answer.md.j2").write_text("{{ question }}\n", encoding="utf-8")
    seeds = [json.dumps({"question": question, "answer": answer}) for question, answer in QUESTIONS[language]]
    (folder / "seeds.jsonl").write_text("\n".join(seeds), encoding="utf-8")
    return folder


def rows_of(result):
    return [json.loads(line) for line in (result.folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("language", QUESTIONS)
def test_rows_are_chosen_by_the_reward_and_carry_likelihoods(tmp_path, language):
    result = synth.run(recipe(tmp_path, language), folder=tmp_path / "run")
    rows = rows_of(result)
    scores = [{score["name"]: score["value"] for score in row["scores"]} for row in rows]
    assert len(rows) == 7
    assert all(one["exact_answer"] == 1 for one in scores)
    assert all(one["reward"] > 0 and one["perplexity"] > 1 and one["ifd"] > 0 for one in scores)
    assert set(result.manifest.scores) == {"perplexity", "ifd", "reward", "exact_answer"}
    (judge,) = result.manifest.judges
    assert (judge.name, judge.model, judge.own_answers, judge.rows) == ("reward", "practice-reward-1", False, 21)
    assert judge.agreement[0].auc in (1.0, None)
    page = result.report().path.read_text(encoding="utf-8")
    assert all(name in page for name in ("perplexity", "ifd", "reward"))
    teachers = load(tmp_path).recipe.teachers
    board = scoreboard(result.folder, {one.model: faults_of(one.base_url) for one in teachers.values()})
    assert board.good + sum(board.planted.values()) == 21
    card = (result.dataset / "README.md").read_text(encoding="utf-8")
    assert "practice-reward-1" in card


def test_thresholds_decide_again_and_an_export_reads_the_store_alone(tmp_path):
    loaded = load(recipe(tmp_path))
    result = synth.run(loaded, folder=tmp_path / "run")
    values = sorted(next(s["value"] for s in row["scores"] if s["name"] == "ifd") for row in rows_of(result))
    chosen = override(loaded, Overrides(selection={"require": {"reward": 0}, "at_most": {"ifd": values[3]}}))
    requests = sum(line.attempts for line in result.manifest.ledger)

    again = asyncio.run(run(chosen, Options(tmp_path / "run", offline=True)))
    assert 1 <= again.manifest.row_count <= 7
    assert sum(line.attempts for line in again.manifest.ledger) == requests
    for row in rows_of(again):
        found = {score["name"]: score["value"] for score in row["scores"]}
        assert found["ifd"] <= values[3]
        assert found["reward"] >= 0


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("reward, teacher: rewards", "reward, teacher: rewards, path: classify", "path"),
        ("measure: ifd, name: ifd", "measure: ifd, name: ifd, prompt: likelihood.chatml.md.j2", "prompt"),
    ],
)
def test_another_way_to_measure_is_a_change_that_is_noticed(tmp_path, old, new, what):
    synth.run(recipe(tmp_path), folder=tmp_path / "run")
    text = (tmp_path / "recipe.yaml").read_text(encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(RecipeError, match=rf"scorers.*\.{what}"):
        synth.run(tmp_path, folder=tmp_path / "run")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("reward, teacher: rewards", "reward", "the field 'teacher' is missing"),
        ("reward, teacher: rewards", "reward, teacher: nobody", "there is no teacher 'nobody'"),
        ("measure: perplexity", "measure: surprise", "'per_byte'"),
        ("name: ifd}", "name: ifd, prompt: nonesuch.j2}", "there is no template 'nonesuch.j2'"),
        ("best_of: reward", "best_of: rewards", "there is no score 'rewards'"),
        ("best_of: reward", "diverse: {order: [ifd, reward], below: 0.5}", "'reward' may be below 0"),
        ("measure: perplexity", "measure: per_byte", "'perplexity' may be below 0"),
        (
            "{kind: likelihood, teacher: student, measure: perplexity",
            "{kind: length, shortest: true",
            "'perplexity' may be below 0",
        ),
    ],
)
def test_a_recipe_that_measures_wrongly_is_told_before_the_first_request(tmp_path, old, new, message):
    diverse = "selection: {diverse: {order: [ifd, perplexity], below: 0.5}}"
    recipe(tmp_path, selection=diverse if "perplexity" in message else "selection: {best_of: reward}")
    load(tmp_path)
    text = (tmp_path / "recipe.yaml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "recipe.yaml").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(RecipeError, match=message):
        load(tmp_path)
