"""What the library's generators ask for, asked of real vLLM servers of tiny models."""

from __future__ import annotations

import json

import synth
from tests.real.started import NEEDS_VLLM

pytestmark = NEEDS_VLLM

OBJECTS = """\
name: objects
language: ja
seeds: {{kind: grid, axes: {{topic: [天気, 料理, 旅行, 読書]}}}}
teachers:
  main: {{model: tiny, base_url: "{url}", sampling: {{max_tokens: 400, temperature: 1.0, seed: 3}}}}
stages:
  - name: write
    draws: 4
    generator:
      kind: objects
      prompt: write.md.j2
      fields: {{label: [晴れ, 雨, 雪], certain: yes_no}}
      shown: shown.md.j2
    validators: []
"""
TRACES = """\
name: traces
language: en
seeds: {{kind: jsonl, path: seeds.jsonl}}
teachers:
  main: {{model: tiny, base_url: "{url}", sampling: {{max_tokens: 128, temperature: 0.7, seed: 5}}}}
stages:
  - name: solve
    draws: 3
    generator: {{kind: answer, prompt: solve.md.j2, question: q}}
    validators: [{{kind: finished}}, {{kind: reasoning, max_chars: 200}}]
    scorers: [{{kind: length, reasoning: true, shortest: true}}]
selection: {{best_of: length}}
"""


def test_vllm_writes_objects_of_the_fields_that_a_recipe_names(servers, tmp_path):
    (tmp_path / "recipe.yaml").write_text(OBJECTS.format(url=servers["student"]), encoding="utf-8")
    (tmp_path / "write.md.j2").write_text("{{ topic }}について{{ count }}個書いてください。")
    (tmp_path / "shown.md.j2").write_text("{{ topic }}：{{ label }}、{{ certain }}")
    result = synth.run(tmp_path, folder=tmp_path / "run")
    assert result.exit_code == 0, result.message
    rows = [json.loads(line) for line in (tmp_path / "run" / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    shown = [row["messages"][-1]["content"].partition("：")[2].split("、") for row in rows]
    assert len(rows) >= 4
    assert {label for label, _ in shown} <= {"晴れ", "雨", "雪"}
    assert {certain for _, certain in shown} <= {"True", "False"}


def test_traces_of_a_model_that_thinks_come_apart_and_the_shortest_is_kept(servers, exercises, tmp_path):
    (tmp_path / "recipe.yaml").write_text(TRACES.format(url=servers["taught"]), encoding="utf-8")
    (tmp_path / "solve.md.j2").write_text("{{ q }}")
    seeds = "".join(json.dumps({"q": one["q"]}) + "\n" for one in exercises[:24])
    (tmp_path / "seeds.jsonl").write_text(seeds, encoding="utf-8")
    result = synth.run(tmp_path, folder=tmp_path / "run")
    assert result.exit_code == 0, result.message
    rows = [json.loads(line) for line in (tmp_path / "run" / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) >= 20
    assert all(row["messages"][-1]["reasoning_content"] and row["messages"][-1]["content"] for row in rows)
    refused = (tmp_path / "run" / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    assert "not_best" in {json.loads(line)["reason"] for line in refused}
