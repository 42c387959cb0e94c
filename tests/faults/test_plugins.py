"""Fault 56: plug-ins that raise, hang or change what they are given. Checks in a user's file run in a process apart."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import os
import pickle
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import TypeAdapter

import synth
from synth import pipeline
from synth.apart import COMMAND, FIRST_S, SIZE
from synth.aside import BLOCKED_S
from synth.errors import Rejected, Stalled
from synth.live.progress import Progress
from synth.recipes.loading import load
from synth.results.result import Options, Result
from synth.scorers.judge import Judge
from synth.teacher import Teacher
from synth.types import Message, Sample
from synth.validators import Known, Validator
from synth.validators.finished import Finished

KINDS = sorted(kind.model_fields["kind"].default for kind in get_args(get_args(Known)[0]))
NEEDED = {
    "grounded": {"passages": ["instruction"]},
    "home_units": {"readers": "en"},
    "kept": {"of": ["instruction"]},
    "language": {"language": "en"},
    "mentions": {"of": "list"},
    "register": {"wanted": "polite"},
    "tool_use": {"about": "list", "least": {"a": 1}},
}
"""Options without which a check cannot be written."""


class Broken(BaseException):
    """What no boundary for synth's own checks expects."""


def planted(monkeypatch, error: BaseException) -> None:
    """One sample of many meets a check that raises this."""
    check = Finished.check

    def raising(self, sample):
        if sample.id.endswith("/002/01/000"):
            raise error
        check(self, sample)

    monkeypatch.setattr(Finished, "check", raising)


def replies(folder: Path) -> tuple[int, int]:
    """How many replies of use are stored, and how many different ones."""
    connection = sqlite3.connect(folder / "run.db")
    row = connection.execute(
        "SELECT count(*), count(DISTINCT key) FROM attempt JOIN settled ON attempt = id WHERE failure = 'ok'"
    ).fetchone()
    connection.close()
    return row


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit, asyncio.CancelledError])
def test_fault_56_a_validator_that_raises_rejects_its_sample_and_no_other(write_recipe, tmp_path, monkeypatch, error):
    recipe = write_recipe("practice:faultless")
    whole = synth.run(recipe, folder=tmp_path / "whole", limit=1)
    planted(monkeypatch, error("planted"))
    result = synth.run(recipe, folder=tmp_path / "run", limit=1)
    lines = (tmp_path / "run" / "rejected.jsonl").read_bytes().splitlines()
    found = [one for one in map(json.loads, lines) if one["reason"] == "plugin_error"]
    assert [one["id"] for one in found] == ["00000000/00/002/01/000"]
    assert f"{error.__name__}: planted" in found[0]["detail"]
    assert result.exit_code == 0
    assert result.manifest.row_count == whole.manifest.row_count  # the other draw of its prompt is chosen


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit, asyncio.CancelledError, Broken])
def test_fault_56_a_scorer_that_raises_rejects_its_sample_and_no_other(write_recipe, tmp_path, monkeypatch, error):
    score = Judge.score

    async def raising(self, sample, ask):
        if sample.id.endswith("/002/01/000"):
            raise error("planted")
        return await score(self, sample, ask)

    monkeypatch.setattr(Judge, "score", raising)
    result = synth.run(write_recipe("practice:faultless"), folder=tmp_path / "run", limit=1)
    lines = (tmp_path / "run" / "rejected.jsonl").read_bytes().splitlines()
    found = [one for one in map(json.loads, lines) if one["reason"] == "plugin_error"]
    assert ([one["id"] for one in found], result.exit_code) == (["00000000/00/002/01/000"], 0)
    assert f"{error.__name__}: planted" in found[0]["detail"]


def test_fault_56_what_no_boundary_catches_ends_the_run_and_loses_nothing(write_recipe, tmp_path, monkeypatch):
    recipe = write_recipe("practice:faultless")
    with monkeypatch.context() as patched:
        planted(patched, Broken("planted"))
        with pytest.raises(Broken, match="planted"):
            synth.run(recipe, folder=tmp_path / "run", limit=1)
    kept, _ = replies(tmp_path / "run")
    assert kept > 0
    assert synth.run(recipe, folder=tmp_path / "run", limit=1).exit_code == 0
    every, different = replies(tmp_path / "run")
    assert every == different


