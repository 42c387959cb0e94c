"""How often the true cost lies in the interval that `synth estimate` prints, over 20 practice recipes.

    PYTHONPATH=. .venv/bin/python tests/bench/estimate.py [--recipes 20] [--pilot 20]

Each recipe has other seeds, draws, checks, languages and planted faults. The estimate is taken first, then the whole is
run in another folder, so that nothing of the one is in the other.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
from pathlib import Path

from synth.estimate import estimate
from synth.pipeline import run
from synth.recipes.recipe import load
from synth.results.result import Options

RECIPE = """\
name: estimated
language: {language}
seeds: {{kind: grid, axes: {{topic: [{topics}], level: [{levels}]}}}}
teachers:
  main:
    model: practice-1
    base_url: "practice:{faults}"
    price: {{input_usd: {input}, output_usd: {output}}}
    sampling: {{max_tokens: 1024, seed: {seed}}}
stages:
  - name: write
    generator: {{kind: self_instruct, prompt: write.md.j2, count: {count}}}
    dedupe: {{by: instruction}}
  - name: answer
    draws: {draws}
    generator: {{kind: answer, prompt: answer.md.j2, question: instruction}}
    validators: [{{kind: finished}}, {{kind: refusal}}, {{kind: repetition}}, {{kind: language}}]
    scorers: [{scorers}]
    ask_again: {again}
"""
ROOT = Path(__file__).parent.parent.parent


def written(number: int, folder: Path) -> Path:
    """A recipe of its own for each number."""
    chance = random.Random(number)
    language = ("en", "ja")[number % 2]
    word = "topic" if language == "en" else "話題"
    topics = ", ".join(f"{word} {chance.randrange(10_000)}" for _ in range(chance.choice((20, 40, 80))))
    values = {
        "language": language,
        "topics": topics,
        "levels": ", ".join(("easy", "hard", "long")[: chance.choice((2, 3))]),
        "faults": chance.choice(("", "", "unhealthy", "faultless")),
        "input": chance.choice((0.5, 1, 3)),
        "output": chance.choice((2, 4, 15)),
        "seed": number,
        "count": chance.choice((3, 6, 10)),
        "draws": chance.choice((1, 1, 2)),
        "scorers": chance.choice(("", "{kind: judge}")),
        "again": chance.choice((0, 1)),
    }
    folder.mkdir()
    (folder / "recipe.yaml").write_text(RECIPE.format(**values), encoding="utf-8")
    for name in ("write.md.j2", "answer.md.j2"):
        source = ROOT / "prompts" / f"quickstart-{language}" / name
        (folder / name).write_bytes(source.read_bytes())
    return folder


def main() -> None:
    """Estimate and run each recipe, and count how often the truth was in between."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--recipes", type=int, default=20)
    parser.add_argument("--pilot", type=int, default=20)
    given = parser.parse_args()
    inside = {"cost": 0, "rows": 0}
    widths: list[float] = []
    for number in range(given.recipes):
        with tempfile.TemporaryDirectory() as name:
            loaded = load(written(number, Path(name) / "recipe"))
            tried = asyncio.run(run(loaded, Options(Path(name) / "tried", pilot=given.pilot, write=False)))
            assert tried.pilot is not None, tried.message
            told = estimate(loaded.recipe, tried.folder, tried.pilot, tried.manifest.stages)
            true = asyncio.run(run(loaded, Options(Path(name) / "run"))).manifest
        low, value, high = (getattr(told.cost_microusd, name) / 1e6 for name in ("low", "value", "high"))
        is_in = low <= true.cost_microusd / 1e6 <= high
        inside["cost"] += is_in
        inside["rows"] += told.rows.low <= true.row_count <= told.rows.high
        widths.append(high / low)
        print(
            f"{number:>2}  {told.pilot} of {told.seeds} seeds  ${low:.4f} .. ${value:.4f} .. ${high:.4f}  "
            f"true ${true.cost_microusd / 1e6:.4f} {'in' if is_in else 'OUT'}   "
            f"rows {told.rows.low:.0f} .. {told.rows.high:.0f}  true {true.row_count}"
        )
    print(f"cost in the interval {inside['cost']} of {given.recipes}, rows {inside['rows']}; "
          f"high is {max(widths):.2f} times low at most")  # fmt: skip


if __name__ == "__main__":
    main()
