"""What would make a run cheaper is said with its amount, where its hosts have it, and nowhere else."""

from __future__ import annotations

import numpy as np
import orjson
import pytest

from synth.estimates.cheaper import hints
from synth.estimates.pilot import Seen
from synth.recipes.loading import load

RECIPE = """\
name: cheaper
language: en
accept_terms: [openai]
seeds: {{kind: grid, axes: {{topic: [a, b]}}}}
teachers:
  main:
    model: gpt-4.1-mini
    base_url: {url}
    key_variable: KEY
    price: {price}
    {more}
stages:
  - name: answer
    draws: {draws}
    generator: {{kind: answer, prompt: p.md.j2}}
    scorers: [{{kind: judge}}]
    {waits}
"""
OPENAI, OWN = "https://api.openai.com/v1", "http://localhost:8000/v1"
USUAL = "{input_usd: 1, output_usd: 4, cached_input_usd: 0.25, service_tiers: {flex: 0.5, batch: 0.5}}"


def seen(prompt, completion, body="@", cached=0.0):
    """Two seeds of which each asked once."""
    both = np.array([1.0, 1.0])
    cost = both * (prompt + 4 * completion)
    bodies = [
        orjson.dumps({"messages": [{"role": "user", "content": text}]})
        for text in (body.replace("@", "first"), body.replace("@", "other"))
    ]
    nothing = np.zeros(2)
    return Seen(both, both * prompt, both * completion, both * cached, cost, both, nothing, nothing, bodies)


def told(tmp_path, found, url=OPENAI, price=USUAL, more="", draws=1, waits=""):
    (tmp_path / "p.md.j2").write_text("{{ topic }}")
    text = RECIPE.format(url=url, price=price, more=more, draws=draws, waits=waits)
    (tmp_path / "recipe.yaml").write_text(text)
    recipe = load(tmp_path).recipe
    return hints(recipe, found, dict.fromkeys(found, 1.0), 1_000.0)


def test_a_slower_tier_and_batches_are_offered_where_the_host_has_them(tmp_path):
    found = {("answer", "main"): seen(500, 125)}
    offered = told(tmp_path, found)
    assert "can_wait_h: 24 on stage answer asks by batch and saves about $1.00" in offered
    assert "service_tier: flex on main is slower and saves about $1.00" in offered
    assert told(tmp_path, found, more="service_tier: flex")[0].startswith("can_wait_h"), "it is asked for already"
    assert told(tmp_path, found, waits="can_wait_h: 24") == [], "a batch is no flex"
    assert told(tmp_path, found, url=OWN) == [], "one's own server has neither"


def test_one_draw_less_saves_its_share(tmp_path):
    found = {("answer", "main"): seen(500, 125)}
    assert not any("draw less" in one for one in told(tmp_path, found))
    assert "one draw less than 4 in stage answer saves about $0.5000" in told(tmp_path, found, url=OWN, draws=4)


def test_a_dear_judge_is_told_with_what_its_price_and_its_prompt_come_to(tmp_path):
    rubric = "The same rubric, word for word, each time. " * 20
    found = {("answer", "main"): seen(100, 25), ("answer:score", "main"): seen(800, 50, f"{rubric}@")}
    offered = told(tmp_path, found, url=OWN)
    assert "a judge of half the price for answer:score saves about $1.00" in offered
    assert any("prompts of answer:score take 800 tokens" in one and "save about $0.7" in one for one in offered)
    cheap = {("answer", "main"): seen(9000, 2500), ("answer:score", "main"): seen(800, 50, f"{rubric}@")}
    assert told(tmp_path, cheap, url=OWN) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("Alike. " * 500 + "@", "prompts of answer begin with the same"),
        ("@" + " alike." * 500, "where these come first, the host's cache saves up to"),
        ("@", ""),
    ],
)
def test_the_hosts_cache_is_told_of_where_prompts_are_alike_and_not_in_it_yet(body, said, tmp_path):
    offered = [one for one in told(tmp_path, {("answer", "main"): seen(2000, 1, body)}) if "cache" in one]
    assert len(offered) == bool(said)
    assert all(said in one for one in offered)
    assert not [one for one in told(tmp_path, {("answer", "main"): seen(2000, 1, body, 1500)}) if "cache" in one]
    plain = told(tmp_path, {("answer", "main"): seen(2000, 1, body)}, price="{input_usd: 1, output_usd: 4}")
    assert not [one for one in plain if "cache" in one], "a host without a price for it has none"


def test_what_costs_nothing_is_made_no_cheaper(tmp_path):
    free = "{input_usd: 0, output_usd: 0}"
    costless = seen(500, 100)
    costless.cost = np.zeros(2)
    assert told(tmp_path, {("answer", "main"): costless}, price=free, draws=4) == []
