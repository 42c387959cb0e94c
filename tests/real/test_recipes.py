"""Recipes against real vLLM servers: turns drawn out by the completion endpoint, dialogues, and some of the library."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import synth
from synth import sandbox
from synth.recipes import library
from tests.real.started import MODELS, NEEDS_VLLM, Server, python

pytestmark = NEEDS_VLLM

ROOMY = ("--dtype", "float32", "--max-model-len", "8192", "--enforce-eager", "--max-num-batched-tokens", "65536")
"""In vLLM 0.32 for CPUs a request with a seed ends the engine when its prompt is read in two steps."""
ENDING = '{min_tokens: 6, logit_bias: {"2": 4, "4": 4}}'
"""Ends of replies and quotation marks are likelier than chance has them, so that replies end and objects close."""
PROMPTS = Path(__file__).parents[2] / "prompts"

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


@pytest.fixture(scope="module")
def roomy(tmp_path_factory) -> Iterator[str]:
    """A random model with room for the library's prompts."""
    folder = tmp_path_factory.mktemp("roomy") / "lm"
    subprocess.run([python(), MODELS, "build", folder.parent], check=True, capture_output=True, timeout=600)
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text("utf-8")) | {"max_position_embeddings": 8192}), "utf-8")
    server = Server(folder, folder.parent / "log", ROOMY)
    server.start()
    try:
        server.wait()
        yield server.url
    finally:
        server.kill()


EVERY = sorted({path.parent.name.rpartition("-")[0] for path in PROMPTS.glob("*-??/recipe.yaml")} - {"quickstart"})
IN_TURN = [f"{name}-{('en', 'ja')[place % 2]}" for place, name in enumerate(EVERY)]
LIBRARY = [name if (PROMPTS / name).is_dir() else f"{name[:-2]}ja" for name in IN_TURN]
"""Each recipe of the library once, in one of its languages."""


@pytest.mark.parametrize("name", LIBRARY)
def test_what_a_library_recipe_asks_is_answered_by_a_real_server_in_the_form_it_reads(name, roomy, tmp_path):
    if name.startswith("code-") and (problem := sandbox.problem()):
        pytest.skip(problem)
    library.copy(name, tmp_path / name)
    file = tmp_path / name / "recipe.yaml"
    text = file.read_text(encoding="utf-8")
    text = re.sub(r"    validators:\n(?:      .*\n)+", "    validators: []\n", text)  # a random model says nothing
    text = re.sub(r"^(?:selection|output):\n(?:  .*\n)+", "", text, flags=re.MULTILINE)
    text = re.sub(r"max_tokens: \d+", f"max_tokens: 150, extra: {ENDING}", text)
    file.write_text(text, encoding="utf-8")
    teachers = re.findall(r"^  (\w+):\n    model:", text, flags=re.MULTILINE)
    result = synth.run(file, folder=tmp_path / "run", limit=2, teachers=[f"{one}={roomy},tiny" for one in teachers])
    assert result.exit_code == 0, result.message
    lines = [json.loads(line) for kind in ("rows", "rejected")
             for line in (tmp_path / "run" / f"{kind}.jsonl").read_text("utf-8").splitlines()]  # fmt: skip
    assert {one["seed_id"][:8] for one in lines} == {"00000000", "00000001"}
    assert {one.get("reason") for one in lines} & {"plugin_error", "template_error", "no_reference"} == set()
    for row in (one for one in lines if "reason" not in one):
        assert row["messages"][-1]["role"] == "assistant"
        judged = [score["value"] for score in row["scores"] if score["name"] == "judge"]
        assert all(value in (1, 2, 3, 4, 5) for value in judged)
