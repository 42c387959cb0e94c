"""Fault 56: a check that raises. All plug-ins are synth's own so far, so none is kept in a process apart or timed."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import sqlite3
from pathlib import Path

import pytest
from pydantic import TypeAdapter

import synth
from synth.errors import Rejected
from synth.scorers.judge import Judge
from synth.types import Message, Sample
from synth.validators import Validator
from synth.validators.finished import Finished

KINDS = ("finished", "refusal", "length", "repetition", "language", "answer_format", "json_schema")


class Broken(BaseException):
    """What no boundary for plug-ins expects."""


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


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit, asyncio.CancelledError])
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
    validator = TypeAdapter(Validator).validate_python(
        {"kind": kind, **({"language": "en"} if kind == "language" else {})}
    )
    with contextlib.suppress(Rejected):
        validator.check(sample)
    assert sample == before
