"""Rows of files are scored by what asks a teacher: each reply is bought once, and a failure leaves no half of a file."""

from __future__ import annotations

import asyncio
import json
import signal
import time

import pytest

from synth.aside import BLOCKED_S
from synth.errors import Fatal, FolderError, Transient
from synth.files import parts
from synth.files.scoring import Asking, scoring
from synth.recipes.loading import load
from synth.types import Score
from tests.written import lines

RIGHT = {
    "バスが大阪市を出て、時速60kmで3時間走りました。進んだ道のりは何kmですか。": "道のりは速さ×時間で求めます。\n\n答え: 180km",
    "On which day of the week does 2000-1-1 fall?": "It is a Saturday.\n\nA: Saturday",
    "西暦2024年2月29日は何曜日ですか。": "答え: 木曜日",
}
WRONG = {"西暦2024年2月29日は何曜日ですか。": "答え: 月曜日"}
MEASURING = ("--scorer", "{kind: likelihood, teacher: student, measure: ifd, name: ifd}",
             "--scorer", "{kind: reward, teacher: rewards}", "--require", "reward=0",
             "--teacher", "student=practice:faultless,practice-1",
             "--teacher", "rewards=practice:faultless,practice-reward-1")  # fmt: skip


@pytest.fixture
def data(tmp_path):
    rows = [*RIGHT.items(), *WRONG.items()]
    lines = [json.dumps({"prompt": prompt, "completion": completion}) for prompt, completion in rows]
    (tmp_path / "data.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def test_likelihoods_and_rewards_of_a_file_are_bought_once_and_written_in_its_order(synth, data):
    finished = synth("score", "data.jsonl", *MEASURING, "--out", "scored")
    assert finished.returncode == 0, finished.stderr
    assert "4 rows: 3 kept, 1 removed" in finished.stdout
    # an answer after its question, the question, and the answer alone: one question has two answers; and the rewards
    assert "bought 15 requests for $0.0000" in finished.stdout
    scores = lines(data / "scored" / "scores.jsonl")
    assert [line["id"] for line in scores] == [f"data.jsonl:{number}" for number in range(1, 5)]
    assert all(line["ifd"] > 0 and "without the question" in line["ifd_detail"] for line in scores)
    assert [line["reward"] > 0 for line in scores] == [True, True, True, False]
    (removed,) = lines(data / "scored" / "removed.jsonl")
    assert (removed["row"], removed["reason"]) == (4, "below_threshold")
    again = synth("score", "data.jsonl", *MEASURING, "--out", "again")
    assert "bought 0 requests" in again.stdout
    assert "replies to commands on files" in synth("status", "runs/scores").stdout
    assert (data / "again" / "scores.jsonl").read_bytes() == (data / "scored" / "scores.jsonl").read_bytes()


RECIPE = """\
name: graded
language: ja
seeds: {kind: grid, axes: {q: ["1 + 1?"]}}
teachers:
  main: {model: practice-1, base_url: "practice:faultless"}
stages:
  - name: answer
    generator: {kind: answer, prompt: ask.md.j2}
    scorers: [{kind: judge}, {kind: likelihood, teacher: main, prompt: own.j2}]
budget: {requests: 8}
"""


def test_a_recipes_scorers_templates_and_budget_are_those_that_it_names(synth, data):
    (data / "recipe").mkdir()
    (data / "recipe" / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    (data / "recipe" / "ask.md.j2").write_text("{{ q }}", encoding="utf-8")
    (data / "recipe" / "own.j2").write_text("採点: {{ answer }}", encoding="utf-8")
    stopped = synth("score", "data.jsonl", "--recipe", "recipe", "--out", "scored")
    assert stopped.returncode == 6, stopped.stderr
    assert not (data / "scored" / "scores.jsonl").exists()
    finished = synth("score", "data.jsonl", "--recipe", "recipe", "--out", "scored", "--budget", "requests=50")
    assert finished.returncode == 0, finished.stderr
    assert [line["judge"] >= 4 for line in lines(data / "scored" / "scores.jsonl")] == [True, True, True, False]
    assert all(line["likelihood"] < 0 for line in lines(data / "scored" / "scores.jsonl"))


def test_a_judge_that_names_no_teacher_asks_the_first(synth, data):
    finished = synth("score", "data.jsonl", "--scorer", "judge", "--teacher", "main=practice:faultless,practice-1")
    assert finished.returncode == 0, finished.stderr
    assert "bought 4 requests" in finished.stdout


RESTRICTED = """\
name: restricted
language: ja
seeds: {kind: grid, axes: {q: ["1 + 1?"]}}
teachers:
  main: {model: gpt-4o, base_url: "https://gateway.example.org/v1"}
  grader: {model: practice-1, base_url: "practice:faultless"}
stages:
  - name: answer
    generator: {kind: answer, prompt: ask.md.j2}
    scorers: [{kind: judge, teacher: grader}]
budget: {usd: 5}
"""


def test_terms_and_prices_of_teachers_that_make_nothing_here_are_no_matter(synth, data):
    (data / "recipe.yaml").write_text(RESTRICTED, encoding="utf-8")
    (data / "ask.md.j2").write_text("{{ q }}", encoding="utf-8")
    made = synth("check", "recipe.yaml")
    assert made.returncode == 2
    assert "accept_terms: [openai]" in made.stderr
    assert "its price is not known" in made.stderr
    assert synth("validate", "data.jsonl", "--recipe", "recipe.yaml").returncode == 0
    scored = synth("score", "data.jsonl", "--recipe", "recipe.yaml")
    assert scored.returncode == 0, scored.stderr
    elsewhere = ("--teacher", "grader=https://gateway.invalid/v1,own")
    asked = synth("score", "data.jsonl", "--recipe", "recipe.yaml", *elsewhere)
    assert (asked.returncode, "The price of own at" in asked.stderr) == (2, True)
    heeded = synth("score", "data.jsonl", "--recipe", "recipe.yaml", *elsewhere, "--allow-unknown-price")
    assert (heeded.returncode, "price" in heeded.stderr) == (4, False)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (MEASURING[:4], 2, "The scorer 'ifd' asks a teacher, and nobody is asked here; name it with --teacher"),
        (MEASURING[:8], 2, "The scorer 'reward' asks the teacher 'rewards'; name it with --teacher rewards="),
        ((*MEASURING[:2], *MEASURING[6:]), 2, "--teacher rewards=...: no scorer asks this teacher"),
        ((*MEASURING[2:4], *MEASURING[2:4], *MEASURING[8:]), 2, "2 scorers are called 'reward'; set `name` to tell"),
        (("--scorer", "judge"), 2, "The scorer 'judge' asks a teacher, and nobody is asked here"),
        (
            ("--scorer", "{kind: judge, rubric: judge.jp.md.j2}", *MEASURING[6:8]),
            2,
            "there is no template 'judge.jp.md.j2'; did you mean 'judge.ja.md.j2'?",
        ),
        (
            ("--scorer", "{kind: judge, rubric: own.j2}", *MEASURING[6:8]),
            2,
            "own.j2:1: '話題' is not defined; the fields here are answer, completion, prompt, question",
        ),
        ((*MEASURING[:6], "--teacher", "student"), 2, "--teacher student=...: write BASE_URL,MODEL"),
        ((*MEASURING, "--teacher", "rewards=practice:,practice-1"), 4, "does not serve the model 'practice-1'"),
    ],
)
def test_whoever_cannot_be_asked_is_told_in_a_sentence_and_nothing_is_written(synth, data, options, code, said):
    (data / "own.j2").write_text("{{ 話題 }}", encoding="utf-8")
    finished = synth("score", "data.jsonl", *options, "--out", "scored")
    assert finished.returncode == code
    assert said in " ".join(finished.stderr.split())
    assert not list((data / "scored").glob("*")) if (data / "scored").exists() else True


