"""The streaming line: what comes of a store does not depend on when its replies came."""

from __future__ import annotations

import asyncio
import json

import pytest

from synth import opening, pipeline
from synth.recipes.loading import load
from synth.results.result import Options
from synth.types import Outcome

RECIPE = """\
name: line
language: en
seeds: {{kind: jsonl, path: seeds.jsonl}}
teachers:
  main: {{model: m, base_url: "replay:none", sampling: {{max_tokens: 9}}, limits: {{max_in_flight: {in_flight}}}}}
stages:
  - name: answer
    draws: {draws}
    generator: {{kind: answer, prompt: ask.md.j2}}
    {stage}
selection: {{{selection}}}
"""
BROKEN = Outcome(500, b"{}")


def says(text: str) -> Outcome:
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    return Outcome(
        200, json.dumps({"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}).encode()
    )


class Playing:
    """A teacher that a function plays; `sent` holds the prompts that went out."""

    def __init__(self, play):
        self.play, self.sent = play, []

    async def send(self, request):
        prompt = json.loads(request.body)["messages"][-1]["content"]
        self.sent.append(prompt)
        await asyncio.sleep(0)
        return await self.play(prompt, request.draw)


@pytest.fixture
def line(tmp_path, monkeypatch):
    """Run the recipe with these questions on a played teacher; gives the result, the rows and the rejections."""
    monkeypatch.setattr("synth.sending.BACKOFF_S", 0.0)
    folder = tmp_path / "recipe"
    folder.mkdir()
    (folder / "ask.md.j2").write_text("{{ q }}")
    (folder / "judge.j2").write_text("JUDGE {{ answer }}")

    def run(teacher, questions, *, offline=False, in_flight=8, draws=1, stage="validators: []", selection=""):
        monkeypatch.setattr(opening, "replay", lambda base_url, folder: teacher)
        text = RECIPE.format(in_flight=in_flight, draws=draws, stage=stage, selection=selection)
        (folder / "recipe.yaml").write_text(text)
        (folder / "seeds.jsonl").write_text("".join(json.dumps({"q": q}) + "\n" for q in questions))
        options = Options(tmp_path / "run", offline=offline, accept_change=True)
        result = asyncio.run(pipeline.run(load(folder), options))
        read = [(tmp_path / "run" / name).read_text().splitlines() for name in ("rows.jsonl", "rejected.jsonl")]
        rows, rejected = ([json.loads(one) for one in lines] for lines in read)
        return result, [row["messages"][-1]["content"] for row in rows], [(r["id"], r["reason"]) for r in rejected]

    return run


@pytest.mark.parametrize("delay_s", [0.0, 0.1])
def test_the_best_draw_of_the_last_prompt_wins_however_late_it_comes(line, delay_s):
    async def play(prompt, draw):
        if prompt.startswith("JUDGE"):
            return says(json.dumps({"reason": "r", "score": 5 if "draw 1" in prompt else 3}))
        if draw == 1:
            await asyncio.sleep(delay_s)
        return says(f"{prompt} draw {draw}")

    stage = "scorers: [{kind: judge, rubric: judge.j2}]"
    asked = {"draws": 2, "stage": stage, "selection": "best_of: judge, rows: 1"}
    _, rows, rejected = line(Playing(play), ["one", "two", "three"], **asked)
    assert rows == ["one draw 1"]
    assert rejected == [("00000000/00/000", "not_best")]
    assert line(Playing(play), ["one", "two", "three"], offline=True, **asked)[1:] == (rows, rejected)


def test_a_row_target_leaves_the_same_files_whatever_lies_beyond_it(line):
    async def play(prompt, draw):
        await asyncio.sleep(0.02 if prompt.endswith(("0", "4")) else 0.001)
        return says(f"answer {prompt}")

    questions = [f"q{number}" for number in range(300)]
    asked = {"selection": "rows: 5"}
    first = line(Playing(play), questions, **asked)[1:]
    assert len(first[0]) == 5
    line(Playing(play), questions)  # all of them are in the store now
    assert line(Playing(play), questions, **asked)[1:] == first
    assert line(Playing(play), questions, offline=True, **asked)[1:] == first


@pytest.mark.parametrize(("good", "beyond"), [(1, 0), (2, 30), (10, 150)])
def test_little_is_asked_beyond_the_last_wanted_row_however_many_may_be_in_flight(line, good, beyond):
    async def play(prompt, draw):
        return says(f"answer {prompt}" if int(prompt[1:]) % good == 0 else "no")

    questions = [f"q{number}" for number in range(2000)]
    teacher, few = Playing(play), Playing(play)
    asked = {"stage": "validators: [{kind: length, min_chars: 5}]", "selection": "rows: 50"}
    wide = line(teacher, questions, in_flight=256, **asked)
    needed = 49 * good + 1
    assert len(wide[1]) == 50
    assert needed <= len(teacher.sent) <= needed + beyond
    line(few, questions, offline=True, **asked)
    assert not few.sent


def test_with_the_best_draw_wanted_a_run_ends_with_the_last_prompt_and_asks_for_no_other(line):
    async def play(prompt, draw):
        if prompt.startswith("JUDGE"):
            return says(json.dumps({"reason": "r", "score": 5 if "draw 1" in prompt else 3}))
        return says(f"{prompt} draw {draw}")

    stage = "scorers: [{kind: judge, rubric: judge.j2}]"
    asked = {"draws": 2, "stage": stage, "selection": "best_of: judge, rows: 3"}
    teacher = Playing(play)
    result, rows, _ = line(teacher, [f"q{number}" for number in range(40)], in_flight=64, **asked)
    assert rows == ["q0 draw 1", "q1 draw 1", "q2 draw 1"]
    assert len(teacher.sent) == 3 * 2 * 2
    assert (result.exit_code, result.manifest.state) == (0, "complete")


def test_a_row_target_leaves_the_same_files_whatever_became_of_the_last_prompts_later_draws(line):
    async def play(prompt, draw):
        return says(f"{prompt} への長い答えです。" if draw == 10_000 else "短い")  # the first draw, asked for anew

    questions = [f"q{number}" for number in range(4)]
    stage = "ask_again: 1\n    validators: [{kind: length, min_chars: 8}]"
    asked = {"draws": 4, "in_flight": 1, "stage": stage}
    wanted = {**asked, "selection": "per_prompt: 1, rows: 2"}
    first = line(Playing(play), questions, **wanted)[1:]
    assert first[1][-1] == ("00000001/00/000~1", "too_short")
    line(Playing(play), questions, **asked)  # all of them are in the store now
    assert line(Playing(play), questions, **wanted)[1:] == first


def test_stored_replies_are_found_behind_any_number_of_new_seeds(line):
    async def play(prompt, draw):
        return says(f"answer {prompt}")

    questions = [f"q{number}" for number in range(40)]
    line(Playing(play), questions, in_flight=1)
    result, rows, _ = line(Playing(play), [*(f"new {n}" for n in range(20)), *questions], in_flight=1, offline=True)
    assert len(rows) == 40
    assert result.exit_code != 0 or result.manifest.state == "partial"


def test_seeds_that_are_refused_unasked_are_told_however_early_the_run_stopped(line):
    async def play(prompt, draw):
        return says(f"answer {prompt}") if prompt in ("q0", "q1") else Outcome(401, b"{}")

    questions = [*(f"q{number}" for number in range(20)), "q1"]
    stopped = line(Playing(play), questions, in_flight=1)
    assert (stopped[0].exit_code, stopped[1]) == (4, ["answer q0", "answer q1"])
    assert stopped[2] == [("00000020", "repeated_seed")]
    assert line(Playing(play), questions, in_flight=1, offline=True)[1:] == stopped[1:]


def test_late_draws_of_a_prompt_count_once_toward_the_row_target(line):
    broken = True

    async def play(prompt, draw):
        return BROKEN if broken and draw == 1 and prompt in ("q0", "q1", "q2", "q3") else says(f"{prompt} {draw}")

    asked = {"draws": 2, "in_flight": 2, "selection": "per_prompt: 1, rows: 6"}
    line(Playing(play), [f"q{n}" for n in range(4)], **asked)
    broken = False
    result, rows, _ = line(Playing(play), [f"q{n}" for n in range(9)], **asked)
    assert len(rows) == 6
    assert result.exit_code == 0


def test_a_unit_parked_twice_keeps_the_place_it_lost(line):
    down = {"alpha", "gamma"}

    async def play(prompt, draw):
        return BROKEN if prompt in down else says("other words" if prompt == "beta" else "the very same answer")

    asked = {"stage": "dedupe: {by: answer}"}
    questions = ["alpha", "beta", "gamma"]
    line(Playing(play), questions, **asked)
    down = {"alpha"}
    assert line(Playing(play), questions, **asked)[1] == ["other words", "the very same answer"]
    down = set()
    _, rows, rejected = line(Playing(play), questions, **asked)
    assert rows == ["other words", "the very same answer"]
    assert rejected == [("00000000/00/000", "duplicate")]


def test_selection_finds_the_scores_of_every_stage(line, tmp_path):
    async def play(prompt, draw):
        return says(f"{prompt}について" * (9 if prompt == "長い話" else 1))

    (tmp_path / "recipe" / "again.j2").write_text("次：{{ q }}", encoding="utf-8")
    again = "  - {name: again, generator: {kind: answer, prompt: again.j2}, validators: []}"
    stage = f"validators: []\n    scorers: [{{kind: length}}]\n{again}"
    _, rows, rejected = line(Playing(play), ["短い話", "長い話"], stage=stage, selection="at_most: {length: 20}")
    assert rows == ["次：短い話について"]
    assert rejected == [("00000001/00/000/00/000", "below_threshold")]
