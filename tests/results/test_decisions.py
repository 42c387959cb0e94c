"""What a person decides of single rows is what the dataset becomes, from the store alone."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import synth as library
from synth.results.decisions import Decision
from synth.results.selection import Diverse, Selection, select
from synth.types import Message, Rejection, Sample, Score
from tests.written import lines

OUTPUTS = ("rows.jsonl", "rejected.jsonl", "by_hand.jsonl", "dataset/README.md")
EDITED = "書き直した答え: 12個"


def sample(parent: str, draw: int, judge: float, answer: str = "答え: 3") -> Sample:
    messages = (Message(role="user", content="1+2は？"), Message(role="assistant", content=answer))
    return Sample(
        id=f"{parent}/{draw:02d}/000", seed_id=parent, parent_id=parent, stage="answer", draw=draw, messages=messages,
        fields={}, scores=(Score(name="judge", value=judge),),
    )  # fmt: skip


def told(samples: list[Sample], selection: Selection, **decided: str) -> dict[str, str]:
    names = {name.replace("_", "/") + "/000": decision for name, decision in decided.items()}
    decisions = {name: Decision.model_validate({"id": name, "decision": one}) for name, one in names.items()}
    found = select(samples, selection, decisions)
    return {one.id.removesuffix("/000"): one.reason if isinstance(one, Rejection) else "row" for one in found}


DRAWN = [sample("a", 0, 3), sample("a", 1, 5), sample("a", 2, 4), sample("b", 0, 1)]
BEST = Selection(best_of="judge", require={"judge": 2})


def test_an_accepted_sample_is_a_row_whatever_selection_says_and_beside_the_best():
    chosen = told(DRAWN, BEST, a_00="accept", b_00="accept")
    assert chosen == {"a/00": "row", "a/01": "row", "a/02": "not_best", "b/00": "row"}


def test_a_rejected_best_draw_makes_room_for_the_next():
    chosen = told(DRAWN, BEST, a_01="reject")
    assert chosen == {"a/01": "by_hand", "a/00": "not_best", "a/02": "row", "b/00": "below_threshold"}


def test_an_accepted_row_counts_among_those_wanted():
    chosen = told([sample(parent, 0, 1) for parent in "abc"], Selection(rows=2, require={"judge": 0}), b_00="accept")
    assert chosen == {"a/00": "row", "b/00": "row"}


def test_an_accepted_row_stays_though_it_is_like_a_better_one():
    alike = Selection(diverse=Diverse(by="question", order=["judge"], below=0.5))
    drawn = [sample("a", 0, 5), sample("b", 0, 4), sample("c", 0, 3)]
    assert told(drawn, alike, c_00="accept") == {"a/00": "row", "b/00": "not_diverse", "c/00": "row"}


@pytest.fixture
def made(write_recipe: Any, tmp_path: Path) -> tuple[Path, Path]:
    """A recipe and its finished run."""
    recipe = write_recipe()
    library.run(recipe, folder=tmp_path / "run")
    return recipe, tmp_path / "run"


def saved(folder: Path, decisions: list[dict[str, Any]], **changed: Any) -> Path:
    with closing(sqlite3.connect(folder / "run.db")) as connection:
        run = connection.execute("SELECT value FROM meta WHERE name = 'identity'").fetchone()[0]
    content = {"synth": "decisions", "version": 1, "run": run, "decisions": decisions} | changed
    path = folder.parent / "decisions.json"
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


def edit(row: dict[str, Any], text: str = EDITED) -> dict[str, Any]:
    messages = [*row["messages"][:-1], row["messages"][-1] | {"content": text}]
    return {"id": row["id"], "decision": "edit", "by": "健", "messages": messages, "original": row["messages"]}


def test_decisions_make_the_dataset_and_twice_the_same_bytes(made: tuple[Path, Path], synth: Any):
    recipe, run = made
    rows, refused = lines(run / "rows.jsonl"), lines(run / "rejected.jsonl")
    unchosen = next(one for one in refused if one["stage"] == "selection")
    at = "2026-11-29T21:00:00Z"
    decisions = [
        edit(rows[2]) | {"at": at},
        {"id": rows[0]["id"], "decision": "reject", "by": "健", "at": at, "note": "単位が違う"},
        {"id": unchosen["id"], "decision": "accept"},
    ]
    path = saved(run, decisions)
    finished = synth("select", run, "--decisions", path)
    assert finished.returncode == 0, finished.stderr
    after = {row["id"]: row for row in lines(run / "rows.jsonl")}
    assert after.keys() >= {unchosen["id"], rows[1]["id"]}
    assert rows[0]["id"] not in after
    changed = after[rows[2]["id"]]
    assert changed["messages"][-1]["content"] == EDITED
    assert changed["repairs"] == [*rows[2]["repairs"], f"edited by hand, {at}"]
    assert after[unchosen["id"]]["repairs"][-1] == "accepted by hand"
    (by_hand,) = [one for one in lines(run / "rejected.jsonl") if one["reason"] == "by_hand"]
    assert (by_hand["id"], by_hand["detail"]) == (rows[0]["id"], f"rejected by hand (健, {at}): 単位が違う")
    kept = {one["id"]: one for one in lines(run / "by_hand.jsonl")}
    assert kept[rows[2]["id"]]["original"][-1]["content"] == rows[2]["messages"][-1]["content"]
    assert kept[rows[2]["id"]]["by"] == "健"
    assert "健" not in (run / "rows.jsonl").read_text("utf-8")
    before = [(run / name).read_bytes() for name in OUTPUTS]
    (run / "rows.jsonl").unlink()
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")), indent=3), encoding="utf-8")
    assert synth("select", recipe, "--out", run, "--decisions", path).returncode == 0
    assert [(run / name).read_bytes() for name in OUTPUTS] == before


def test_without_decisions_the_dataset_is_again_what_the_recipe_says(made: tuple[Path, Path], synth: Any):
    recipe, run = made
    before = (run / "rows.jsonl").read_bytes()
    path = saved(run, [{"id": lines(run / "rows.jsonl")[0]["id"], "decision": "reject"}])
    assert synth("select", run, "--decisions", path).returncode == 0
    assert (run / "rows.jsonl").read_bytes() != before
    assert synth("export", recipe, "--out", run).returncode == 0
    assert (run / "rows.jsonl").read_bytes() == before
    assert not (run / "by_hand.jsonl").exists()


def refusals(run: Path) -> dict[str, tuple[list[dict[str, Any]], dict[str, Any], str]]:
    rows = lines(run / "rows.jsonl")
    checked = next(one for one in lines(run / "rejected.jsonl") if one["reason"] == "refusal")
    edited = edit(rows[0]) | {"original": edit(rows[0], "別の答え")["messages"]}
    none = {"id": "99999999/00/000", "decision": "accept"}
    return {
        "unknown": ([none], {}, "99999999/00/000 was decided by hand, and this run has no such row"),
        "other run": ([], {"run": "0123"}, "holds decisions about another run"),
        "no decisions": ([], {"synth": "settings"}, "is no file of decisions (synth:"),
        "twice": ([none, none], {}, "99999999/00/000 is decided twice"),
        "checked": ([{"id": checked["id"], "decision": "accept"}], {}, "was refused (refusal) by the stage"),
        "changed": ([edited], {}, "has another text now"),
        "half an edit": ([{"id": rows[0]["id"], "decision": "edit"}], {}, "an edit has `messages` and `original`"),
    }


def test_decisions_that_cannot_be_applied_are_one_sentence_and_change_nothing(made: tuple[Path, Path], synth: Any):
    _, run = made
    before = (run / "rows.jsonl").read_bytes()
    for name, (decisions, changed, words) in refusals(run).items():
        finished = synth("select", run, "--decisions", saved(run, decisions, **changed))
        said = finished.stderr.strip().splitlines()[-1]
        assert finished.returncode == 2, name
        assert words in said, name
        assert "Traceback" not in finished.stderr
    missing = synth("select", run, "--decisions", run / "nothing.json")
    assert (missing.returncode, "cannot be read" in missing.stderr) == (2, True)
    assert (run / "rows.jsonl").read_bytes() == before
