"""What a request may cost at worst, what a reply did cost, and where a price comes from."""

from __future__ import annotations

import json
import random
import sys
from datetime import date
from fractions import Fraction

import pytest

from synth.money import price_table
from synth.money.prices import FREE, Price, Tier, recorded, tariff
from synth.protocol.endpoint import Endpoint
from synth.protocol.replies import usage_of
from synth.types import Outcome, Request, Spend, Usage


def request(prompt=1000, most=100):
    return Request(b"", "main", "m", b"", 0, prompt, most)


def used(body):
    return usage_of(Outcome(200, json.dumps(body).encode()))


def test_sums_are_exact_and_rounded_up():
    tenth = tariff(Price(input_usd=0.1, output_usd=0.2))
    assert tenth.charge(Spend(), Usage(3, 0), paid=True).microusd == 1
    assert tenth.charge(Spend(), Usage(10, 0), paid=True).microusd == 1
    assert tenth.charge(Spend(), Usage(30, 0), paid=True).microusd == 3  # 0.1 * 30 is more than 3 in floats
    rng = random.Random(1)
    for _ in range(500):
        price = Price(input_usd=round(rng.uniform(0, 90), 6), output_usd=round(rng.uniform(0, 90), 6))
        prompt, completion = rng.randint(0, 10**6), rng.randint(0, 10**5)
        exact = prompt * Fraction(str(price.input_usd)) + completion * Fraction(str(price.output_usd))
        cost = tariff(price).charge(Spend(), Usage(prompt, completion), paid=True).microusd
        assert 0 <= cost - exact < 1


def test_every_kind_of_token_has_its_rate():
    price = Price(
        input_usd=10, output_usd=20, cached_input_usd=1, cache_write_usd=12.5, reasoning_usd=30, request_usd=0.5
    )
    usage = Usage(100, 50, cached_tokens=40, reasoning_tokens=10, cache_write_tokens=20)
    expected = 500_000 + 40 * 10 + 40 * 1 + 20 * 12.5 + 40 * 20 + 10 * 30
    assert tariff(price).charge(Spend(), usage, paid=True) == Spend(int(expected), 150, 1)


@pytest.mark.parametrize("seed", range(50))
def test_nothing_within_the_providers_cap_costs_more_than_the_worst_case(seed):
    rng = random.Random(seed)

    def rates():
        return {
            "input_usd": rng.uniform(0, 9),
            "output_usd": rng.uniform(0, 9),
            "cached_input_usd": rng.choice((None, rng.uniform(0, 12))),
            "cache_write_usd": rng.choice((None, rng.uniform(0, 12))),
            "reasoning_usd": rng.choice((None, rng.uniform(0, 12))),
        }

    tiers = [Tier(above_prompt_tokens=rng.randint(1, 3000), **rates()) for _ in range(rng.randint(0, 2))]
    price = Price(tiers=tiers, service_tiers={"flex": 0.5, "priority": 2}, request_usd=rng.uniform(0, 1e-4), **rates())
    asked = rng.choice(("", "flex", "priority"))
    reckoned = tariff(price, asked)
    for _ in range(100):
        one = request(rng.randint(0, 4000), rng.randint(1, 900))
        prompt, completion = rng.randint(0, one.prompt_tokens), rng.randint(0, one.max_tokens)
        cached = rng.randint(0, prompt)
        written = rng.randint(0, prompt - cached)
        served = rng.choice(("", "default", "flex", asked))
        usage = Usage(prompt, completion, cached, rng.randint(0, completion), written, service_tier=served)
        worst = reckoned.worst(one)
        cost = reckoned.charge(worst, usage, paid=True)
        assert 0 <= cost.microusd <= worst.microusd
        assert cost.tokens <= worst.tokens


def test_a_discount_needs_the_replys_word_and_a_surcharge_does_not():
    price = Price(input_usd=0, output_usd=10, service_tiers={"flex": 0.5, "priority": 2})

    def cost(asked, served):
        return tariff(price, asked).charge(Spend(), Usage(0, 100, service_tier=served), paid=True).microusd

    assert [cost("flex", "flex"), cost("flex", "default"), cost("flex", "")] == [500, 1000, 1000]
    assert [cost("priority", "priority"), cost("priority", "default"), cost("priority", "")] == [2000, 1000, 2000]
    assert tariff(price, "flex").worst(request(0, 100)).microusd == 1000


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {"prompt_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}},
            Usage(9, 5, cached_tokens=4),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 40}}, Usage(9, 5, 9)),
        (
            {"prompt_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": {"cache_write_tokens": 8, "cached_tokens": 3}},
            Usage(9, 5, cached_tokens=3, cache_write_tokens=6),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 5, "prompt_cache_hit_tokens": 7, "prompt_cache_miss_tokens": 2}, Usage(9, 5, 7)),
        (
            {"input_tokens": 10, "output_tokens": 5, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 30},
            Usage(60, 5, cached_tokens=30, cache_write_tokens=20),
        ),
        ({"input_tokens": 10, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 4}}, Usage(10, 5, 4)),
        (
            {"prompt_tokens": 9, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 3}},
            Usage(9, 5, reasoning_tokens=3),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 30}},
            Usage(9, 5, reasoning_tokens=5),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 44, "completion_tokens_details": {"reasoning_tokens": 30}},
            Usage(9, 35, reasoning_tokens=30),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 5, "cost": 0.1}, Usage(9, 5, cost_microusd=100_000)),
        ({"prompt_tokens": 9, "completion_tokens": 5, "cost": 1.0000001e-06}, Usage(9, 5, cost_microusd=2)),
        ({"prompt_tokens": 9, "completion_tokens": 5, "cost": "0.0012"}, Usage(9, 5, cost_microusd=1200)),
        ({"prompt_tokens": 9, "completion_tokens": 5, "cost": "1e-5"}, Usage(9, 5, cost_microusd=10)),
        ({"prompt_tokens": 9, "completion_tokens": 5, "cost": "0.1"}, Usage(9, 5, cost_microusd=100_000)),
        (
            {"prompt_tokens": 9, "completion_tokens": 5, "cost": "0.5", "is_byok": True, "cost_details": {"upstream_inference_cost": "2"}},
            Usage(9, 5, cost_microusd=2_500_000),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 5, "cost": 0.5, "is_byok": True, "cost_details": {"upstream_inference_cost": 2}},
            Usage(9, 5, cost_microusd=2_500_000),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 5, "service_tier": "batch"}, Usage(9, 5, service_tier="batch")),
    ],
)  # fmt: skip
def test_usage_is_read_in_every_familys_words(usage, expected):
    assert used({"usage": usage}) == expected