@pytest.mark.parametrize("kind", KINDS)
def test_fault_56_no_check_changes_the_sample_it_looks_at(kind):
    fields = {"instruction": "数えてください", "list": [1, {"a": ["x"]}]}
    messages = (Message(role="user", content="2 + 2?"), Message(role="assistant", content="It is 4.\n\nA: 4"))
    sample = Sample(id="0/00/000", seed_id="0", parent_id="0", stage="answer", draw=0, messages=messages, fields=fields)
    before = copy.deepcopy(sample)
    validator = TypeAdapter(Validator).validate_python({"kind": kind, **NEEDED.get(kind, {})})
    with contextlib.suppress(Rejected):
        validator.check(sample)
    assert sample == before


RECIPE = """\
name: own
language: ja
seeds: {kind: jsonl, path: seeds.jsonl}
teachers: {main: {model: practice-1, base_url: "practice:faultless"}}
stages:
  - name: answer
    generator: {kind: answer, prompt: ask.md.j2}
    validators: [{kind: "checks.py:Mine", third: 3番}]
"""
CHECKS = """\
import os, re, subprocess, sys, time
from pathlib import Path
from synth.own import OwnValidator, Rejected, Sample

class Broken(BaseException):
    pass

class Mine(OwnValidator):
    third: str

    def check(self, sample: Sample) -> None:
        if self.third in sample.question() or {every}:
            Path(__file__).with_name("met").write_text(str(os.getpid()))
            {does}
"""
FOREVER = "while True: pass"


