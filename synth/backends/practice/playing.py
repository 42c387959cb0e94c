"""How the roles of the practice teacher speak: good answers and spoilt ones, lists of objects, grades."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from synth.backends.practice.faults import REFUSALS, Faults, looped
from synth.backends.practice.said import Asked, Said, Truth
from synth.patterns import lazy


def spoilt(asked: Asked, good: str, truth: Truth, faults: Mapping[str, str]) -> Said:
    """A good answer, or one with a fault: those in `faults` with the words that stand in place of the good ones, and
    those that any answer may have."""
    fault = fault_of(asked.rng, asked.faults, (*faults, "refusal", "truncation", "repetition", "wrong_language"))
    told = Truth(truth.role, truth.task, truth.language, fault, truth.answer)
    if fault in faults:
        return Said(faults[fault], told)
    if fault == "refusal":
        return Said(asked.rng.choice(REFUSALS[(asked.faults.templates, asked.language)]), told)
    if fault == "truncation":
        return cut(asked.rng, good, told)
    if fault == "repetition":
        return Said(looped(asked.rng, good, asked.language, asked.faults.templates), told)
    if fault == "wrong_language":
        return Said(ELSEWHERE[asked.language], told)
    return Said(good, told)


ELSEWHERE = {
    "en": "ご質問については、まず全体を落ち着いて読み直し、分かっていることを一つずつ書き出すとよいでしょう。",
    "ja": "To answer this, read everything once more from the beginning and write down what is known, one by one.",
}
"""An answer in the language that was not asked for."""


def cut(rng: random.Random, content: str, spoken: Truth) -> Said:
    """A reply that ends before its end, and says so."""
    return Said(content[: max(1, int(len(content) * rng.uniform(0.3, 0.8)))], spoken, "length")


def fault_of(rng: random.Random, faults: Faults, possible: Sequence[str]) -> str:
    """The fault of one reply; empty when it is good."""
    point = rng.random()
    for name in possible:
        point -= cast("float", getattr(faults, name))
        if point < 0:
            return name
    return ""


def listed(asked: Asked, objects: Sequence[Mapping[str, Any]], task: str) -> Said:
    """Objects as the JSON list that was asked for."""
    content = json.dumps({"objects": list(objects)}, ensure_ascii=False)
    return Said(content, Truth("asker", task, asked.language))


def graded(asked: Asked, *, right: bool, task: str) -> Said:
    """A judge's verdict."""
    score = asked.rng.choice((4, 5, 5)) if right else asked.rng.choice((1, 1, 2))
    words = {
        ("en", True): "What it says was held against the text, and stands there.",
        ("en", False): "What it says does not follow from the text.",
        ("ja", True): "書かれていることを本文と照らし合わせ、合っていました。",
        ("ja", False): "書かれていることが本文と合っていません。",
    }
    content = json.dumps({"reason": words[(asked.language, right)], "score": score}, ensure_ascii=False)
    return Said(content, Truth("judge", task, asked.language))


def tagged(prompt: str, name: str) -> list[str]:
    """What stands between the tags of this name."""
    return [found.strip() for found in re.findall(rf"<{name}(?:\s[^>]*)?>(.*?)</{name}>", prompt, re.DOTALL)]


def count_in(prompt: str) -> int:
    """How many are asked for."""
    found = COUNT.search(prompt)
    return min(int(found[1]), 50) if found else 5


COUNT = lazy(r"(\d+)\s*(?:個|つ|問|件|new|different|instructions|questions|tasks)")
