"""Draws that adapt: a prompt gets as many as it needs, and which those are does not depend on timing."""

from __future__ import annotations

import asyncio
import json
import random

import pytest

from synth import opening, pipeline
from synth.errors import RecipeError
from synth.recipes.loading import load
from synth.results.ending import PARKED_EXIT
from synth.results.result import Options
from synth.types import Outcome

RECIPE = """\
name: draws
language: en
seeds: {{kind: jsonl, path: seeds.jsonl}}
teachers:
  main: {{model: m, base_url: "replay:none", sampling: {{max_tokens: 9}}, limits: {{max_in_flight: 8}}}}
stages:
  - name: solve
    draws: {draws}
    generator: {{kind: answer, prompt: ask.md.j2, question: q}}
    validators: []
    scorers: {scorers}
selection: {{{selection}}}
"""
VERIFIED = "[{kind: exact_answer, reference: right}]"


def says(text: str) -> Outcome:
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    return Outcome(
        200, json.dumps({"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}).encode()
    )


class Scripted:
    """A teacher whose answers to each question are given, one for each draw."""

    def __init__(self, answers):
        self.answers, self.sent = answers, []

    async def send(self, request):
        question = json.loads(request.body)["messages"][-1]["content"]
        self.sent.append((question, request.draw))
        await asyncio.sleep(random.Random(f"{question}{request.draw}").random() / 100)
        answer = self.answers[question][request.draw]
        return answer if isinstance(answer, Outcome) else says(f"So the answer is {answer}.")


@pytest.fixture
def solve(tmp_path, monkeypatch):
    """Run with these answers by question; gives the result, the draws asked for by question, rows and rejections."""
    monkeypatch.setattr("synth.sending.BACKOFF_S", 0.0)
    folder = tmp_path / "recipe"
    folder.mkdir()
    (folder / "ask.md.j2").write_text("{{ q }}", encoding="utf-8")

    def run(answers, draws, *, scorers="[]", selection="", right=18, offline=False, teacher=None, tail=""):
        teacher = teacher or Scripted(answers)
        monkeypatch.setattr(opening, "replay", lambda base_url, folder: teacher)
        text = RECIPE.format(draws=draws, scorers=scorers, selection=selection) + tail
        (folder / "recipe.yaml").write_text(text, encoding="utf-8")
        seeds = [json.dumps({"q": question, "right": str(right)}, ensure_ascii=False) + "\n" for question in answers]
        (folder / "seeds.jsonl").write_text("".join(seeds), encoding="utf-8")
        result = asyncio.run(pipeline.run(load(folder), Options(tmp_path / "run", offline=offline)))
        lines = [(tmp_path / "run" / name).read_text(encoding="utf-8") for name in ("rows.jsonl", "rejected.jsonl")]
        asked = {question: sorted(draw for one, draw in teacher.sent if one == question) for question in answers}
        return result, asked, lines

    return run


def test_draws_end_when_the_others_could_not_change_the_majority(solve):
    answers = {"agreed": [18, 18, 18, 7, 7], "split": [18, 7, 18, 7, 18], "全部違う": [1, 2, 3, 4, 5]}
    result, asked, _ = solve(answers, "{most: 5}", selection="best_of: majority")
    assert asked == {"agreed": [0, 1, 2], "split": [0, 1, 2, 3, 4], "全部違う": [0, 1, 2, 3, 4]}
    record = result.manifest.stages[0].draws
    assert (record.prompts, record.most, record.made, record.hard, record.hard_empty) == (3, 15, 13, 1, 0)
    assert result.manifest.row_count == 3


def test_a_verified_prompt_is_left_alone_and_a_hopeless_one_given_up(solve):
    answers = {"easy": [18] * 8, "hard": [7, 7, 7, "十八", *[7] * 4], "hopeless": [7] * 8}
    draws = "{most: 8, verified: 1, give_up: 5}"
    result, asked, _ = solve(answers, draws, scorers=VERIFIED, selection="require: {exact_answer: 1}")
    assert asked == {"easy": [0], "hard": [0, 1, 2, 3], "hopeless": [0, 1, 2, 3, 4]}
    record = result.manifest.stages[0].draws
    assert (record.hard, record.hard_empty) == (2, 1)
    assert record.pass_rates == (1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1)
    assert result.manifest.row_count == 2


def test_a_prompt_that_nothing_can_verify_is_not_drawn_for_again(solve):
    answers = {"参照なし": [18] * 8}
    result, asked, (_, rejected) = solve(answers, "{most: 8, verified: 1}", scorers=VERIFIED, right="")
    assert asked == {"参照なし": [0]}
    assert json.loads(rejected)["reason"] == "no_reference"
    assert result.manifest.stages[0].draws.made == 1


def test_hard_prompts_get_more_verified_draws_than_easy_ones(solve):
    answers = {"easy": [18] * 12, "hard": [7, 18, 7, 18, 7, 18, 7, 18, 7, 18, 7, 18]}
    _, asked, (rows, _) = solve(answers, "{most: 12, verified: 4, per: difficulty}", scorers=VERIFIED)
    kept = [json.loads(row)["messages"][0]["content"] for row in rows.splitlines()]
    assert asked["easy"] == [0]
    assert asked["hard"] == [0, 1, 2, 3]
    assert kept.count("hard") == 4  # siblings that failed stay, with their verdicts


def test_easy_prompts_can_be_left_out_by_their_pass_rate(solve):
    answers = {"easy": [18] * 2, "hard": [7, 18]}
    draws = "{most: 2, verified: 2}"
    selection = "require: {exact_answer: 1}, at_most: {pass_rate: 0.5}"
    result, _, (rows, rejected) = solve(answers, draws, scorers=VERIFIED, selection=selection)
    assert [json.loads(row)["messages"][0]["content"] for row in rows.splitlines()] == ["hard"]
    assert "pass_rate is 1, at most 0.5 is allowed" in rejected
    assert result.manifest.not_selected == {"below_threshold": 3}


def test_the_same_store_gives_the_same_rows_without_a_request(solve):
    rng = random.Random(5)
    answers = {f"問{number}": [rng.choice([18, 18, 7, 9]) for _ in range(6)] for number in range(40)}
    draws, asked_with = "{most: 6}", {"selection": "best_of: majority"}
    _, _, lines = solve(answers, draws, **asked_with)
    silent = Scripted({})
    assert solve(answers, draws, teacher=silent, offline=True, **asked_with)[2] == lines
    assert silent.sent == []


def test_an_export_tells_of_parked_prompts_as_the_run_does(solve):
    useless = Outcome(200, b"<html>")
    answers = {"whole": [18, 18, 18], "torn": [18, useless, 18]}
    first, _, lines = solve(answers, "{most: 3}")
    again, _, exported = solve(answers, "{most: 3}", offline=True, teacher=Scripted({}))
    for result in (first, again):
        assert (result.exit_code, result.manifest.state) == (PARKED_EXIT, "partial")
        assert result.message.startswith("1 sample failed in the same way each time: parked, until `synth retry`")
    assert exported == lines


@pytest.mark.parametrize("requests", [7, 12, 14])
def test_after_a_budget_stop_the_record_tells_of_whole_prompts_and_an_export_gives_the_same(solve, requests):
    answers = {f"問{number}": [18, 18, 18, 7] if number % 2 else [18, 7, 9, 18] for number in range(6)}
    tail = f"budget: {{requests: {requests}}}\n"
    result, asked, lines = solve(answers, "{most: 4}", tail=tail)
    assert result.exit_code == 6
    record = result.manifest.stages[0].draws
    whole = [len(draws) for name, draws in asked.items() if len(draws) == (2 if int(name[1:]) % 2 else 4)]
    assert (record.prompts, record.made) == (len(whole), sum(whole)) if whole else record is None
    assert solve(answers, "{most: 4}", tail=tail, offline=True, teacher=Scripted({}))[2] == lines


def test_a_prompt_with_a_parked_draw_waits_as_a_whole_and_comes_back(solve, monkeypatch):
    monkeypatch.setattr("synth.sending.PATIENCE_S", 0.0)
    broken = Outcome(500, b"{}")
    answers = {"whole": [18, 18, 18], "torn": [18, broken, 18]}
    result, asked, (rows, rejected) = solve(answers, "{most: 3}")
    assert result.exit_code == PARKED_EXIT
    assert (rows.count("whole"), rows.count("torn")) == (2, 0)
    assert solve(answers, "{most: 3}", offline=True, teacher=Scripted({}))[2] == [rows, rejected]
    answers["torn"][1] = 7
    result, asked, (rows, _) = solve(answers, "{most: 3}")
    assert result.exit_code == 0
    assert asked == {"whole": [], "torn": [1, 2]}  # what had come was stored
    assert (rows.count("whole"), rows.count("torn")) == (2, 3)


@pytest.mark.parametrize(
    ("draws", "scorers", "said"),
    [
        ("{most: 4, verified: 1}", "[]", "needs a verifier among this stage's scorers"),
        ("{most: 4, verified: 1}", "[{kind: judge}]", "there is none, such as exact_answer"),
        ("{most: 4, verified: 1, by: 採点}", VERIFIED, "there is exact_answer"),
        ("{most: 4, give_up: 2}", "[]", "set `verified`"),
        ("{most: 4, verified: 5}", VERIFIED, "at most `most`, 4"),
        ("{most: 0}", "[]", "greater than or equal to 1"),
        ("0", "[]", "greater than or equal to 1"),
    ],
)
def test_a_rule_that_means_nothing_is_refused_before_the_first_request(solve, draws, scorers, said):
    with pytest.raises(RecipeError, match=said):
        solve({"q": [1]}, draws, scorers=scorers)
