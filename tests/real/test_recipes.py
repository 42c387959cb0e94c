"""Generators against real vLLM servers: a user's turn drawn out by the completion endpoint, and dialogues."""

from __future__ import annotations

import json
from pathlib import Path

import synth
from tests.real.started import NEEDS_VLLM

pytestmark = NEEDS_VLLM

RECIPE = """\
name: drawn
language: ja
seeds: {{kind: grid, axes: {{話題: [税, 暦, 料理, 旅]}}}}
teachers:
  main:
    model: tiny
    base_url: "{url}"
    sampling: {{max_tokens: 24, temperature: 1.0, top_p: 0.99, seed: 5}}
stages:
  - name: write
    draws: 2
    generator: {{kind: magpie, family: chatml, system: system.md.j2}}
    validators: []
"""


def texts(folder: Path) -> dict[str, str]:
    """What was written, by unit, whether it ended by itself or was cut."""
    lines = [
        line for name in ("rows", "rejected") for line in (folder / f"{name}.jsonl").read_text("utf-8").splitlines()
    ]
    return {one["id"][:11]: one["messages"][0]["content"] if one["messages"] else "" for one in map(json.loads, lines)}


def test_every_draw_is_written_by_the_completion_endpoint_and_the_same_seed_writes_the_same(servers, tmp_path):
    recipe = tmp_path / "recipe"
    recipe.mkdir()
    (recipe / "recipe.yaml").write_text(RECIPE.format(url=servers["student"]), encoding="utf-8")
    (recipe / "system.md.j2").write_text("{{ 話題 }}に詳しい助手です。", encoding="utf-8")
    first = synth.run(recipe, folder=tmp_path / "one")
    assert (first.exit_code, first.message) == (0, "")
    found = texts(tmp_path / "one")
    assert len(found) == 8
    assert len({text for text in found.values() if text}) >= 6
    ledger = [line for line in first.manifest.ledger if line.failure == "ok"]
    assert sum(line.attempts for line in ledger) == 8
    assert 0 < sum(line.completion_tokens for line in ledger) <= 8 * 24
    assert synth.run(recipe, folder=tmp_path / "two").exit_code == 0
    assert texts(tmp_path / "two") == found


DIALOGUE = """\
name: talk
language: ja
seeds: {{kind: jsonl, path: seeds.jsonl}}
teachers:
  main:
    model: tiny
    base_url: "{url}"
    sampling: {{max_tokens: 80, temperature: 0.8, seed: 3}}
  person:
    model: tiny
    base_url: "{other}"
    sampling: {{max_tokens: 24, temperature: 1.0, seed: 4}}
stages:
  - name: talk
    generator: {{kind: conversation, user: user.md.j2, opening: q, turns: [1, 2, 2], user_teacher: person}}
    validators: []
"""


def test_dialogues_go_on_between_two_servers_and_no_turn_is_bought_again(servers, exercises, tmp_path):
    recipe = tmp_path / "recipe"
    recipe.mkdir()
    text = DIALOGUE.format(url=servers["taught"], other=servers["student"])
    (recipe / "recipe.yaml").write_text(text, encoding="utf-8")
    (recipe / "user.md.j2").write_text("<dialogue>{{ dialogue }}</dialogue>", encoding="utf-8")
    seeds = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in exercises[:12])
    (recipe / "seeds.jsonl").write_text(seeds, encoding="utf-8")
    first = synth.run(recipe, folder=tmp_path / "one")
    assert (first.exit_code, first.message) == (0, "")
    lines = [json.loads(line) for name in ("rows", "rejected")
             for line in (tmp_path / "one" / f"{name}.jsonl").read_text("utf-8").splitlines()]  # fmt: skip
    assert len(lines) == 12
    assert {one["messages"][0]["content"] for one in lines} == {one["q"] for one in exercises[:12]}
    assert any(len(one["messages"]) > 2 for one in lines)
    assert {one.get("reason") for one in lines} <= {None, "truncated", "role_slip", "echo"}
    assert {line.teacher for line in first.manifest.ledger} == {"main", "person"}
    rows = (tmp_path / "one" / "rows.jsonl").read_bytes()
    again = synth.run(recipe, folder=tmp_path / "one")
    assert (again.exit_code, again.manifest.ledger) == (0, first.manifest.ledger)
    assert (tmp_path / "one" / "rows.jsonl").read_bytes() == rows