def test_a_sum_of_which_a_part_is_unbelievable_is_none():
    said = {"cost": "0.5", "is_byok": True, "cost_details": {"upstream_inference_cost": "unknown"}}
    assert used({"usage": {"prompt_tokens": 9, "completion_tokens": 5, **said}}) == Usage(9, 5)


@pytest.mark.parametrize(
    "cost", [-1, True, None, 1e9, 10**400, [], {}, "", "無料", "abc", "-1", "NaN", "inf", "1e9", "0,0012", "$1"]
)
def test_an_unbelievable_sum_leaves_the_tokens_to_count(cost):
    assert used({"usage": {"prompt_tokens": 9, "completion_tokens": 5, "cost": cost}}) == Usage(9, 5)


def test_the_providers_own_sum_wins():
    price = tariff(Price(input_usd=1, output_usd=1))
    assert price.charge(Spend(50, 20, 1), Usage(9, 5, cost_microusd=3), paid=True) == Spend(3, 14, 1)
    unsaid = price.charge(Spend(50, 20, 1), Usage(cost_microusd=3), paid=True)
    assert (unsaid.microusd, unsaid.tokens, unsaid.assumed) == (3, 20, True)


def test_a_recorded_price_reckons_as_it_did():
    price = Price(input_usd=1, output_usd=2, as_of=date(2026, 11, 1), source="https://example.com/pricing")
    assert recorded(price.model_dump_json()) == tariff(price)


def test_a_tier_that_the_table_does_not_know_is_priced_as_its_host_says():
    pytest.importorskip("genai_prices")
    gemini = Endpoint(model="gemini-2.5-flash", base_url="https://generativelanguage.googleapis.com/v1beta/openai")
    assert gemini.known_price().service_tiers["flex"] == 0.5
    given = gemini.model_copy(update={"price": Price(input_usd=1, output_usd=2)})
    assert given.known_price() == given.price


def test_what_a_dearer_tier_costs_is_unknown_where_nobody_says_it_and_never_the_usual_price():
    pytest.importorskip("genai_prices")
    gemini = Endpoint(model="gemini-2.5-flash", base_url="https://generativelanguage.googleapis.com/v1beta/openai")
    dearer = gemini.model_copy(update={"service_tier": "priority"})
    assert dearer.known_price() is None
    openai = Endpoint(model="gpt-5", base_url="https://api.openai.com/v1", service_tier="priority")
    assert openai.known_price().service_tiers["priority"] == 2


def test_the_installed_table_gives_prices_by_host_and_model():
    pytest.importorskip("genai_prices")
    day = date(2026, 11, 25)
    price = price_table.listed("https://api.openai.com/v1", "gpt-5.2", day)
    assert (price.input_usd, price.cached_input_usd, price.output_usd) == (1.75, 0.175, 14)
    assert price.service_tiers["flex"] == 0.5
    assert price.source.startswith("genai-prices 0.")
    long = price_table.listed("https://api.anthropic.com/v1", "claude-sonnet-4-5", day)
    assert long.tiers[0].above_prompt_tokens == 200_000
    assert long.tiers[0].input_usd > long.input_usd
    assert long.cache_write_usd > long.input_usd
    # cheaper by night: the dearest hour counts
    assert price_table.listed("https://api.deepseek.com/v1", "deepseek-chat", day).output_usd == 1.1
    assert price_table.listed("https://nobody.example/v1", "gpt-5.2", day) is None
    assert price_table.listed("https://api.openai.com/v1", "no-such-model", day) is None


def test_without_the_table_a_hosted_price_is_unknown_and_a_private_host_is_free(monkeypatch):
    price_table.listed.cache_clear()
    monkeypatch.setitem(sys.modules, "genai_prices.data", None)
    assert Endpoint(model="gpt-5.2", base_url="https://api.openai.com/v1").known_price() is None
    assert Endpoint(model="gpt-5.2", base_url="http://localhost:8000/v1").known_price() == FREE
    price_table.listed.cache_clear()


def test_replicas_at_different_prices_have_no_known_price():
    endpoint = Endpoint(model="m", base_url="http://localhost/v1", replicas=[{"base_url": "https://hosted.example/v1"}])
    assert endpoint.known_price() is None
