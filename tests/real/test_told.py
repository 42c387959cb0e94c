"""What a real vLLM tells of its tokens: they are those of the rows' texts, and a student's file comes of them."""

from __future__ import annotations

import hashlib
import json
import math
from urllib.request import Request, urlopen

import datasets
import pytest

import synth
from synth import probe as probing
from synth.formats.distillation import convert_tokens
from synth.protocol.endpoint import Endpoint
from tests.real.exercises import recipe
from tests.real.started import NEEDS_VLLM

pytestmark = [*NEEDS_VLLM, pytest.mark.usefixtures("surroundings")]
MOST = 4
EXTRA = "extra: {return_tokens_as_token_ids: true, return_token_ids: true}"
IDS = f"sampling: {{max_tokens: 80, temperature: 0, logprobs: {MOST}, {EXTRA}}}"


def asked(url: str, path: str, body: dict) -> dict:
    """What the server's own tokenizer says."""
    request = Request(url.removesuffix("/v1") + path, json.dumps(body).encode(), {"content-type": "application/json"})
    with urlopen(request, timeout=60) as reply:
        return json.load(reply)


def test_ids_and_their_likeliest_rivals_are_those_of_the_rows_text(tmp_path, servers, models, exercises):
    there = recipe(tmp_path / "recipe", exercises[:12], servers["taught"], own=False)
    text = (there / "recipe.yaml").read_text().replace("sampling: {max_tokens: 80, temperature: 0}", IDS)
    (there / "recipe.yaml").write_text(text)
    result = synth.run(there, folder=tmp_path / "run")
    assert (result.exit_code, result.message) == (0, "")
    record = result.manifest.tokens
    assert record is not None
    assert (record.rows, record.with_ids, record.tokenizers) == (12, 12, {"tiny": 12})
    digest = hashlib.sha256((models / "teacher" / "tokenizer.json").read_bytes()).hexdigest()
    assert record.tokenizer_files == {"main": [f"tokenizer.json sha256:{digest}"]}
    rows = [json.loads(line) for line in (result.folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    tokens = [*datasets.load_dataset(str(result.dataset), "tokens", split="train")]
    for row, told in zip(rows, tokens, strict=True):
        question, answer = row["messages"]
        whole = f"<think>{answer['reasoning_content']}</think>{answer['content']}<|im_end|>"
        assert (
            asked(servers["taught"], "/detokenize", {"model": "tiny", "tokens": told["token_ids"]})["prompt"] == whole
        )
        prompt = asked(servers["taught"], "/tokenize", {"model": "tiny", "messages": [question]})
        assert told["prompt_token_ids"] == prompt["tokens"]
        for chosen, logprob, tops, values in zip(
            told["token_ids"], told["logprobs"], told["top_ids"], told["top_logprobs"], strict=True
        ):
            assert (len(tops), tops[0]) == (MOST, chosen)  # greedily the likeliest is said
            assert values[0] == pytest.approx(logprob)
            assert values == sorted(values, reverse=True)
            assert sum(map(math.exp, values)) <= 1 + 1e-5
    convert_tokens([result.folder], tmp_path / "learn.parquet", "distillation")
    learnt = datasets.load_dataset("parquet", data_files=str(tmp_path / "learn.parquet"), split="train")
    assert [one["top_ids"] for one in learnt] == [one["top_ids"] for one in tokens]


def test_a_probe_finds_what_it_is_and_that_it_keeps_the_beginnings_of_prompts(servers):
    endpoint = Endpoint(model="tiny", base_url=servers["taught"])
    assert probing.models(endpoint) == {"tiny": probing.Listed(512, "vllm")}
    found = {one.what: one.found for one in probing.probe(endpoint)[0]}
    assert found["prefix caching"].endswith("tokens of a repeated prompt came from its cache")
    assert found["log-probabilities"] == found["log-probabilities of prompts"] == "given"
    assert found["n: 2"] == "2 of 2 came"
    assert found["load"].endswith("told at /metrics as vLLM does")
