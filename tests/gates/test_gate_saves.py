"""The near-duplicate gate saves requests and money, and costs no distinct row: a small run of tests/bench/gate.py."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

BENCH = runpy.run_path(str(Path(__file__).parent.parent / "bench" / "gate.py"))


@pytest.mark.parametrize("language", ["en", "ja"])
def test_with_the_gate_fewer_requests_and_less_money_bring_as_many_distinct_rows(language: str) -> None:
    gated, plain = (BENCH["measured"](language, 10, gate=gate) for gate in (True, False))
    assert gated.requests < 0.95 * plain.requests
    assert gated.cost_usd < 0.95 * plain.cost_usd
    assert gated.clusters >= 0.95 * plain.clusters
    assert gated.rows == gated.clusters
    assert plain.rows > 1.05 * plain.clusters
    assert gated.distinct > plain.distinct
    assert gated.nearest < plain.nearest
    assert gated.saved_replies >= plain.requests - gated.requests - 10
    assert plain.saved_replies == 0


def test_diversity_tells_repeated_from_varied_texts_in_both_languages() -> None:
    diversity = BENCH["diversity"]
    assert diversity(["りんごは何個ですか", "りんごは何個ですか"], 3) == (0.5, 1.0)
    distinct, nearest = diversity(["りんごは何個ですか", "次の駅まで歩きます"], 3)
    assert (distinct, nearest) == (1.0, 0.0)
    assert diversity(["How many apples?", "how many APPLES"], 5)[1] == 1.0
