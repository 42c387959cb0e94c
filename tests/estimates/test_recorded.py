"""Estimates of recipes over recorded replies of real lengths hold, and narrowly; `tests/bench/estimate.py` runs them all."""

from __future__ import annotations

import asyncio

import pytest

from synth.estimates.estimate import estimate
from synth.estimates.prompts import rendered
from synth.pipeline import run
from synth.recipes.loading import load
from synth.results.result import Options
from tests.bench import replayed

pytestmark = pytest.mark.skipif(not replayed.DATA.exists(), reason=f"the real data is not at {replayed.DATA}")


@pytest.mark.parametrize("make", [replayed.asked_again, replayed.escalating, replayed.translations])
def test_what_real_texts_come_to_lies_in_the_interval(make, tmp_path):
    loaded = load(make(tmp_path / "recipe", 0))
    told = told_of(loaded, tmp_path / "tried")
    true = asyncio.run(run(loaded, Options(tmp_path / "run"))).manifest
    assert told.cost_microusd.low <= true.cost_microusd <= told.cost_microusd.high
    assert told.rows.low <= true.row_count <= told.rows.high
    assert told.requests.low <= sum(line.sends for line in true.ledger) <= told.requests.high
    assert told.cost_microusd.high < 2 * told.cost_microusd.low
    assert told.larger_pilot == 0


def test_the_lengths_of_all_prompts_narrow_what_documents_come_to(tmp_path):
    loaded = load(replayed.documents(tmp_path / "recipe", 0))
    told = told_of(loaded, tmp_path / "tried")
    tried = told_of(loaded, tmp_path / "tried", with_prompts=False)
    true = asyncio.run(run(loaded, Options(tmp_path / "run"))).manifest
    assert told.cost_microusd.low <= true.cost_microusd <= told.cost_microusd.high
    assert told.cost_microusd.high / told.cost_microusd.low < 1.25
    assert tried.cost_microusd.high / tried.cost_microusd.low > 1.35, "what the pilot alone tells of them"


def test_answers_of_very_different_lengths_are_told_with_the_pilot_that_would_tell_more(tmp_path):
    told = told_of(load(replayed.instructions(tmp_path / "recipe", 1)), tmp_path / "tried")
    assert told.cost_microusd.high > 2 * told.cost_microusd.low
    assert 20 < told.larger_pilot <= 175


def test_twins_that_a_pilot_cannot_have_met_widen_what_is_behind_the_gate(tmp_path):
    loaded = load(replayed.words(tmp_path / "recipe", 0))
    told = told_of(loaded, tmp_path / "tried")
    assert told.rows.low < 1553 < told.rows.high, "one word in four has been an answer before, and none in the pilot"
    first, second = (next(step for step in told.steps if step.stage == name) for name in ("first", "second"))
    assert first.requests.high < 1.2 * first.requests.low
    assert second.requests.low < 0.8 * first.requests.low


def told_of(loaded, folder, *, with_prompts=True):
    tried = asyncio.run(run(loaded, Options(folder, pilot=20, write=False)))
    prompts = asyncio.run(rendered(loaded, 20)) if with_prompts else None
    return estimate(loaded.recipe, tried.folder, tried.pilot, tried.manifest.stages, prompts)
