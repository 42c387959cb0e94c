"""How often the truth lies in the intervals that `synth estimate` prints: 20 practice recipes, 14 of recorded replies.

    PYTHONPATH=. .venv/bin/python tests/bench/estimate.py [--recipes 20] [--pilot 20] [--orders 1]

Each practice recipe has other seeds, draws, checks, languages and planted faults. The estimate is taken first, then the whole is
run in another folder, so that nothing of the one is in the other.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from synth.estimates.estimate import Estimate, estimate
from synth.estimates.intervals import Range
from synth.estimates.prompts import rendered
from synth.pipeline import run
from synth.recipes.loading import load
from synth.results.result import Options
from tests.bench import replayed

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


def measured(recipe: Path, folder: Path, pilot: int) -> tuple[Estimate, dict[str, float]]:
    """The estimate of a recipe, and what its run came to in another folder: by the names of the estimate's ranges."""
    loaded = load(recipe)
    tried = asyncio.run(run(loaded, Options(folder / "tried", pilot=pilot, write=False)))
    assert tried.pilot is not None, tried.message
    prompts = asyncio.run(rendered(loaded, pilot))
    told = estimate(loaded.recipe, tried.folder, tried.pilot, tried.manifest.stages, prompts)
    true = asyncio.run(run(loaded, Options(folder / "run"))).manifest
    return told, {
        "cost_microusd": true.cost_microusd,
        "rows": true.row_count,
        "requests": sum(line.sends for line in true.ledger if line.failure != "unsent"),
        "tokens": sum(line.prompt_tokens + line.completion_tokens for line in true.ledger),
    }


def main() -> None:
    """Estimate and run each recipe, and count how often the truth was in between."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--recipes", type=int, default=20, help="of practice")
    parser.add_argument("--pilot", type=int, default=20)
    parser.add_argument("--orders", type=int, default=1, help="of the seeds of each recipe with recorded replies")
    given = parser.parse_args()
    makers: list[tuple[str, Callable[[Path], Path]]] = [
        (str(number), partial(written, number)) for number in range(given.recipes)
    ]
    if replayed.DATA.exists():
        every = [(make, order) for make in replayed.EVERY for order in range(given.orders)]
        makers += [(make.__name__, partial(_ordered, make, order)) for make, order in every]
    inside: Counter[str] = Counter()
    widths: list[float] = []
    for name, make in makers:
        with tempfile.TemporaryDirectory() as folder:
            told, true = measured(make(Path(folder) / "recipe"), Path(folder), given.pilot)
        found: dict[str, Range] = {part: getattr(told, part) for part in true}
        is_in = {part: found[part].low - 1 <= true[part] <= found[part].high + 1 for part in true}
        inside.update(part for part in true if is_in[part])
        cost, rows = found["cost_microusd"], found["rows"]
        widths.append(cost.high / cost.low)
        print(
            f"{name:>12}  {told.pilot} of {told.seeds} seeds  ${cost.low / 1e6:.4f} .. ${cost.value / 1e6:.4f} .. "
            f"${cost.high / 1e6:.4f}  true ${true['cost_microusd'] / 1e6:.4f}   "
            f"rows {rows.low:.0f} .. {rows.high:.0f}  true {true['rows']}   {widths[-1]:.2f}   "
            + ", ".join(f"{part} OUT" for part in true if not is_in[part]),
            flush=True,
        )
    wide = sum(width >= 2 for width in widths)
    print(f"in the interval of {len(makers)}: {dict(inside)}; high is {sorted(widths)[len(widths) // 2]:.2f} times low in "
          f"the middle, {max(widths):.2f} at most, 2 or more {wide} times")  # fmt: skip


def _ordered(make: Callable[[Path, int], Path], order: int, folder: Path) -> Path:
    return make(folder, order)


if __name__ == "__main__":
    main()
