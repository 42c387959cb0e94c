"""Before anything is bought: what the prompts alone tell, and the most that a pilot may cost."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing

import pytest

from synth.estimates.prompts import rendered
from synth.estimates.unasked import ceiling, unasked
from synth.recipes.loading import Overrides, load

RECIPE = """\
name: unasked
language: ja
seeds: {{kind: grid, axes: {{topic: [{topics}]}}}}
teachers:
  main:
    model: practice-1
    base_url: "practice:faultless"
    sampling: {{max_tokens: 100}}
    price: {price}
stages:
  - name: write
    draws: 2
    generator: {{kind: self_instruct, prompt: p.md.j2, count: 3}}
  - name: answer
    generator: {{kind: answer, prompt: q.md.j2, question: instruction}}
"""
PRICED = "{input_usd: 1, output_usd: 4}"


def recipe(folder, price=PRICED, count=40):
    (folder / "p.md.j2").write_text("{{ topic }}の問題を{{ count }}問。", encoding="utf-8")
    (folder / "q.md.j2").write_text("{{ instruction }}", encoding="utf-8")
    topics = ", ".join(f"話題{number}" for number in range(count))
    (folder / "recipe.yaml").write_text(RECIPE.format(topics=topics, price=price), encoding="utf-8")
    return load(folder)


def test_without_a_pilot_nothing_is_asked_and_only_the_first_stage_is_told(synth, tmp_path):
    recipe(tmp_path)
    shown = synth("estimate", ".", "--pilot", "0")
    assert shown.returncode == 0, shown.stderr
    assert "40 seeds, and nothing asked" in shown.stdout
    assert (
        "this is the first request for each seed; what else replies lead to (answer), --pilot 20 tells" in shown.stdout
    )
    assert {file.name for file in tmp_path.iterdir()} == {"recipe.yaml", "p.md.j2", "q.md.j2"}
    # two draws go in one request
    (step,) = json.loads(synth("estimate", ".", "--pilot", "0", "--json").stdout)["steps"]
    assert (step["stage"], step["requests"]["low"], step["most_completion_tokens"]) == ("write", 40, 8000)
    assert step["cost_microusd"]["high"] == pytest.approx(step["prompt_tokens"]["high"] + 4 * 8000)
    assert step["prompt_tokens"]["low"] < step["prompt_tokens"]["value"] < step["prompt_tokens"]["high"]


def test_a_named_tokenizer_counts_the_prompts_exactly(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    (tmp_path / "model").mkdir()
    letters = tokenizers.Tokenizer(tokenizers.models.WordLevel({"?": 0}, unk_token="?"))
    letters.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    letters.save(str(tmp_path / "model" / "tokenizer.json"))
    prompts = asyncio.run(rendered(recipe(tmp_path, count=10), 0))
    (step,) = unasked(recipe(tmp_path, count=10).recipe, prompts, str(tmp_path / "model"))
    assert step.prompt_tokens.low == step.prompt_tokens.high == 10 * len("話題0の問題を3問。")


def test_a_pilot_costs_no_more_than_is_said_beforehand(synth, tmp_path):
    recipe(tmp_path)
    ended = synth("estimate", ".", "--out", "run", "--pilot-usd", "0.005")
    assert ended.returncode == 6
    assert ended.stdout == ""
    assert "20 of 40 seeds to be tried first, for $0.0050 at most." in ended.stderr
    assert "The pilot's $0.0050 are used up" in ended.stderr
    assert "--pilot-usd" in ended.stderr
    with closing(sqlite3.connect(tmp_path / "run" / "run.db")) as store:
        spent = store.execute("SELECT sum(cost_microusd) FROM settled").fetchone()[0]
    assert 0 < spent <= 5000
    again = synth("estimate", ".", "--out", "run")
    assert again.returncode == 0, again.stderr
    assert "for $1.00 at most" in again.stderr


def test_a_free_teacher_costs_nothing_and_that_is_no_interval(synth, tmp_path):
    recipe(tmp_path, "{input_usd: 0, output_usd: 0}", count=6)
    shown = synth("estimate", ".", "--out", "run", "--pilot", "6")
    assert shown.returncode == 0, shown.stderr
    assert "6 of 6 seeds to be tried first, for nothing." in shown.stderr
    assert "estimated from 6 that cost nothing" in shown.stdout
    assert "\ncost      nothing\n" in shown.stdout
    assert "cheaper" not in shown.stdout


def test_the_ceiling_gives_way_to_a_lower_budget_and_says_what_it_does_not_see(tmp_path):
    loaded = recipe(tmp_path)
    free = ceiling(recipe(tmp_path, "{input_usd: 0, output_usd: 0}"), tmp_path / "none", 1.0)
    assert (free.said, free.cap_microusd) == ("for nothing", None)
    own = load(tmp_path, Overrides(budget={"usd": 0.5}))
    assert ceiling(own, tmp_path / "none", 1.0).said == "for nothing", "a free teacher needs no budget"
    recipe(tmp_path)
    lower = ceiling(load(tmp_path, Overrides(budget={"usd": 0.5})), tmp_path / "none", 1.0)
    assert (lower.said, lower.loaded.recipe.budget.usd) == ("within the budget", 0.5)
    higher = ceiling(load(tmp_path, Overrides(budget={"usd": 20})), tmp_path / "none", 1.0)
    assert (higher.said, higher.loaded.recipe.budget.usd) == ("for $1.00 at most", 1.0)
    unknown = load(tmp_path, Overrides(teachers=("main=https://models.example.com/v1,m",)))
    unpriced = unknown.recipe.teachers["main"].model_copy(update={"price": None})
    teachers = unknown.recipe.model_copy(update={"teachers": {"main": unpriced}})
    said = ceiling(type(loaded)(teachers, loaded.path, loaded.sha256, loaded.templates), tmp_path / "none", 1.0).said
    assert said == "at a price that is not known (main)"


def test_prompts_of_many_seeds_are_rendered_without_a_request_and_bring_their_lengths(tmp_path):
    loaded = recipe(tmp_path)
    prompts = asyncio.run(rendered(loaded, 20))
    assert (prompts.of, len(prompts.every)) == (40, 40)
    assert {one.teacher for one in prompts.every} == {"main"}
    assert "話題7の問題を3問。" in prompts.every[7].messages[0].content
    lengths = prompts.beyond({prompts.every[0].seed: 1, prompts.every[1].seed: 0})
    assert lengths is not None
    assert lengths[1] > lengths[0].mean(), "two figures are longer than one"
    assert prompts.beyond({"no such seed": 1}) is None