@pytest.fixture
def own(tmp_path):
    """Write a recipe of six seeds with a check that does this at the third, or at each."""

    def written(does: str, *, every: bool = False) -> Path:
        folder = tmp_path / "recipe"
        folder.mkdir(exist_ok=True)
        (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
        (folder / "ask.md.j2").write_text("{{ q }}を教えてください。", encoding="utf-8")
        seeds = "".join(json.dumps({"q": f"{number}番"}, ensure_ascii=False) + "\n" for number in range(1, 7))
        (folder / "seeds.jsonl").write_text(seeds, encoding="utf-8")
        (folder / "checks.py").write_text(CHECKS.format(does=does, every=every), encoding="utf-8")
        return folder

    return written


def ended(recipe: Path) -> bool:
    """Whether the process that met the sample is gone."""
    try:
        os.kill(int((recipe / "met").read_text()), 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("time.sleep(600)", "checks.py:Mine, given a sample, took longer than 3 s and was ended"),
        (FOREVER, "checks.py:Mine, given a sample, took longer than 3 s and was ended"),
        ('re.match("(あ+)+$", "あ" * 60 + "い")', "checks.py:Mine, given a sample, took longer than 3 s and was ended"),
        ("raise Broken('壊れた')", "Broken: 壊れた (checks.py, line 14)"),
        ("sys.exit(3)", "SystemExit: 3 (checks.py, line 14)"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt (checks.py, line 14)"),
        ("os._exit(7)", "checks.py:Mine, given a sample, ended its process (exit code 7)"),
    ],
)
def test_fault_56_what_an_own_check_does_refuses_its_sample_and_no_other(own, tmp_path, monkeypatch, does, says):
    monkeypatch.setattr("synth.apart.CHECK_S", 3.0)
    monkeypatch.setattr("synth.apart.FIRST_S", 3.0)
    recipe = own(does)
    result = synth.run(recipe, folder=tmp_path / "run", quiet=True)
    assert result.exit_code == 0, result.message
    (refused,) = result.rejected
    assert (len(result.rows), refused["id"], refused["reason"]) == (5, "00000002/00/000", "plugin_error")
    assert says in refused["detail"].splitlines()[0]
    assert ended(recipe)


def test_fault_56_an_export_has_the_rows_behind_a_sample_at_which_an_own_check_hangs(own, tmp_path, monkeypatch):
    monkeypatch.setattr("synth.apart.CHECK_S", 3.0)
    monkeypatch.setattr("synth.apart.FIRST_S", 3.0)
    recipe, rows = own(FOREVER), tmp_path / "run" / "rows.jsonl"
    synth.run(recipe, folder=tmp_path / "run", quiet=True)
    before = rows.read_bytes()
    assert before.count(b"\n") == 5
    asyncio.run(pipeline.run(load(recipe), Options(tmp_path / "run", offline=True)))
    assert rows.read_bytes() == before


def test_fault_56_the_loop_goes_on_while_an_own_check_hangs(own, tmp_path, monkeypatch):
    monkeypatch.setattr("synth.apart.FIRST_S", 3.0)
    monkeypatch.setattr("synth.apart.CHECK_S", 3.0)
    monkeypatch.setattr("synth.apart.LONG_S", 0.5)
    recipe = own(FOREVER)
    _, told = asyncio.run(told_meanwhile(recipe, tmp_path / "run"))
    assert len(told) > 20  # a loop that waits for the check would not have come by while it hung
    said = r"checks\.py:Mine has taken \d s over a sample, and is ended after 3 s"
    assert all(re.fullmatch(said, one) for one in told if one)
    assert any(told)
    assert not told[0]


async def told_meanwhile(recipe: Path, folder: Path) -> tuple[Result, list[str]]:
    """Run, and what was told of plug-ins that take long at each moment since one met its sample."""
    seen: list[Progress] = []
    told: list[str] = []
    observed = pipeline.run(load(recipe), Options(folder), lambda progress, _: seen.append(progress))
    run = asyncio.create_task(observed)
    while not run.done():
        if (recipe / "met").exists():
            told.append(" ".join(seen[0].held_by()))
        await asyncio.sleep(0.01)
    return await run, told


def test_fault_56_what_an_own_check_changes_is_not_exported(own, tmp_path):
    recipe = own(
        'sample.fields["q"] = "変えた"; object.__setattr__(sample.messages[-1], "content", "変えた")', every=True
    )
    result = synth.run(recipe, folder=tmp_path / "run", quiet=True)
    assert (result.exit_code, len(result.rows)) == (0, 6)
    assert (recipe / "met").exists()
    assert "変えた" not in (tmp_path / "run" / "rows.jsonl").read_text(encoding="utf-8")


def test_fault_56_an_own_check_that_always_hangs_stops_the_run_and_loses_nothing(own, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("synth.apart.FIRST_S", 0.2)
        recipe = own(FOREVER, every=True)
        result = synth.run(recipe, folder=tmp_path / "run", quiet=True)
    assert result.exit_code == 4
    assert "'checks.py:Mine' brought 2 unexpected errors" in result.message
    assert "took longer than 0.2 s and was ended" in result.message
    assert (len(result.rows), len(result.rejected)) == (0, 2)  # the others are left for the next run
    own("pass")
    again = synth.run(recipe, folder=tmp_path / "run", quiet=True)
    assert (again.exit_code, len(again.rows)) == (0, 6)
    every, different = replies(tmp_path / "run")
    assert every == different


def test_fault_56_an_own_check_that_came_to_an_end_may_hang_four_times(own, tmp_path, monkeypatch):
    monkeypatch.setattr("synth.apart.FIRST_S", 3.0)
    monkeypatch.setattr("synth.apart.CHECK_S", 0.5)
    recipe = own("time.sleep(60 * (sample.question()[0] in '3456'))", every=True)
    result = synth.run(recipe, folder=tmp_path / "run", quiet=True)
    assert (result.exit_code, len(result.rows), len(result.rejected)) == (0, 2, 4)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_fault_56_a_signal_ends_a_run_whose_own_check_hangs(own, tmp_path, number):
    recipe = own(FOREVER, every=True)
    with started("import synth.apart; synth.apart.FIRST_S = 2.0", recipe, tmp_path / "run") as process:
        while not (recipe / "met").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        assert process.wait(60) == 130
    assert ended(recipe)


def test_fault_56_ctrl_c_twice_ends_a_run_within_the_first_time_of_an_own_check(own, tmp_path):
    recipe = own(FOREVER, every=True)
    with started("", recipe, tmp_path / "run") as process:
        assert interrupted_twice(process, recipe, tmp_path / "run", within_s=FIRST_S / 2) == 130
    assert ended(recipe)
    own("pass")
    again = synth.run(recipe, folder=tmp_path / "run", quiet=True)
    assert (again.exit_code, len(again.rows)) == (0, 6)
    assert replies(tmp_path / "run") == (6, 6)


def interrupted_twice(process: subprocess.Popen[bytes], recipe: Path, folder: Path, within_s: float) -> int:
    """The exit code of a run to which Ctrl-C comes twice, the first when all its replies are kept and own code works."""
    assert process.stderr is not None
    while not (recipe / "met").exists() or replies(folder) != (6, 6):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    while b"Ctrl-C again stops at once" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    return process.wait(within_s)


@contextlib.contextmanager
def started(first: str, recipe: Path, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run in a process of its own, which does something first."""
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"{heeding}\n{first}\nfrom synth.cli import main; main()",
            "run",
            recipe,
            "--out",
            folder,
        ],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_fault_56_the_process_of_own_checks_says_nothing_when_nobody_waits_for_its_answer(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, json.dumps(sys.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    raw = pickle.dumps((str(tmp_path), []))
    assert process.communicate(len(raw).to_bytes(SIZE) + raw)[1] == b""
    assert process.returncode == 0


SCORERS = """\
import asyncio, time
from pathlib import Path
from synth.own import Ask, Message, OwnScorer, Sample, Score

class Never(OwnScorer):
    async def score(self, sample: Sample, ask: Ask) -> Score:
        await asyncio.Event().wait()

class Asking(OwnScorer):
    async def score(self, sample: Sample, ask: Ask) -> Score:
        for turn in range(3):
            said = await ask.text([Message(role="user", content=f"{turn}: {sample.answer()}")], teacher="main")
        return Score(name=self.name, value=len(said.text))

class Sleeping(OwnScorer):
    async def score(self, sample: Sample, ask: Ask) -> Score:
        said = await ask.text([Message(role="user", content=sample.answer())], teacher="main")
        if "3番" in sample.question():
            Path(__file__).with_name("met").write_text("3")
            time.sleep(600)
        return Score(name=self.name, value=len(said.text))

class Computing(OwnScorer):
    async def score(self, sample: Sample, ask: Ask) -> Score:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.compute(sample))
        return Score(name=self.name, value=1)

    async def compute(self, sample: Sample) -> None:
        while "3番" in sample.question():
            Path(__file__).with_name("met").write_text("3")

class Always(OwnScorer):
    async def score(self, sample: Sample, ask: Ask) -> Score:
        Path(__file__).with_name("met").write_text("1")
        count = 0
        while True:
            count += 1

class Leaving(OwnScorer):
    async def score(self, sample: Sample, ask: Ask) -> Score:
        if "3番" in sample.question():
            raise asyncio.CancelledError
        if "4番" in sample.question():
            raise SystemExit
        return Score(name=self.name, value=1)

class Changing(OwnScorer):
    async def score(self, sample: Sample, ask: Ask) -> Score:
        sample.fields["q"] = "変えた"
        object.__setattr__(sample.messages[-1], "content", "変えた")
        return Score(name=self.name, value=1)
"""


@pytest.fixture
def scored(own):
    """Write the recipe with a scorer of one's own in place of the check."""

    def written(kind: str) -> Path:
        folder = own("pass")
        (folder / "scorers.py").write_text(SCORERS, encoding="utf-8")
        kept = RECIPE.partition("    validators:")[0]
        text = f'{kept}    validators: []\n    scorers: [{{kind: "scorers.py:{kind}", name: mine}}]\n'
        (folder / "recipe.yaml").write_text(text, encoding="utf-8")
        return folder

    return written


def test_fault_56_an_own_scorer_that_waits_for_ever_is_refused_as_one_that_raises(scored, tmp_path, monkeypatch):
    monkeypatch.setattr("synth.aside.IDLE_S", 0.2)
    result = synth.run(scored("Never"), folder=tmp_path / "run", quiet=True)
    assert (result.exit_code, len(result.rows)) == (4, 0)
    assert "TimeoutError: scorers.py:Never waited 0.2 s for something other than a reply" in result.message
    assert {row["reason"] for row in result.rejected} == {"plugin_error"}


def test_fault_56_an_own_scorer_that_waits_for_replies_has_all_the_time_they_take(scored, tmp_path, monkeypatch):
    complete = Teacher.complete

    async def slow(self, request, unit):
        await asyncio.sleep(0.5 if unit.stage == "answer:score" else 0)
        return await complete(self, request, unit)

    monkeypatch.setattr("synth.aside.IDLE_S", 0.4)
    monkeypatch.setattr(Teacher, "complete", slow)
    result = synth.run(scored("Asking"), folder=tmp_path / "run", quiet=True)
    assert (result.exit_code, len(result.rows)) == (0, 6)


def test_fault_56_what_an_own_scorer_changes_is_not_exported(scored, tmp_path):
    result = synth.run(scored("Changing"), folder=tmp_path / "run", quiet=True)
    assert (result.exit_code, [row["scores"][0]["value"] for row in result.rows]) == (0, [1] * 6)
    assert "変えた" not in (tmp_path / "run" / "rows.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["Sleeping", "Computing"])
def test_fault_56_an_own_scorer_that_does_not_give_way_is_refused_and_holds_up_nothing_else(
    scored, tmp_path, monkeypatch, kind
):
    monkeypatch.setattr("synth.aside.BLOCKED_S", 3.0)
    result, told = asyncio.run(told_meanwhile(scored(kind), tmp_path / "run"))
    assert len(told) > 20  # a loop that waits for the scorer would not have come by meanwhile
    said = rf"scorers\.py:{kind} has gone on for \d s without an await, and is left behind after 3 s"
    assert all(re.fullmatch(said, one) for one in told if one)
    assert any(told)
    assert (result.exit_code, len(result.rows)) == (0, 5)
    (refused,) = result.rejected
    assert (refused["id"], refused["reason"]) == ("00000002/00/000", "plugin_error")
    said = rf"scorers\.py:{kind} went on for 3 s without an await \(scorers\.py, line \d+\) and was left behind; put"
    assert re.match(said, refused["detail"])


def test_fault_56_what_was_under_way_beside_an_own_scorer_that_was_left_behind_is_the_same_row(
    scored, tmp_path, monkeypatch
):
    monkeypatch.setattr("synth.aside.BLOCKED_S", 1.0)
    recipe, rows = scored("Sleeping"), tmp_path / "run" / "rows.jsonl"
    synth.run(recipe, folder=tmp_path / "run", quiet=True)
    before = rows.read_bytes()
    (recipe / "scorers.py").write_text(SCORERS.replace("time.sleep(600)", "raise ValueError"), encoding="utf-8")
    synth.run(recipe, folder=tmp_path / "run", quiet=True, accept_change=True)
    assert rows.read_bytes() == before
    assert before.count(b"\n") == 5


def test_fault_56_an_own_scorer_that_never_gives_way_stops_the_run_in_a_sentence(scored, tmp_path, monkeypatch):
    monkeypatch.setattr("synth.aside.BLOCKED_S", 0.5)
    before = {*threading.enumerate()}
    result = synth.run(scored("Always"), folder=tmp_path / "run", quiet=True)
    assert (result.exit_code, len(result.rows)) == (4, 0)
    ends = time.monotonic() + 60
    while any(one.name == "synth-aside" for one in {*threading.enumerate()} - before):  # none computes on
        assert time.monotonic() < ends
        time.sleep(0.05)
    said = r"'answer' brought 2 unexpected errors, the last scorers\.py:Always went on for 0\.5 s without an await"
    assert re.match(said, result.message)


def test_fault_56_an_own_scorer_that_would_end_its_thread_is_refused_as_one_that_raises(scored, tmp_path):
    result = synth.run(scored("Leaving"), folder=tmp_path / "run", quiet=True)
    assert (result.exit_code, len(result.rows)) == (0, 4)
    assert [row["id"] for row in result.rejected] == ["00000002/00/000", "00000003/00/000"]


def test_fault_56_ctrl_c_is_heard_while_an_own_scorer_computes_and_twice_it_ends_the_run(scored, tmp_path):
    recipe = scored("Always")
    with started("", recipe, tmp_path / "run") as process:
        assert interrupted_twice(process, recipe, tmp_path / "run", within_s=BLOCKED_S / 2) == 130
        assert process.stderr is not None
        assert b"Warning" not in process.stderr.read()
    assert replies(tmp_path / "run") == (6, 6)


def test_fault_56_a_run_in_which_nothing_moves_and_nobody_is_asked_ends(scored, tmp_path, monkeypatch):
    monkeypatch.setattr("synth.pipeline.QUIET_S", 1.0)
    with pytest.raises(Stalled):
        synth.run(scored("Never"), folder=tmp_path / "run", quiet=True)
    assert "scorers.py" in (tmp_path / "run" / "stalled.txt").read_text(encoding="utf-8")
