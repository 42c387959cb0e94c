"""Against llama.cpp's own server: probe, small recipes, and what it says of requests that it cannot answer.

It runs where SYNTH_LLAMA_CPP names a Python that has xllamacpp (llama.cpp's server, built for PyPI) and gguf;
`make test-real` makes one. The model is written on the spot: it says one sentence, and chance where a grammar forbids it.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path

import datasets
import pytest

import synth
from synth.backends.online import online
from synth.errors import Fatal, Rejected, Transient
from synth.probe import Listed, models, probe
from synth.protocol.endpoint import Endpoint
from synth.protocol.replies import read
from synth.types import CHAT, EMBEDDINGS, POOLING, Request
from tests.real.started import free_port, serving

PYTHON = os.environ.get("SYNTH_LLAMA_CPP")
MODEL = Path(__file__).parent / "tiny_gguf.py"
SAID = "答えは四十二です。"
START_S = 120
pytestmark = [
    pytest.mark.skipif(
        PYTHON is None, reason="no llama.cpp: set SYNTH_LLAMA_CPP to a Python that has xllamacpp and gguf"
    ),
    pytest.mark.timeout(START_S + 120),
]
RECIPE = """\
name: small
language: ja
license: cc0-1.0
seeds: {{kind: grid, axes: {{話題: [料理, 旅行, 買い物, 天気]}}}}
teachers:
  main: {{model: tiny, base_url: "{url}", profile: llama_cpp, sampling: {{max_tokens: 100, temperature: 0, logprobs: 3}}}}
stages:
  - {{name: answer, generator: {{kind: answer, prompt: ask.md.j2}}}}
split: {{fractions: {{train: 1.0}}}}
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("llama"), free_port()
    subprocess.run([PYTHON, MODEL, "write", folder / "tiny.gguf"], check=True, capture_output=True, timeout=START_S)
    command = [PYTHON, MODEL, "serve", folder / "tiny.gguf", str(port)]
    with serving(command, f"http://127.0.0.1:{port}/health", folder / "log", start_s=START_S):
        yield f"http://127.0.0.1:{port}/v1"


def test_a_probe_finds_what_it_is_and_what_it_can_do(url):
    endpoint = Endpoint(model="tiny", base_url=url)
    assert models(endpoint) == {"tiny": Listed(2048, "llamacpp")}
    findings, _ = probe(endpoint)
    found = {one.what: one.found for one in findings}
    assert "counts tokens" in found["chat"]
    assert found["objects"] == "heeds json_schema, json_object"
    assert found["log-probabilities"] == "given"
    assert found["n: 2"] == "2 of 2 came"
    assert found["log-probabilities of prompts"] == "passed over in silence"
    assert found["prefix caching"].endswith("tokens of a repeated prompt came from its cache")
    assert found["load"] == "0 running, 0 waiting, told at /metrics as llama.cpp does"


def test_a_small_recipe_makes_its_rows_with_tokens_that_are_their_text(url, tmp_path):
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(url=url), encoding="utf-8")
    (tmp_path / "ask.md.j2").write_text("{{ 話題 }}の答えは？", encoding="utf-8")
    result = synth.run(tmp_path, folder=tmp_path / "run")
    assert (result.exit_code, result.message) == (0, "")
    rows = [json.loads(line) for line in (result.folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["messages"][-1]["content"] for row in rows] == [SAID] * 4
    tokens = [*datasets.load_dataset(str(result.dataset), "tokens", split="train")]
    assert [b"".join(one["tokens"]).decode() for one in tokens] == [SAID] * 4
    assert [one["token_ids"] for one in tokens] == [[257, 258, 259, 262]] * 4
    assert all(top[0] == chosen for one in tokens for top, chosen in zip(one["top_ids"], one["token_ids"], strict=True))


def fate(url: str, body: dict, path: str = CHAT) -> tuple[str, str]:
    async def main():
        endpoint = Endpoint(model="tiny", base_url=url)
        async with online(endpoint, url) as backend:
            sent = json.dumps({"model": "tiny", **body}).encode()
            return await backend.send(Request(b"k" * 32, "main", "tiny", sent, 0, 10, 10, path=path))

    try:
        return "ok", read(asyncio.run(main()), path).text
    except (Transient, Rejected, Fatal) as error:
        return (error.failure if isinstance(error, Transient) else type(error).__name__), str(error)


SAYS = {"messages": [{"role": "user", "content": "何ですか。"}], "temperature": 0}


@pytest.mark.parametrize(
    ("body", "name", "said"),
    [
        ({**SAYS, "max_tokens": 50}, "ok", SAID),
        ({"messages": [{"role": "user", "content": "長い" * 2000}]}, "Rejected", "exceed"),
        ({**SAYS, "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "objekt"}}}},
         "Rejected", "objekt"),
        ({"messages": "何ですか。"}, "Rejected", "messages"),
        ({}, "Rejected", "messages"),
    ],
)  # fmt: skip
def test_what_it_says_has_its_fate(body, name, said, url):
    found, text = fate(url, body)
    assert found == name, text
    assert said in text


@pytest.mark.parametrize(("path", "body"), [(POOLING, {"input": "何"}), (EMBEDDINGS, {"input": "何"})])
def test_what_it_does_not_serve_stops_the_run(path, body, url):
    assert fate(url, body, path)[0] == "Fatal"