class Failing:
    """A scorer whose teacher brings nothing for some rows."""

    name = "failing"

    def __init__(self, failure):
        self.failure = failure
        self.asked = []

    async def score(self, sample, ask):
        self.asked.append(sample.id)
        if "月曜日" in sample.answer():
            raise Transient(self.failure, "three times")
        return Score(name=self.name, value=1.0)


@pytest.mark.parametrize(("failure", "stops"), [("unreachable", True), ("poison", False)])
def test_a_row_that_nothing_came_for_stops_the_command_unless_nothing_ever_will(data, failure, stops):
    failing = Failing(failure)

    async def main():
        asking = Asking(asyncio.get_running_loop(), {}, None, "")

        def sifted():
            with scoring([failing], {}, None, {}, asking) as judge:
                return parts.sift([data / "data.jsonl"], None, judge)

        return await asyncio.to_thread(sifted)

    if stops:
        with pytest.raises(Fatal, match=r"1 row got no score .* run again"):
            asyncio.run(main())
    else:
        assert asyncio.run(main()).removed == {"no_verdict": 1}
    assert len(failing.asked) == 4


OWN = """\
import asyncio, time
from pathlib import Path
from synth.errors import FolderError, MissingPackage
from synth.own import Ask, Message, OwnScorer, Sample, Score

class Sleeping(OwnScorer):
    async def score(self, sample: Sample, ask: Ask) -> Score:
        if "月曜日" in sample.answer():
            time.sleep(600)
        return Score(name=self.name, value=1)

class Always(OwnScorer):
    async def score(self, sample: Sample, ask: Ask) -> Score:
        Path(__file__).with_name("met").touch()
        while True:
            pass

class Waiting(OwnScorer):
    async def score(self, sample: Sample, ask: Ask) -> Score:
        if "月曜日" in sample.answer():
            await asyncio.Event().wait()
        return Score(name=self.name, value=1)

class Raising(OwnScorer):
    async def score(self, sample: Sample, ask: Ask) -> Score:
        return Score(name=self.name, value=1 / ("月曜日" not in sample.answer()))

class Lacking(OwnScorer):
    async def score(self, sample: Sample, ask: Ask) -> Score:
        if "月曜日" in sample.answer():
            raise MissingPackage("a package is missing")
        return Score(name=self.name, value=1)

class Halving(OwnScorer):
    async def score(self, sample: Sample, ask: Ask) -> Score:
        half = chr(0xD800)
        if "月曜日" in sample.answer():
            raise ValueError(f"半分 {half}")
        return Score(name=self.name, value=1, detail=f"半分 {half}")

class Reading(OwnScorer):
    async def score(self, sample: Sample, ask: Ask) -> Score:
        raise FolderError("a folder is busy")

class Asking(OwnScorer):
    async def score(self, sample: Sample, ask: Ask) -> Score:
        await ask.text([Message(role="user", content="？")], teacher="main")
"""


