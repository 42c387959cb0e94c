"""A user's turn drawn out of a real vLLM server, by its completion endpoint."""

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
