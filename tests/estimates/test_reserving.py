"""Whether the budget or the recipe says how many requests can be in flight."""

from __future__ import annotations

import asyncio
import json

import pytest

from synth.estimates.prompts import rendered
from synth.estimates.reserving import held_back
from synth.money.account import set_total
from synth.recipes.loading import Overrides, load

RECIPE = """\
name: held
language: {language}
seeds: {{kind: grid, axes: {{topic: [{topics}]}}}}
teachers:
  main:
    model: practice-1
    base_url: "practice:faultless"
    sampling: {{max_tokens: 5000}}
    price: {{input_usd: 0, output_usd: 2}}
    limits: {{max_in_flight: 100}}
  cheap:
    model: practice-1
    base_url: "practice:faultless"
    sampling: {{max_tokens: 10}}
    price: {{input_usd: 0, output_usd: 1}}
stages:
  - {{name: answer, generator: {{kind: answer, prompt: q.md.j2}}, scorers: [{{kind: judge, teacher: cheap}}]}}
"""
PROMPTS = {"en": "Explain {{ topic }}.", "ja": "{{ topic }}を説明してください。"}


def recipe(folder, language="ja", count=300, **budget):
    (folder / "q.md.j2").write_text(PROMPTS[language], encoding="utf-8")
    topics = ", ".join(f"{'話題' if language == 'ja' else 'topic'}{number}" for number in range(count))
    (folder / "recipe.yaml").write_text(RECIPE.format(language=language, topics=topics), encoding="utf-8")
    return load(folder, Overrides(budget=budget))


@pytest.mark.parametrize("language", ["ja", "en"])
def test_estimate_says_when_the_budget_lets_fewer_be_in_flight_and_what_helps(tmp_path, synth, language):
    recipe(tmp_path, language)
    said = (
        "main: 100 requests in flight could take up to $1.00, $0.0100 each at max_tokens 5,000, and the budget has "
        "$0.2550: so 25 at once, however many the teacher bears. A lower max_tokens or a higher budget lets more."
    )
    before = synth("estimate", ".", "--pilot", "0", "--budget", "0.255")
    assert said in " ".join(before.stdout.split()), before.stderr
    told = synth("estimate", ".", "--pilot", "0", "--budget", "0.255", "--json")
    assert json.loads(told.stdout)["held_back"] == [said]
    after = synth("estimate", ".", "--pilot", "5", "--budget", "0.255", "--out", "run")
    assert said in " ".join(after.stdout.split()), after.stderr
    told = synth("estimate", ".", "--pilot", "5", "--budget", "0.255", "--out", "run", "--json")
    assert json.loads(told.stdout)["held_back"] == [said]
    assert "at once, however many" not in synth("estimate", ".", "--pilot", "0", "--budget", "1").stdout
    assert "at once, however many" not in synth("estimate", ".", "--pilot", "0").stdout


@pytest.mark.parametrize("language", ["ja", "en"])
def test_each_sum_is_told_of_and_no_more_are_reckoned_than_there_are_requests(tmp_path, language):
    set_total(tmp_path / "team.account", 300_000)
    loaded = recipe(tmp_path, language, account=str(tmp_path / "team.account"), tokens=60_000)
    prompts = asyncio.run(rendered(loaded, 0))
    account, tokens = held_back(loaded.recipe, prompts)[:2]
    assert f"the account {tmp_path / 'team.account'} has $0.3000: so 30 at once" in account
    assert tokens.startswith("main: 100 requests in flight could take up to 5")
    assert "the budget has 60,000 tokens: so 1" in tokens
    few = recipe(tmp_path, language, count=20, usd=0.2)
    assert held_back(few.recipe, asyncio.run(rendered(few, 0))) == []
    fewer = recipe(tmp_path, language, count=21, usd=0.2)
    assert len(held_back(fewer.recipe, asyncio.run(rendered(fewer, 0)))) == 1
