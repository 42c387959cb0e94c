"""What it costs to compare texts by their vectors: each with all earlier ones, in time and in memory.

    .venv/bin/python tests/bench/meanings.py [--texts 5000 20000 100000] [--dimensions 256 1024] [--batch 1000]

The vectors are drawn at random, and no text holds a number, so that every one is compared with every other. `--batch` is
how many come at once: 1,000 when a file is read, in a run whatever has come since the last comparison.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import time

import numpy as np

from synth.dedupe import Dedupe, Semantic
from synth.dedupe.semantic import Meanings, Meant

SYLLABLES = ["ka", "mi", "to", "re", "su", "no", "ha", "yo", "wa", "ne", "shi", "chi"]


def measured(texts: int, dimensions: int, batch: int) -> None:
    """Print the seconds and the memory of one index."""
    rng, words = np.random.default_rng(0), random.Random(0)
    meanings = Meanings(Dedupe(semantic=Semantic(embedder="", threshold=0.9)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall_s = cpu_s = 0.0
    for start in range(0, texts, batch):
        vectors = rng.standard_normal((min(batch, texts - start), dimensions), np.float32)
        some = [
            Meant(str(start + row), "".join(words.choices(SYLLABLES, k=12)), one) for row, one in enumerate(vectors)
        ]
        wall, cpu = time.perf_counter(), time.process_time()
        meanings.add(some)
        wall_s, cpu_s = wall_s + time.perf_counter() - wall, cpu_s + time.process_time() - cpu
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{texts:8,} {dimensions:10,} {batch:6,} {wall_s:9.1f} s {cpu_s:9.1f} s {memory:8.0f} MiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(".\n")[0])
    parser.add_argument("--texts", type=int, nargs="*", default=[5000, 20_000, 100_000])
    parser.add_argument("--dimensions", type=int, nargs="*", default=[256, 1024])
    parser.add_argument("--batch", type=int, default=1000)
    options = parser.parse_args()
    if len(options.texts) == len(options.dimensions) == 1:
        measured(options.texts[0], options.dimensions[0], options.batch)
        return
    print(f"{'texts':>8} {'dimensions':>10} {'batch':>6} {'wall':>11} {'CPU':>11} {'memory':>12}")
    for texts in options.texts:
        for dimensions in options.dimensions:  # each in a process of its own, which alone tells its memory
            one = ["--texts", str(texts), "--dimensions", str(dimensions), "--batch", str(options.batch)]
            subprocess.run([sys.executable, __file__, *one], check=True)


if __name__ == "__main__":
    main()
