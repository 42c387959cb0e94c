"""What the near-duplicate gate saves: `PYTHONPATH=. python tests/bench/gate.py`.

The quickstart recipe in each language, once with its gate and once without, asks a practice teacher of whose
instructions 30 % repeat an earlier one in other words. The teacher has a price, so that cost is real.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import orjson
import yaml

from synth import pipeline
from synth.backends.practice.faults import USUAL
from synth.backends.practice.server import practice_server
from synth.dedupe import Dedupe, Twins, normalise
from synth.recipes.loading import load

PROMPTS = Path(__file__).parents[2] / "prompts"
DUPLICATES = USUAL.model_copy(update={"near_duplicate": 0.3, "latency_s": 0.0, "slow": 0.0})
PRICE = {"input_usd": 1.0, "output_usd": 4.0}
UNITS = {"en": 5, "ja": 3}
"""Characters of an n-gram."""


class Measured(NamedTuple):
    """One run."""

    requests: int
    cost_usd: float
    rows: int
    clusters: int
    """Rows that are no twins of one another."""
    distinct: float
    """Of the character n-grams of all questions, the share that is new."""
    nearest: float
    """How similar (Jaccard of n-grams) a question is to the one nearest to it, on average."""
    saved_replies: int
    saved_usd: float
    """As the run itself estimates it."""


def measured(language: str, seeds: int, *, gate: bool) -> Measured:
    """Run the recipe with so many seeds, with its gate or without."""
    with tempfile.TemporaryDirectory() as vanishing:
        folder = Path(vanishing) / "recipe"
        shutil.copytree(PROMPTS / f"quickstart-{language}", folder)
        if (PROMPTS / "shared").exists():
            shutil.copytree(PROMPTS / "shared", Path(vanishing) / "shared")
        return asyncio.run(_run(folder, Path(vanishing) / "run", language, seeds, gate=gate))


async def _run(folder: Path, out: Path, language: str, seeds: int, *, gate: bool) -> Measured:
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text("utf-8"))
    if not gate:
        del recipe["stages"][0]["dedupe"]
    async with practice_server(DUPLICATES) as base_url:
        recipe["teachers"]["main"] |= {"base_url": base_url, "price": PRICE}
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, allow_unicode=True, sort_keys=False), "utf-8")
        result = await pipeline.run(load(folder), pipeline.Options(out, limit=seeds))
    manifest = result.manifest
    rows = [orjson.loads(line) for line in (out / "rows.jsonl").read_bytes().splitlines()]
    questions = [next(turn["content"] for turn in row["messages"] if turn["role"] == "user") for row in rows]
    twins = Twins(Dedupe())
    alone = twins.add_batch([row["id"] for row in rows], questions).count(None)
    distinct, nearest = diversity(questions, UNITS[language])
    saved = manifest.saved
    return Measured(
        requests=sum(line.attempts for line in manifest.ledger if line.failure not in ("unsent", "reused")),
        cost_usd=manifest.cost_microusd / 1e6,
        rows=len(rows),
        clusters=alone,
        distinct=distinct,
        nearest=nearest,
        saved_replies=saved.replies if saved else 0,
        saved_usd=saved.cost_microusd / 1e6 if saved else 0,
    )


def diversity(texts: list[str], unit: int) -> tuple[float, float]:
    """The share of distinct character n-grams, and the mean similarity of each text to its nearest neighbour."""
    plains = [normalise(text) for text in texts]
    every = [[plain[at : at + unit] for at in range(max(1, len(plain) - unit + 1))] for plain in plains]
    counts = Counter(gram for grams in every for gram in grams)
    sets = [set(grams) for grams in every]
    nearest = [0.0] * len(sets)
    for place, one in enumerate(sets):
        for other in range(place):
            common = len(one & sets[other])
            similarity = common / (len(one) + len(sets[other]) - common)
            nearest[place], nearest[other] = max(nearest[place], similarity), max(nearest[other], similarity)
    return len(counts) / counts.total(), sum(nearest) / max(1, len(nearest))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=30, help="Seeds; each brings ten instructions.")
    seeds = parser.parse_args().limit
    print(
        "language gate  requests     cost   rows  distinct rows  $ per distinct row  distinct-n  nearest  estimated saving"
    )
    for language in UNITS:
        for gate in (True, False):
            one = measured(language, seeds, gate=gate)
            saving = f"{one.saved_replies:,} replies, ${one.saved_usd:.4f}" if gate else ""
            print(
                f"{language:8} {'on' if gate else 'off':4} {one.requests:9,} ${one.cost_usd:.4f} {one.rows:6,}"
                f" {one.clusters:14,} {one.cost_usd / one.clusters:19.6f} {one.distinct:11.3f} {one.nearest:8.3f}  {saving}"
            )


if __name__ == "__main__":
    main()
