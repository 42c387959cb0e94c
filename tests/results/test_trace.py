"""The way of a row leads back to what was asked and to every raw reply, also of refused samples."""

from __future__ import annotations

import json

import pytest

from synth.errors import FolderError
from synth.results.trace import trace
from tests.written import lines

RECIPE = """\
name: traced
language: ja
seeds: {kind: grid, axes: {topic: [買い物, 料理]}}
teachers: {main: {model: practice-1, base_url: "practice:"}}
stages:
  - name: write
    generator: {kind: self_instruct, prompt: write.md.j2, count: 4}
    dedupe: {by: instruction}
  - name: answer
    draws: 2
    generator: {kind: answer, prompt: answer.md.j2, question: instruction}
    scorers: [{kind: judge}]
selection: {best_of: judge}
"""


@pytest.fixture
def run(synth, tmp_path):
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    (tmp_path / "write.md.j2").write_text("{{ topic }}の問題を{{ count }}問。", encoding="utf-8")
    (tmp_path / "answer.md.j2").write_text("{{ instruction }}\n最後に「答え: 」と書く。", encoding="utf-8")
    assert synth("run", ".", "--out", "run").returncode == 0
    return tmp_path / "run"


def test_a_row_leads_back_to_each_prompt_and_raw_reply_in_their_order(run):
    for row in lines(run / "rows.jsonl"):
        found = trace(run, row["id"])
        assert (found.is_row, found.record) == (True, row)
        assert [step.request for step in found.steps] == row["requests"]
        assert [step.stage for step in found.steps] == ["write", "answer", "answer:score"]
        answer = found.steps[1]
        assert row["messages"][0]["content"] in answer.asked["messages"][0]["content"]
        assert answer.text == row["messages"][-1]["content"]
        last = answer.attempts[-1]
        reply = json.loads(last.raw)
        assert reply["choices"][last.choice - 1]["message"]["content"].strip() == answer.text
        assert last.choices == 2
        assert abs(reply["usage"]["completion_tokens"] - last.choices * last.completion_tokens) < last.choices
        assert last.found == "ok"
        assert answer.served == "practice-1"
        assert answer.host == "practice"
        templates = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["recipe"]["templates"]
        assert answer.templates == [f"answer.md.j2 {templates['answer.md.j2']}"]


def test_a_refused_sample_leads_to_the_replies_of_its_unit_and_names_the_row_it_gave_way_to(run):
    refused = lines(run / "rejected.jsonl")
    assert refused
    for one in refused:
        found = trace(run, one["id"])
        assert not found.is_row
        assert found.steps[0].stage == "write"
        stages = {step.stage for step in found.steps}
        assert "answer" in stages or one["stage"] == "write"
    rows = [row["id"] for row in lines(run / "rows.jsonl")]
    twins = [(one["id"], row) for one in refused for row in rows if one["twin_id"] and row.startswith(one["twin_id"])]
    assert twins
    for one, row in twins:
        assert one in trace(run, row).twins


def test_the_command_shows_it_calmly_and_as_json(run, synth):
    row = lines(run / "rows.jsonl")[0]
    shown = synth("trace", "run", row["id"]).stdout
    assert f"{row['id']}  from seed {row['seed_id']}" in shown
    assert "answer:score" in shown
    assert "response_format json_schema Verdict" in shown.replace("\n", " ")
    assert "kept in train for $0.0000" in shown
    assert json.loads(synth("trace", "run", row["id"], "--json").stdout)["record"]["id"] == row["id"]
    missing = synth("trace", "run", "質問9")
    assert missing.returncode == 5
    assert "There is no '質問9' in run" in missing.stderr


def test_a_folder_without_a_run_is_said(tmp_path):
    with pytest.raises(FolderError, match=r"There is no rows.jsonl"):
        trace(tmp_path, "a")


@pytest.mark.parametrize(
    "line",
    [
        b'{"id":"%b","messa',
        b'["%b"]',
        b'{"id":"%b","seed_id":"0"}',
        b'{"id":"%b","seed_id":"0","scores":[],"requests":["\xe6\xa3\xae"]}',
        b'\xff"%b"',
    ],
)
def test_a_line_that_synth_did_not_write_so_is_a_sentence(run, line, synth):
    row = lines(run / "rows.jsonl")[0]["id"]
    (run / "rows.jsonl").write_bytes(b"{}\n" + line % row.encode() + b"\n")
    done = synth("trace", "run", row)
    assert (done.returncode, done.stderr) == (
        5,
        "run/rows.jsonl:2: not a row that synth wrote; export the recipe again.\n",
    )


def test_an_id_that_is_no_text_is_one_that_is_not_there(run, synth):
    assert synth("trace", "run", b"\xff").stderr.startswith("There is no ")
