"""Several draws of a prompt in one request to a real vLLM: what they are, and what their prompt counts for.

The model has random weights, so that no two draws are alike.
"""

from __future__ import annotations

import json

import pytest

import synth
from synth.storage.store import Store
from tests.real.started import NEEDS_VLLM

pytestmark = NEEDS_VLLM
DRAWS, QUESTIONS = 4, ("2021年3月5日", "2019年12月31日", "1999年1月9日")
RECIPE = """\
name: draws
language: ja
seeds: {{kind: jsonl, path: seeds.jsonl}}
teachers:
  main:
    model: tiny
    base_url: "{url}"
    profile: "{profile}"
    sampling: {{max_tokens: 24, temperature: {temperature}, seed: 7, extra: {{ignore_eos: true, bad_words: ["<think>", "</think>"]}}}}
    limits: {{max_in_flight: 1}}
stages:
  - name: answer
    draws: 4
    generator: {{kind: answer, prompt: ask.md.j2}}
    validators: []
"""


@pytest.fixture
def drawn(tmp_path, servers):
    """Run; gives the texts of the draws, and requests, attempts and prompt tokens."""

    def run(profile, temperature=1.0):
        folder = tmp_path / f"{profile}{temperature}"
        folder.mkdir()
        text = RECIPE.format(url=servers["student"], profile=profile, temperature=temperature)
        (folder / "recipe.yaml").write_text(text)
        (folder / "ask.md.j2").write_text("{{ q }}")
        seeds = "".join(json.dumps({"q": one}, ensure_ascii=False) + "\n" for one in QUESTIONS)
        (folder / "seeds.jsonl").write_text(seeds, encoding="utf-8")
        result = synth.run(folder, folder=folder / "run")
        assert (result.exit_code, result.message) == (0, "")
        rows = [json.loads(line) for line in (folder / "run" / "rows.jsonl").read_text("utf-8").splitlines()]
        store = Store(folder / "run")
        lines = store.ledger()
        store.close()
        counts = [sum(getattr(one, name) for one in lines) for name in ("sends", "attempts", "prompt_tokens")]
        return [(row["id"], row["messages"][-1]) for row in rows], counts

    return run


def test_draws_that_go_together_are_those_that_go_alone_and_their_prompt_counts_once(drawn):
    alone, (requests, attempts, tokens) = drawn("")
    assert requests == attempts == DRAWS * len(QUESTIONS)
    together, counts = drawn("vllm")
    assert together == alone
    assert counts == [len(QUESTIONS), attempts, tokens // DRAWS]
    assert len({message["content"] for _, message in together}) == attempts


def test_where_all_draws_would_be_the_same_none_is_asked_for_together(drawn):
    rows, (requests, attempts, _) = drawn("vllm", temperature=0)
    assert requests == attempts == len(rows) == DRAWS * len(QUESTIONS)
