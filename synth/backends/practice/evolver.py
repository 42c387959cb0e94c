"""The practice teacher evolves its own exercises: it asks more of one, or brings another one of its kind."""

from __future__ import annotations

import json
import re

from synth.backends.practice.questions import TASKS
from synth.backends.practice.reading import folded, read
from synth.backends.practice.said import Asked, Said, Truth
from synth.patterns import lazy

PARENT = lazy(r"<instruction>\s*(.*?)\s*</instruction>", re.DOTALL)
EVOLVED = lazy(r"<evolved>\s*(.*?)\s*</evolved>", re.DOTALL)
MORE = {
    "en": (
        "Show every step of the calculation, and say why it is needed.",
        "Check the result in a second way before you give it.",
        "Explain it so that a ten-year-old can follow, in at most five sentences.",
        "Name the assumption that matters most, and say what would change without it.",
        "Point out the mistake that people make most often here, and how to avoid it.",
        "Write down what is given and what is sought before you begin.",
        "Compare two ways of finding it and say which one is shorter.",
    ),
    "ja": (
        "計算の手順をすべて示し、それぞれがなぜ必要かも説明してください。",
        "答えを出す前に、別の方法で検算してください。",
        "小学生にも分かるように、五文以内で説明してください。",
        "計算の前提のうち最も大事なものを挙げ、それがなければどう変わるかも述べてください。",
        "間違えやすいところを一つ挙げ、避け方も書いてください。",
        "はじめに、分かっていることと求めることを整理してください。",
        "求め方を二通り比べ、短く済むほうを示してください。",
    ),
}
WIDEN = lazy(r"rarer|珍しい")
NO_EVOLUTION = {
    "en": ("{parent}", "#Rewritten Prompt#: {parent} Take care.", "And so?", "{parent} Please."),
    "ja": ("{parent}", "新しい指示：{parent}丁寧にお願いします。", "そうですか。", "{parent}お願いします。"),
}


def evolver(asked: Asked) -> Said | None:
    """A harder or a rarer instruction in place of the one that stands in the prompt."""
    shown = PARENT.search(asked.prompt)
    if shown is None or asked.wanted != frozenset({"instruction"}):
        return None
    rng, language, parent = asked.rng, asked.language, shown[1]
    if rng.random() < asked.faults.failed_evolution:
        text = rng.choice(NO_EVOLUTION[language]).format(parent=parent)
        return _written(text, Truth("evolver", language=language, fault="failed_evolution"))
    known = read(parent)
    if WIDEN.search(asked.prompt) or known is None:
        others = [one for one in TASKS if one.language == language and one.name != "form"]
        others = [one for one in others if known is None or one.name != known.task.name]
        task = rng.choice(others)
        return _written(task.write(rng), Truth("evolver", task.name, language))
    left = [one for one in MORE[language] if one not in parent]
    joint = " " if language == "en" else "" if parent.endswith(("。", "？")) else "\n"
    return _written(f"{parent}{joint}{rng.choice(left or MORE[language])}", Truth("evolver", known.task.name, language))


def sameness(asked: Asked) -> Said | None:
    """Whether an evolved instruction asks for more than its parent: it does where a demand or an exercise is new."""
    one, other = PARENT.search(asked.prompt), EVOLVED.search(asked.prompt)
    if one is None or other is None or "same" not in asked.wanted:
        return None
    parent, evolved, language = folded(one[1]), folded(other[1]), asked.language
    demands = [folded(more) for more in MORE[language]]
    gained = any(more in evolved and more not in parent for more in demands) or _exercise(evolved) != _exercise(parent)
    reason = {
        ("en", True): "The second one asks for more.",
        ("en", False): "Both ask for the same.",
        ("ja", True): "二つ目のほうが多くを求めています。",
        ("ja", False): "求めていることは同じです。",
    }[(language, gained)]
    content = json.dumps({"reason": reason, "same": not gained}, ensure_ascii=False)
    return Said(content, Truth("judge", language=language))


def _exercise(text: str) -> tuple[str, str] | None:
    known = read(text)
    return None if known is None else (known.task.name, known.solution.answer)


def _written(text: str, true: Truth) -> Said:
    return Said(json.dumps({"instruction": text}, ensure_ascii=False), true)
