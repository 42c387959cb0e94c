"""Against mocklimit, a server that really limits: so many requests a window, told in OpenAI's headers and refusals.

It runs where SYNTH_MOCKLIMIT names a `mocklimit` command; `make test-real` makes one. It answers by a description of an
API, which is written here, and counts what it is asked.
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing

import pytest

import synth
from synth.probe import probe
from synth.protocol.endpoint import Endpoint
from tests.real.started import free_port, serving

MOCKLIMIT = os.environ.get("SYNTH_MOCKLIMIT")
START_S = 120
pytestmark = [
    pytest.mark.skipif(MOCKLIMIT is None, reason="no mocklimit: set SYNTH_MOCKLIMIT to its command"),
    pytest.mark.timeout(START_S + 120),
]
SAID = "答えは四十二です。"
LIMIT, WINDOW_S, SEEDS = 20, 3, 50
RECIPE = """\
name: limited
language: ja
seeds: {{kind: jsonl, path: seeds.jsonl}}
teachers:
  main: {{model: m, base_url: "{url}", key_variable: SOME_KEY, price: {{input_usd: 0, output_usd: 0}}}}
stages:
  - {{name: answer, generator: {{kind: answer, prompt: ask.md.j2}}}}
"""


def only(value):
    """A schema that one value alone fits."""
    if isinstance(value, dict):
        return {"type": "object", "properties": {name: only(one) for name, one in value.items()}}
    return {"type": "array", "items": only(value[0])} if isinstance(value, list) else {"enum": [value]}


def described(**routes):
    """An API whose routes answer with these documents."""

    def answers(document):
        return {"responses": {"200": {"description": "", "content": {"application/json": {"schema": only(document)}}}}}

    paths = {path: {method: answers(document)} for path, (method, document) in routes.items()}
    return {"openapi": "3.1.0", "info": {"title": "x", "version": "1"}, "paths": paths}


COMPLETION = {
    "id": "c",
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": SAID}}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 6, "total_tokens": 15},
}
POLICY = {
    "strategy": "fixed_window",
    "scope": "api_key",
    "limits": [{
        "limit": LIMIT, "window_seconds": WINDOW_S, "dimension": "requests",
        "headers": {"limit": "x-ratelimit-limit-requests", "remaining": "x-ratelimit-remaining-requests",
                    "reset": "x-ratelimit-reset-requests"},
    }],
    "format": {"reset": "go_duration", "retry_after": {"header": "retry-after-ms", "unit": "milliseconds"}},
    "error_template": {"provider": "openai"},
}  # fmt: skip


@pytest.fixture
def url(tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "sk-limited")
    routes = {
        "/v1/chat/completions": ("post", COMPLETION),
        "/v1/models": ("get", {"object": "list", "data": [{"id": "m", "object": "model"}]}),
    }
    limited = {
        "policies": {"one": POLICY},
        "endpoints": {"/v1/chat/completions": {"methods": ["POST"], "policy": "one"}},
    }
    (tmp_path / "api.json").write_text(json.dumps(described(**routes)), encoding="utf-8")
    (tmp_path / "limits.json").write_text(json.dumps(limited), encoding="utf-8")
    port = free_port()
    command = [MOCKLIMIT, "serve", "--spec", tmp_path / "api.json", "--rate-config", tmp_path / "limits.json",
               "--port", str(port)]  # fmt: skip
    at = f"http://127.0.0.1:{port}/v1"
    with serving(command, f"{at}/models", tmp_path / "log", start_s=START_S):
        yield at


def test_a_probe_finds_what_is_left_of_its_limit(url):
    findings, _ = probe(Endpoint(model="m", base_url=url, key_variable="SOME_KEY"))
    found = {one.what: one.found for one in findings}
    assert f"{LIMIT - 1} of {LIMIT} requests left" in found["chat"]
    assert "ignores json_schema" in found["objects"]
    assert found["n: 2"] == "1 of 2 came"


def test_a_recipe_of_more_than_a_windows_requests_makes_all_its_rows(url, tmp_path):
    seeds = "".join(json.dumps({"q": f"{number}番目の問い"}, ensure_ascii=False) + "\n" for number in range(SEEDS))
    (tmp_path / "seeds.jsonl").write_text(seeds, encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(url=url), encoding="utf-8")
    (tmp_path / "ask.md.j2").write_text("{{ q }}", encoding="utf-8")
    result = synth.run(tmp_path, folder=tmp_path / "run")
    assert (result.exit_code, result.message) == (0, "")
    rows = [json.loads(line) for line in (result.folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["messages"][-1]["content"] for row in rows] == [SAID] * SEEDS
    with closing(sqlite3.connect(result.folder / "run.db")) as database:
        met = dict(database.execute("SELECT status, count(*) FROM reply GROUP BY status").fetchall())
    assert met[200] == SEEDS
    assert met.get(429, 0) < SEEDS, met  # the first window is found out by what it refuses
