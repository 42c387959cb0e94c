"""What a run will come to is told from a few seeds, and holds; their replies are the run's."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import replace

import pytest

from synth.estimates.estimate import Estimate, estimate
from synth.estimates.intervals import Range
from synth.estimates.pilot import seen
from synth.pipeline import run
from synth.recipes.loading import load
from synth.results.result import Options, Result

RECIPE = """\
name: estimated
language: ja
seeds: {{kind: grid, axes: {{topic: [{topics}], level: [易, 難]}}}}
teachers:
  main:
    model: practice-1
    base_url: "practice:"
    price: {{input_usd: 1, output_usd: 4}}
stages:
  - name: write
    generator: {{kind: self_instruct, prompt: write.md.j2, count: 4}}
    dedupe: {{by: instruction}}
  - name: answer
    draws: 2
    generator: {{kind: answer, prompt: answer.md.j2, question: instruction}}
    {more}
"""
TOPICS = ", ".join(f"題{number}" for number in range(30))


def recipe(folder, more="scorers: [{kind: judge}]", topics=TOPICS, word="問題"):
    (folder / "recipe.yaml").write_text(RECIPE.format(more=more, topics=topics), encoding="utf-8")
    (folder / "write.md.j2").write_text(
        f"{{{{ topic }}}}（{{{{ level }}}}）の{word}を{{{{ count }}}}問。", encoding="utf-8"
    )
    (folder / "answer.md.j2").write_text("{{ instruction }}\n最後に「答え: 」と書く。", encoding="utf-8")
    return load(folder)


def made(loaded, folder, **options) -> Result:
    return asyncio.run(run(loaded, Options(folder, **options)))


def estimated(loaded, folder, pilot=10) -> tuple[Estimate, Result]:
    tried = made(loaded, folder, pilot=pilot, write=False)
    return estimate(loaded.recipe, tried.folder, tried.pilot, tried.manifest.stages), tried


def test_the_true_cost_and_rows_lie_in_the_interval_and_the_pilot_is_not_bought_again(tmp_path):
    loaded = recipe(tmp_path, word="課題")
    told, tried = estimated(loaded, tmp_path / "run", 20)
    assert (told.pilot, told.seeds) == (20, 60)
    assert told.pilot_microusd == tried.manifest.cost_microusd
    whole = made(loaded, tmp_path / "run").manifest
    assert told.cost_microusd.low <= whole.cost_microusd <= told.cost_microusd.high
    assert told.rows.low <= whole.row_count <= told.rows.high
    assert told.cost_microusd.high < 2 * told.cost_microusd.low
    assert told.seconds.high >= 1.25**2 * told.seconds.low > 0, "a host is not equally quick at all times"
    assert whole.cost_microusd == made(loaded, tmp_path / "anew").manifest.cost_microusd
    assert [(step.stage, step.teacher) for step in told.steps] == [
        ("write", "main"),
        ("answer", "main"),
        ("answer:score", "main"),
    ], "as they follow each other"
    assert sum(step.cost_microusd.value for step in told.steps) == pytest.approx(told.cost_microusd.value)


def test_a_pilot_of_all_seeds_tells_what_was(tmp_path):
    loaded = recipe(tmp_path, topics="話題1, 話題2")
    told, tried = estimated(loaded, tmp_path / "run", 20)
    true = made(loaded, tmp_path / "run").manifest
    assert told.cost_microusd == Range(*[true.cost_microusd] * 3)
    assert told.rows == Range(*[true.row_count] * 3)
    assert len(tried.pilot.rows) == told.seeds == 4


def test_the_seeds_of_a_pilot_are_spread_over_all_axes_and_the_same_each_time(tmp_path):
    loaded = recipe(tmp_path)
    tried = made(loaded, tmp_path / "run", pilot=10, write=False)
    places = [int(name) for name in tried.pilot.rows]
    assert [place // 6 for place in places] == list(range(10))
    assert {place % 2 for place in places} == {0, 1}
    again = made(loaded, tmp_path / "run", pilot=10, write=False)
    assert again.pilot.rows == tried.pilot.rows
    assert again.pilot.requests == tried.pilot.requests
    assert again.manifest.cost_microusd == tried.manifest.cost_microusd, "asked once"


def test_what_an_earlier_prompt_asked_in_the_same_folder_is_no_part_of_it(tmp_path):
    first, _ = estimated(recipe(tmp_path), tmp_path / "run")
    estimated(recipe(tmp_path, word="やさしい設問"), tmp_path / "run")
    again, _ = estimated(recipe(tmp_path), tmp_path / "run")
    assert replace(again, seconds=first.seconds) == first


def test_wanted_rows_are_what_is_reckoned_with(tmp_path):
    told, tried = estimated(recipe(tmp_path, "scorers: []\nselection: {rows: 1000}"), tmp_path / "run")
    rows = sum(tried.pilot.rows.values())
    assert told.rows == Range(1000, 1000, 1000)
    alone = 1000 * told.pilot_microusd / rows
    assert alone < told.cost_microusd.value < 1.1 * alone, "and what is under way when the last row comes"
    assert told.cost_microusd.low < told.cost_microusd.value < told.cost_microusd.high
    nothing, _ = estimated(
        recipe(tmp_path, "validators: [{kind: length, min_chars: 9000}]\nselection: {rows: 9}"), tmp_path / "none"
    )
    assert math.isinf(nothing.cost_microusd.high), "no number of seeds brings a row"


def test_what_a_pilot_paid_for_seeds_that_the_wanted_rows_never_take_is_told_beside_them(tmp_path):
    loaded = recipe(tmp_path, "scorers: []\nselection: {rows: 60}", topics=", ".join(f"題{n}" for n in range(200)))
    told, _ = estimated(loaded, tmp_path / "run")
    whole = made(loaded, tmp_path / "run").manifest
    assert whole.cost_microusd > 1.1 * made(loaded, tmp_path / "alone").manifest.cost_microusd
    assert told.cost_microusd.low <= whole.cost_microusd <= told.cost_microusd.high
    assert told.requests.low <= sum(line.sends for line in whole.ledger) <= told.requests.high


def test_few_rows_by_batch_cost_no_less_than_the_pilot_has_paid_for_asking_at_once(tmp_path):
    stage = "can_wait_h: 24\nselection: {rows: 5}"
    told, _ = estimated(recipe(tmp_path, stage), tmp_path / "run")
    assert 0 < told.pilot_microusd <= told.cost_microusd.low


def test_few_wanted_rows_cost_no_less_than_the_pilot_has_paid(tmp_path):
    told, _ = estimated(recipe(tmp_path, "scorers: []\nselection: {rows: 5}"), tmp_path / "run")
    assert told.pilot_microusd > 0
    assert told.pilot_microusd <= told.cost_microusd.low <= told.cost_microusd.value <= told.cost_microusd.high
    assert told.requests.low >= 1


def test_a_stage_that_waits_for_batches_is_told_at_their_price_and_one_that_could_is_hinted_at(tmp_path):
    usual, _ = estimated(recipe(tmp_path), tmp_path / "run")
    assert any("one draw less than 2 in stage answer saves about $" in hint for hint in usual.hints)
    assert any("can_wait_h: 24 on stage answer asks by batch" in hint for hint in usual.hints)
    waiting, tried = estimated(recipe(tmp_path, "scorers: [{kind: judge}]\n    can_wait_h: 24"), tmp_path / "run")
    asked = seen(tmp_path / "run", tried.pilot)
    assert not any("stage answer asks by batch" in hint for hint in waiting.hints)
    for before, after in zip(usual.steps, waiting.steps, strict=True):
        share = 0.5 if before.stage.startswith("answer") else 1.0
        paid = float(asked[before.stage, before.teacher].cost.sum())  # in full: a pilot waits for no batch
        left = before.cost_microusd.value - paid
        assert after.cost_microusd.value == pytest.approx(paid + share * left)


def test_the_command_tells_it_calmly_and_as_json(synth, tmp_path):
    recipe(tmp_path)
    shown = synth("estimate", ".", "--out", "run", "--pilot", "10")
    assert shown.returncode == 0, shown.stderr
    assert "10 of 60 seeds to be tried first, for $1.00 at most." in shown.stderr
    assert "60 seeds, estimated from 10 that cost $" in shown.stdout
    assert "answer:score" in shown.stdout
    assert "between" in shown.stdout
    assert "cheaper" in shown.stdout
    assert not (tmp_path / "run" / "rows.jsonl").exists()
    told = json.loads(synth("estimate", ".", "--out", "run", "--pilot", "10", "--json").stdout)
    assert told["cost_microusd"]["low"] <= told["cost_microusd"]["value"] <= told["cost_microusd"]["high"]
    stopped = synth("estimate", ".", "--out", "other", "--budget", "requests=3")
    assert stopped.returncode == 6
    assert stopped.stdout == ""


def test_twins_of_other_seeds_grow_with_the_seeds_and_widen_the_interval_downwards(tmp_path):
    loaded = recipe(tmp_path)
    plain, tried = estimated(loaded, tmp_path / "run")
    stages = tried.manifest.stages
    alone = estimate(loaded.recipe, tried.folder, replace(tried.pilot, twins={}), stages)
    met = estimate(loaded.recipe, tried.folder, replace(tried.pilot, twins={"write": 4}), stages)
    assert met.rows.low < 0.9 * alone.rows.low
    assert met.rows.value < alone.rows.value
    assert met.rows.high == pytest.approx(alone.rows.high)
    writing = [step for step in met.steps if step.stage == "write"]
    assert writing == [step for step in alone.steps if step.stage == "write"], "what is before the gate stays"
    assert plain.seeds == 60
