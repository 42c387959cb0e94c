"""What decontamination finds of MGSM planted in other people's texts, and what it flags that was not planted.

    .venv/bin/python tests/bench/decontamination.py [DATA]

DATA holds mgsm_en.tsv, mgsm_ja.tsv and the other public sets of ../shared/data (the default). Each question of one
language is planted verbatim, re-spaced, full-width, lightly edited, with other numbers, inside a longer text, and as
its translation; the other texts are everything else there, but for the GSM8K problems that MGSM was made of.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from synth.dedupe.decontaminate import Benchmarks, Item

Edit = Callable[[str, random.Random], str]
FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)} | {0x20: 0x3000}
DIGITS = re.compile(r"\d+")
NUMBER_WORDS = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve", "twenty", "hundred"]
OTHER_WORDS = ["green", "often", "small", "there", "market", "again", "seven", "under", "paper", "their", "quick"]
OTHER_KANA = "あいうえおかきくけこさしすせそのにをはがと"


def japanese(text: str) -> bool:
    return re.search("[ぁ-ん]", text) is not None


def respaced(text: str, dice: random.Random) -> str:
    """Blanks where there were none (Japanese), and more of them where there were (English)."""
    if japanese(text):
        return "".join(c + (" " if dice.random() < 0.4 else "") for c in text)
    return re.sub(" ", lambda _: dice.choice(["  ", "\n", " \t", "\u3000", " "]), text)


def edited(text: str, dice: random.Random) -> str:
    """One word in twelve, or one character in fifteen, another one, left out or doubled."""
    parts = list(text) if japanese(text) else text.split(" ")
    every, others = (15, list(OTHER_KANA)) if japanese(text) else (12, OTHER_WORDS)
    offset = dice.randrange(every)
    for place in range(offset, len(parts), every):
        way = dice.randrange(3)
        parts[place] = (dice.choice(others), "", parts[place] + ("" if japanese(text) else " ") + dice.choice(others))[
            way
        ]
    return ("" if japanese(text) else " ").join(parts)


def every_eighth(text: str, dice: random.Random) -> str:
    """Every eighth word, or every twelfth character, is another one: no n-gram of 8 words is left whole."""
    parts = list(text) if japanese(text) else text.split(" ")
    every, others = (12, list(OTHER_KANA)) if japanese(text) else (8, OTHER_WORDS)
    for place in range(every - 1, len(parts), every):
        parts[place] = dice.choice(others)
    return ("" if japanese(text) else " ").join(parts)


def renumbered(text: str, dice: random.Random) -> str:
    """Every number another one, in digits and words."""
    text = DIGITS.sub(lambda found: str(dice.randint(2, 99) + int(found[0])), text)
    words = "|".join(NUMBER_WORDS)
    return re.sub(rf"\b(?:{words})\b", lambda _: dice.choice(NUMBER_WORDS), text)


CLASSES: dict[str, Edit] = {
    "verbatim": lambda text, _: text,
    "spacing": respaced,
    "width": lambda text, _: text.translate(FULL_WIDTH),
    "light edit": edited,
    "1 in 8 words": every_eighth,
    "number edit": renumbered,
}


def questions(path: Path) -> list[str]:
    return [line.split("\t")[0] for line in path.read_text(encoding="utf-8").splitlines()]


def records(path: Path) -> Iterator[dict]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def others(data: Path) -> dict[str, list[str]]:
    """The other texts by set; of GSM8K only problems that are not in MGSM, with their model solutions."""
    english = questions(data / "mgsm_en.tsv")

    def letters(text: str) -> str:
        return re.sub(r"\W+", "", text).casefold()

    known = set(map(letters, english))
    free = [row for row in records(data / "gsm8k_model_solutions.jsonl") if letters(row["question"]) not in known]
    solvers = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
    seeds = list(records(data / "self_instruct_seeds.jsonl"))
    return {
        "gsm8k questions": [row["question"] for row in free],
        "gsm8k solutions": [row[solver]["solution"] for row in free for solver in solvers],
        "seed instructions": [row["instruction"] for row in seeds],
        "seed instances": [f"{one['input']}\n{one['output']}" for row in seeds for one in row["instances"]],
        "humaneval": [row["prompt"] + row["canonical_solution"] for row in records(data / "humaneval.jsonl.gz")],
        "jcommonsenseqa": [row["question"] for row in records(data / "jcommonsenseqa.jsonl")],
        "jsts": [row[name] for row in records(data / "jsts_pairs.jsonl") for name in ("sentence1", "sentence2")],
    }


class Measured(NamedTuple):
    """What was found."""

    found: dict[str, float]
    """The share of planted questions, by class."""
    false_alarms: int
    texts: int


def measured(data: Path, language: str, each: int = 1, tell: Callable[[str], object] = lambda _: None) -> Measured:
    """Plant every question of a language in each way; of the questions and the other texts take every `each`-th."""
    benchmarks = Benchmarks(
        Item("mgsm", row, text) for row, text in enumerate(questions(data / f"mgsm_{language}.tsv"), 1)
    )
    asked = questions(data / f"mgsm_{language}.tsv")[::each]
    clean = {name: texts[::each] for name, texts in others(data).items()}
    rest = [text for texts in clean.values() for text in texts]
    tell(f"{language}: {benchmarks.record({})[0]}")
    dice = random.Random(7)
    found: dict[str, float] = {}
    within: Edit = lambda text, dice: "\n".join([*dice.sample(rest, 3), text])  # noqa: E731
    for name, edit in {**CLASSES, "inside": within}.items():
        hits = [benchmarks.find(edit(text, dice)) for text in asked]
        found[name] = sum(
            hit is not None and hit.item.text == text for hit, text in zip(hits, asked, strict=True)
        ) / len(asked)
        tell(f"  {name:14} {found[name]:6.1%}  {dict(Counter(hit.how if hit else 'missed' for hit in hits))}")
    false_alarms = 0
    began = time.process_time()
    for name, texts in clean.items():
        flagged = [(text, hit) for text in texts if (hit := benchmarks.find(text))]
        false_alarms += len(flagged)
        tell(f"  {len(flagged)} false alarms in {len(texts):6,} {name}")
        for text, hit in flagged:
            tell(f"      {hit} | {text[:120]!r}")
    seconds = time.process_time() - began
    tell(f"  false alarms {false_alarms / len(rest):.5f}; {len(rest) / seconds:,.0f} texts per CPU second")
    return Measured(found, false_alarms, len(rest))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(".\n")[0])
    parser.add_argument("data", nargs="?", type=Path, default=Path("../shared/data"))
    data = parser.parse_args().data
    for language, other in (("en", "ja"), ("ja", "en")):
        measured(data, language, tell=print)
        benchmarks = Benchmarks(Item("mgsm", 1, text) for text in questions(data / f"mgsm_{language}.tsv"))
        translated = questions(data / f"mgsm_{other}.tsv")
        found = sum(benchmarks.find(text) is not None for text in translated)
        print(f"  translated     {found / len(translated):6.1%}  (they share no n-gram)")


if __name__ == "__main__":
    main()
