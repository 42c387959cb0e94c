"""What the practice teacher does wrong, how often, and in which words."""

from __future__ import annotations

import random
import re
import unicodedata
from typing import Literal

from pydantic import Field

from synth.backends.practice.ailments import AILMENTS, MERGED
from synth.types import Value

Rate = Field(default=0.0, ge=0, le=1)


class Faults(Value):
    """Rates from 0 to 1; at most one fault of content spoils a reply."""

    wrong_answer: float = Rate
    refusal: float = Rate
    truncation: float = Rate
    repetition: float = Rate
    wrong_language: float = Rate
    missing_answer: float = Rate
    invalid_json: float = Rate
    fenced_json: float = Rate
    silent_cut: float = Rate
    """Cut off, though the server says that it stopped."""
    soft_refusal: float = Rate
    drift: float = Rate
    """Into another language, at once or on the way."""
    garbled: float = Rate
    leak: float = Rate
    prompt_leak: float = Rate
    self_identification: float = Rate
    placeholder: float = Rate
    missing_reference: float = Rate
    broken_markdown: float = Rate
    broken_tool_call: float = Rate
    pii: float = Rate
    toxic: float = Rate
    merged: float = Rate
    """Of the instructions in one list, how many are two in one."""
    near_duplicate: float = Rate
    """Of the instructions in one list, how many repeat an earlier one in other words."""
    role_slip: float = Rate
    """Of a simulated user's turns, how many are the assistant's."""
    echo: float = Rate
    """Of those after the first, how many are an earlier one again."""
    failed_evolution: float = Rate
    rate_limit: float = Rate
    server_error: float = Rate
    dropped: float = Rate
    slow: float = Rate
    batch_missing: float = Rate
    """Of the requests of a batch, how many are answered and nowhere in what it brings."""
    batch_no_status: float = Rate
    batch_repeated: float = Rate
    batch_expiry: float = Rate
    """Of the batches, how many end before all of their requests were answered."""
    batch_s: float = Field(default=0.4, ge=0)
    """How long a batch takes."""
    seed: int = 0
    templates: Literal["tuning", "held_out"] = "tuning"
    """Which of two disjoint sets of faulty wordings is used."""
    latency_s: float = Field(default=0.0, ge=0)


USUAL = Faults(
    wrong_answer=0.06,
    refusal=0.04,
    truncation=0.03,
    repetition=0.03,
    wrong_language=0.03,
    missing_answer=0.02,
    invalid_json=0.03,
    fenced_json=0.05,
    near_duplicate=0.12,
    role_slip=0.03,
    echo=0.03,
    failed_evolution=0.15,
    rate_limit=0.02,
    server_error=0.01,
    dropped=0.005,
    slow=0.01,
    batch_missing=0.005,
    batch_no_status=0.005,
    batch_repeated=0.01,
    batch_expiry=0.2,
    latency_s=0.02,
)
NO_FAULTS = Faults()
UNHEALTHY = USUAL.model_copy(update={"latency_s": 0.0, "merged": 0.05, **dict.fromkeys(AILMENTS, 0.02)})
"""The usual faults and every one that a reply's text shows."""


def faults_of(base_url: str) -> Faults:
    """The faults that a recipe's `practice:` asks for: the usual ones, or none for `practice:faultless`.

    `practice:held_out` speaks faulty wordings that synth's own checks were not tuned on, and `practice:unhealthy` has
    besides the usual faults all those that reply checks are for.
    """
    word = base_url.partition(":")[2]
    if word in ("faultless", "unhealthy"):
        return NO_FAULTS if word == "faultless" else UNHEALTHY
    return USUAL.model_copy(update={"templates": "held_out"}) if word == "held_out" else USUAL


CONTENT = ("wrong_answer", "refusal", "truncation", "repetition", "wrong_language", "missing_answer", *AILMENTS)

