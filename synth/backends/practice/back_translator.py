"""The practice teacher writes what a text was asked for with, and grades how well such a pair fits."""

from __future__ import annotations

import json
import re

from synth.backends.practice.playing import graded, tagged
from synth.backends.practice.said import Asked, Said, Truth
from synth.language.text import units

SHOWN_CHARS = 60
ENOUGH = 0.5
"""Of an instruction's words, how many stand in a text that it fits."""
ASKING = {
    "en": ("Write a short text that takes up this: {start}", "Please explain, in a few sentences: {start}"),
    "ja": ("次のことから始まる短い文章を書いてください。{start}", "「{start}」について、短くまとめてください。"),
}
BESIDE = {
    "en": "Recommend three card games for a rainy weekend with grandparents and toddlers.",
    "ja": "雨の週末に祖父母と幼児が一緒に遊べるカードゲームを三つ教えてください。",
}
"""What no text here was asked for with."""


def back_translator(asked: Asked) -> Said | None:
    """An instruction for the text that stands in the prompt, which now and then does not fit."""
    shown = tagged(asked.prompt, "text")
    if not shown or tagged(asked.prompt, "instruction") or asked.wanted != frozenset({"instruction"}):
        return None
    fault = "wrong_answer" if asked.rng.random() < asked.faults.wrong_answer else ""
    start = re.sub(r"\s+", " ", re.sub(r"[`#*|>\"「」{}\[\]]", " ", shown[0])).strip()[:SHOWN_CHARS].strip(" 、。,.")
    text = BESIDE[asked.language] if fault else asked.rng.choice(ASKING[asked.language]).format(start=start)
    content = json.dumps({"instruction": text}, ensure_ascii=False)
    return Said(content, Truth("back_translator", language=asked.language, fault=fault))


def fit_judge(asked: Asked) -> Said | None:
    """A grade by the words that an instruction and a text have in common."""
    instruction, text = tagged(asked.prompt, "instruction"), tagged(asked.prompt, "text")
    if not instruction or not text or "score" not in asked.wanted:
        return None
    one, other = (set(words) for words in units((instruction[0], text[0])))
    return graded(asked, right=len(one & other) >= ENOUGH * len(one), task="fit")
