"""A preview shows rows as they will be, with what was sent, thought, found and paid; the run has its replies."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing

import pytest

RECIPE = """\
name: previewed
language: ja
seeds: {kind: jsonl, path: seeds.jsonl}
teachers:
  main: {model: m, base_url: "replay:replies.jsonl", price: {input_usd: 100, output_usd: 400}}
stages:
  - name: answer
    draws: 2
    generator: {kind: answer, prompt: p.md.j2, question: q}
    validators: [{kind: finished}]
    scorers: [{kind: exact_answer, reference: a}]
selection: {require: {exact_answer: 1}}
"""
THOUGHT = "三人に二つずつだから、" + "まだ考える。" * 200


def reply(prompt, draw, content, reasoning=None, finish="stop"):
    message = {"role": "assistant", "content": content}
    if reasoning is not None:
        message["reasoning_content"] = reasoning
    usage = {"prompt_tokens": 10, "completion_tokens": 20}
    response = {"choices": [{"message": message, "finish_reason": finish}], "usage": usage, "model": "m"}
    return json.dumps({"prompt": prompt, "draw": draw, "response": response}, ensure_ascii=False)


@pytest.fixture
def recipe(tmp_path):
    """Two questions: to the first one answer is right and one is cut; to the second, one is wrong and one long."""
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    (tmp_path / "p.md.j2").write_text("次の問いに答え、最後に「答え: 」と書いてください。\n\n{{ q }}", encoding="utf-8")
    seeds = [{"q": "りんごは全部でいくつ。", "a": "6"}, {"q": "みかんはいくつ残る。", "a": "4"}]
    lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in seeds)
    (tmp_path / "seeds.jsonl").write_text(lines, encoding="utf-8")
    asked = [f"次の問いに答え、最後に「答え: 」と書いてください。\n\n{one['q']}" for one in seeds]
    replies = [
        reply(asked[0], 0, "二つずつ三人で六つ。\n\n答え: 6", THOUGHT),
        reply(asked[0], 1, "二つずつ三人で", None, "length"),
        reply(asked[1], 0, "五つ残る。\n\n答え: 5"),
        reply(asked[1], 1, "ながい説明。" * 1000 + "\n\n答え: 4"),
    ]
    (tmp_path / "replies.jsonl").write_text("\n".join(replies), encoding="utf-8")
    return tmp_path


def test_rows_are_shown_with_prompt_reasoning_verdict_and_cost_and_refusals_with_their_texts(recipe, synth):
    shown = synth("preview", ".", "--out", "run")
    assert shown.returncode == 0, shown.stderr
    text = shown.stdout
    assert text.startswith("sent at answer to main\nuser\n  次の問いに答え、最後に「答え: 」と書いてください。")
    first, second = text.split("00000000/00/000", 2)[1], text.split("00000001/01/000", 2)[1]
    assert first.startswith(
        "  exact_answer 1  $0.0090\nuser\nりんごは全部でいくつ。\nreasoning\n三人に二つずつだから、まだ考える。"
    )
    assert "611 more characters" in first
    assert "assistant\n二つずつ三人で六つ。\n\n答え: 6\n" in first
    assert "ながい説明。" in second
    assert "2,007 more characters" in second
    assert "refused 00000000/01/000  truncated" in text
    assert "refused 00000001/00/000  below_threshold" in text
    assert "\n  五つ残る。 答え: 5\n" in text
    assert re.search(r"below_threshold\n  \S.*\n  五つ残る。", text)  # each below the other, and folded there
    assert "replies  kept in run for `synth run`" in text


@pytest.mark.parametrize("looked", [("preview", "-n", "1"), ("preview", "-n", "2"), ("estimate", "--pilot", "1")])
def test_the_run_buys_none_of_the_replies_again_that_were_looked_at(recipe, synth, looked):
    command, *options = looked
    assert synth(command, ".", "--out", "run", *options).returncode == 0
    bought = sends(recipe / "run")
    assert 0 < bought <= 4
    assert synth("run", ".", "--out", "run").returncode == 0
    assert sends(recipe / "run") == 4, "each of the four draws once"
    assert synth("run", ".", "--out", "anew").returncode == 0
    assert (recipe / "run" / "rows.jsonl").read_bytes() == (recipe / "anew" / "rows.jsonl").read_bytes()


def sends(folder):
    """How many requests went out."""
    with closing(sqlite3.connect(folder / "run.db")) as store:
        return store.execute("SELECT count(*) FROM attempt").fetchone()[0]