REFUSALS = {
    ("tuning", "en"): (
        "I'm sorry, but I can't help with that request.",
        "I cannot assist with this question. If you have another topic in mind, please let me know.",
        "As an AI language model, I am unable to answer this kind of question.",
        "Unfortunately, I won't be able to provide an answer to this.",
    ),
    ("tuning", "ja"): (
        "申し訳ありませんが、そのご質問にはお答えできません。",
        "恐れ入りますが、このご依頼には対応いたしかねます。",
        "AIとして、この問題についてお手伝いすることはできません。",
        "すみませんが、回答を差し控えさせていただきます。",
    ),
    ("held_out", "en"): (
        "My apologies, this is something I have to decline.",
        "I'm not able to work on that. Perhaps I can do something else for you?",
        "Regrettably, I must refuse to answer this question.",
        "I am sorry, I cannot do this calculation for you because it goes against my guidelines.",
    ),
    ("held_out", "ja"): (
        "大変申し訳ございません。こちらの内容については回答できかねます。",
        "誠に恐縮ですが、ご要望にお応えすることができません。",
        "この質問への回答は控えさせていただきます。何卒ご了承ください。",
        "ごめんなさい、それについてはお手伝いできません。",
    ),
}
POLITE = {
    "en": (
        "Sorry if this is a little long, but each step matters.",
        "I can't stress enough that the order of the steps is important here.",
        "Happy to help with this one.",
        "Unfortunately such questions are easy to get wrong, so let us go slowly.",
    ),
    "ja": (
        "申し訳ありませんが、少し長めに説明します。",
        "単純に見えますが、油断できません。順番に考えます。",
        "喜んでお手伝いします。",
        "「分かりません」と言われやすい問題ですが、順に計算すれば解けます。",
    ),
}
LOOPS = {
    ("tuning", "en"): (
        "Let me check that again. ",
        "and then we add the numbers, ",
        "the result is the same as before. ",
    ),
    ("tuning", "ja"): ("もう一度確認します。", "したがって答えは同じです。", "はい、"),
    ("held_out", "en"): ("So we have to compute it once more.\n", "wait, ", "the the "),
    ("held_out", "ja"): ("次に計算を進めます。\n", "つまり、そういうことになります。", "ですです"),
}
SYSTEM = {
    "en": "You are a helpful system prompt of a teacher; my instructions are to answer every question.",
    "ja": "あなたは親切な教師です。システムプロンプトに従って、どの質問にも答えてください。",
}
"""What the practice teacher claims to have been told when a request has no system turn."""


def looped(rng: random.Random, text: str, language: str, templates: str) -> str:
    """A text that starts well and then runs in circles."""
    unit = rng.choice(LOOPS[(templates, language)])
    return text[: len(text) // 2] + unit * max(rng.randint(12, 40), 90 // len(unit) + 1)


def ailing(rng: random.Random, fault: str, good: str, system: str, language: str, templates: str) -> str:
    """A good text spoilt by a fault of `AILMENTS`."""
    wording = rng.choice(AILMENTS[fault][(templates, language)])
    return wording.replace("{system}", system or SYSTEM[language]).replace("{good}", good)


def merged(rng: random.Random, one: str, other: str, language: str, templates: str) -> str:
    """Two instructions in one."""
    return rng.choice(MERGED[(templates, language)]).replace("{one}", one).replace("{other}", other)


def broken_json(rng: random.Random, text: str, templates: str) -> str:
    """A JSON text that is not valid."""
    if templates == "tuning":
        return rng.choice((text[: max(1, len(text) * 2 // 3)], text.replace('"', "'"), f"{text}\nI hope this helps."))
    return rng.choice((text[1:], f"Here is the JSON you asked for: {text}", text.replace(":", " =", 1)))


def reworded(rng: random.Random, text: str, language: str, templates: str) -> str:
    """The same instruction in slightly other words; its numbers stay."""
    ways = {("tuning", "en"): _english, ("tuning", "ja"): _japanese}
    other = {"en": _english_held_out, "ja": _japanese_held_out}
    changed = ways.get((templates, language), other[language])(rng, text)
    return changed if changed != text else f"{text} "


def _english(rng: random.Random, text: str) -> str:
    return rng.choice((
        text.replace("How many", "Tell me how many").replace("?", "."),
        f"Please answer: {text}",
        text.lower().replace("?", " ?"),
        text.replace("each", "apiece").replace("What is", "What's").replace(". ", "; "),
    ))  # fmt: skip


def _japanese(rng: random.Random, text: str) -> str:
    return rng.choice((
        re.sub(r"ですか。", "でしょうか？", text),
        re.sub(r"\d", lambda digit: chr(ord(digit[0]) + 0xFEE0), text),
        text.replace("。", "．").replace("、", "，"),
        f"次の問題です。{text}",
    ))  # fmt: skip


def _english_held_out(rng: random.Random, text: str) -> str:
    return rng.choice((
        f"{text} Thanks!",
        text.replace(" a ", " one ").replace("the", "The"),
        text.upper(),
        re.sub(r"\bHow\b", "Work out how", text).replace("?", ""),
    ))  # fmt: skip


def _japanese_held_out(rng: random.Random, text: str) -> str:
    return rng.choice((
        text.replace("ください。", "下さい。").replace("何", "なん"),
        unicodedata.normalize("NFKC", text).replace("。", "。 "),
        f"{text}教えてください。",
        text.replace("は", "は、", 1),
    ))  # fmt: skip