def own_scorers(folder, kind):
    """Those of a recipe that names one of one's own, in the folder with the rows."""
    (folder / "own.py").write_text(OWN, encoding="utf-8")
    (folder / "ask.md.j2").write_text("{{ q }}", encoding="utf-8")
    scorers = f'[{{kind: "own.py:{kind}", name: mine}}]'
    written = RECIPE.replace("[{kind: judge}, {kind: likelihood, teacher: main, prompt: own.j2}]", scorers)
    (folder / "recipe.yaml").write_text(written, encoding="utf-8")
    return load(folder / "recipe.yaml").recipe.stages[-1].scorers


def scored_by_own(folder, kind, *, is_beside):
    """How many rows the scorer of one's own removed, by reason; in a thread beside a loop, or without one."""
    chosen = own_scorers(folder, kind)

    def sifted(asking=None):
        with scoring(chosen, {}, None, {}, asking) as judge:
            return parts.sift([folder / "data.jsonl"], None, judge).removed

    async def beside():
        return await asyncio.to_thread(sifted, Asking(asyncio.get_running_loop(), {}, None, ""))

    return asyncio.run(beside()) if is_beside else sifted()


@pytest.mark.parametrize("is_beside", [False, True])
@pytest.mark.parametrize("kind", ["Sleeping", "Waiting", "Raising", "Lacking"])
def test_a_row_at_which_a_scorer_of_ones_own_hangs_or_raises_is_removed_as_in_a_run(data, monkeypatch, kind, is_beside):
    monkeypatch.setattr("synth.aside.BLOCKED_S", 1.0)
    monkeypatch.setattr("synth.aside.IDLE_S", 0.5)
    assert scored_by_own(data, kind, is_beside=is_beside) == {"plugin_error": 1}


@pytest.mark.parametrize("is_beside", [False, True])
def test_a_scorer_of_ones_own_that_never_gives_way_ends_the_command_in_a_sentence(data, monkeypatch, is_beside):
    monkeypatch.setattr("synth.aside.BLOCKED_S", 0.5)
    said = r"'mine' brought 2 unexpected errors, the last own\.py:Always went on for 0\.5 s without an await"
    with pytest.raises(Fatal, match=said):
        scored_by_own(data, "Always", is_beside=is_beside)


@pytest.mark.parametrize("is_beside", [False, True])
def test_what_a_scorer_of_ones_own_raises_to_end_a_run_ends_the_command(data, is_beside):
    with pytest.raises(FolderError, match="a folder is busy"):
        scored_by_own(data, "Reading", is_beside=is_beside)


def test_half_of_a_surrogate_pair_in_what_a_scorer_says_is_written_as_what_cannot_be_read(data):
    (data / "own.py").write_text(OWN, encoding="utf-8")
    row = {"prompt": "年は？", "completion": "月曜日", "n": 2**80}
    with (data / "data.jsonl").open("a", encoding="utf-8") as file:
        file.write(f"\n{json.dumps(row)}")
    [scorer] = own_scorers(data, "Halving")
    with (data / "notes.jsonl").open("wb") as notes, scoring([scorer], {}, notes, {}, None) as judge:
        assert parts.sift([data / "data.jsonl"], data / "out", judge).removed == {"plugin_error": 2}
    assert {one["mine_detail"] for one in lines(data / "notes.jsonl")} == {"半分 \ufffd"}
    removed = lines(data / "out" / parts.REMOVED)
    assert all("半分 \ufffd" in one["detail"] for one in removed)


def test_a_scorer_of_ones_own_that_asks_is_told_where_it_may(data):
    with pytest.raises(Fatal, match="A scorer asks the teacher 'main', and nothing is asked here; run it in a"):
        scored_by_own(data, "Asking", is_beside=False)


def test_ctrl_c_ends_the_scoring_while_a_scorer_of_ones_own_computes(data, begin):
    own_scorers(data, "Always")
    process = begin("score", "data.jsonl", "--recipe", "recipe.yaml")
    while not (data / "met").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(BLOCKED_S / 2) == 130
