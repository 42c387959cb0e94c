"""Against a real proxy, LiteLLM's: probe, a small recipe, and the errors of whom it stands for.

It runs where SYNTH_LITELLM names a `litellm` command, in an environment of its own, as it wants another openai than synth
does; `make test-real` makes one.
"""

from __future__ import annotations

import asyncio
import json
import os

import pytest

import synth
from synth.backends.online import online
from synth.errors import Fatal, Rejected, Transient
from synth.probe import models, probe
from synth.protocol.endpoint import Endpoint, Limits
from synth.protocol.replies import read
from synth.types import Request
from tests.real.started import free_port, serving

LITELLM = os.environ.get("SYNTH_LITELLM")
START_S = 400
KEY = "sk-of-the-proxy"
pytestmark = [
    pytest.mark.skipif(LITELLM is None, reason="no LiteLLM: set SYNTH_LITELLM to its command"),
    pytest.mark.timeout(START_S + 120),
]
ANSWER = "東京です。答え: 12"
MOCKED = {
    "plain": ANSWER,
    "limited": "litellm.RateLimitError",
    "broken": "litellm.InternalServerError",
    "long": "litellm.ContextWindowExceededError",
}
RECIPE = """\
name: proxied
language: ja
seeds: {{kind: grid, axes: {{話題: [料理, 旅行, 買い物]}}}}
teachers: {{main: {{model: plain, base_url: "{url}", key_variable: PROXY_KEY}}}}
stages:
  - {{name: answer, generator: {{kind: answer, prompt: ask.md.j2}}}}
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("proxy")
    listed = [
        {"model_name": name, "litellm_params": {"model": "openai/x", "api_key": "k", "mock_response": said}}
        for name, said in MOCKED.items()
    ]
    once = {"model": "openai/x", "api_key": "k", "mock_response": ANSWER, "rpm": 1}
    listed.append({"model_name": "seldom", "litellm_params": once})
    settings = {"router_settings": {"enable_pre_call_checks": True, "num_retries": 0}}
    (folder / "config.yaml").write_text(json.dumps({"model_list": listed, **settings}), encoding="utf-8")
    port = free_port()
    command = [LITELLM, "--config", folder / "config.yaml", "--host", "127.0.0.1", "--port", str(port)]
    alive = f"http://127.0.0.1:{port}/health/liveliness"
    more = {"LITELLM_LOCAL_MODEL_COST_MAP": "1", "LITELLM_MASTER_KEY": KEY}
    with serving(command, alive, folder / "log", start_s=START_S, more=more):
        yield f"http://127.0.0.1:{port}/v1"


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("PROXY_KEY", KEY)


def outcomes(url, model, times=1, key="PROXY_KEY"):
    async def main():
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "首都は？"}]}, ensure_ascii=False)
        endpoint = Endpoint(model=model, base_url=url, key_variable=key, limits=Limits(deadline_s=60))
        async with online(endpoint, url) as backend:
            request = Request(b"k" * 32, "main", model, body.encode(), 0, 10, 10)
            return [await backend.send(request) for _ in range(times)]

    return asyncio.run(main())


def fate(outcome):
    try:
        return read(outcome).text
    except Transient as error:
        return error.failure
    except Rejected as error:
        return error.reason
    except Fatal:
        return "fatal"


def test_a_probe_finds_its_models_and_what_it_passes_over(url):
    endpoint = Endpoint(model="plain", base_url=url, key_variable="PROXY_KEY")
    assert models(endpoint).keys() == {*MOCKED, "seldom"}
    findings, used = probe(endpoint)
    found = {one.what: one.found for one in findings}
    assert "counts tokens" in found["chat"]
    assert "ignores json_schema" in found["objects"]
    assert used.requests > len(findings)


def test_a_small_recipe_makes_its_rows(url, tmp_path):
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(url=url), encoding="utf-8")
    (tmp_path / "ask.md.j2").write_text("{{ 話題 }}について", encoding="utf-8")
    result = synth.run(tmp_path, folder=tmp_path / "run")
    rows = [json.loads(line) for line in (result.folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["messages"][-1]["content"] for row in rows] == [ANSWER] * 3
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("model", "name"), [("limited", "rate"), ("broken", "transient"), ("long", "permanent"), ("九", "fatal")]
)
def test_the_errors_of_whom_it_stands_for_have_their_fates(url, model, name):
    (outcome,) = outcomes(url, model)
    assert fate(outcome) == name, outcome


def test_a_key_that_it_does_not_know_stops_the_run(url):
    (outcome,) = outcomes(url, "plain", key="SOME_KEY")
    assert fate(outcome) == "fatal", outcome


def test_its_own_limit_is_a_passing_one_although_it_calls_it_an_error_of_the_server(url):
    first, *others = outcomes(url, "seldom", 3)
    assert fate(first) == ANSWER
    assert {fate(one) for one in others} == {"rate"}, others
