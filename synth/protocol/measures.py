"""What replies other than texts and vectors hold: log-probabilities of a prompt's tokens, and rewards.

Shapes: https://platform.openai.com/docs/api-reference/completions/object and vLLM's pooling server.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, cast

MOST_LOGPROB = 1e-3
"""A log-probability is at most 0; some servers round one that is."""
CERTAIN_TOKENS = 8
"""No model is certain of so many tokens in a row: where all of them have 0, it stands for nothing."""


class Unfit(Exception):
    """The endpoint does not give what it is asked for, and will not for another request either."""


class Token(NamedTuple):
    """A token of a text, as its server writes it."""

    text: str
    """With U+FFFD where it holds a part of a character."""
    logprob: float | None
    """In nats, given the tokens before it; None for the first one."""


def echoed(document: dict[str, Any]) -> tuple[Token, ...]:
    """The tokens of the prompt that a completions reply echoes, without those it wrote itself.

    Raises Unfit when the endpoint gives no log-probabilities, or none of the prompt, ValueError when they are unusable.
    """
    choice = _first(document.get("choices"))
    told = choice.get("logprobs")
    logprobs = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
    texts, values = (logprobs.get(name) for name in ("tokens", "token_logprobs"))
    if not isinstance(texts, list) or not isinstance(values, list):
        raise Unfit("the reply has no log-probabilities")
    pairs = list(zip(cast("list[Any]", texts), cast("list[Any]", values), strict=True))
    usage = document.get("usage")
    written = cast("dict[str, Any]", usage).get("completion_tokens") if isinstance(usage, dict) else None
    end = len(pairs) - (written if type(written) is int else 1)
    if end < 1:
        raise Unfit("the reply has log-probabilities of what was written, and none of the prompt")
    tokens = tuple(Token(str(text), None if value is None else _logprob(value)) for text, value in pairs[:end])
    if any(token.logprob is None for token in tokens[1:]):
        raise ValueError("one is missing")
    if len(tokens) > CERTAIN_TOKENS and not any(token.logprob for token in tokens):
        raise Unfit("all log-probabilities in the reply are 0")
    return tokens


def rewards(document: dict[str, Any]) -> tuple[float, ...]:
    """One number for each text, from a reply of `/pooling`, `/classify` or `/score`, in the order of the texts.

    Raises Unfit when a text has several, as from a model that is no reward model, ValueError when they are unusable.
    """
    data = document.get("data")
    entries = cast("list[Any]", data) if isinstance(data, list) else []
    by_index: dict[int, float] = {}
    for place, one in enumerate(entries):
        entry = cast("dict[str, Any]", one) if isinstance(one, dict) else {}
        index = entry.get("index", place)
        told = next((entry[name] for name in ("score", "probs", "data") if name in entry), None)
        by_index[index if type(index) is int else -1] = _reward(told)
    if not by_index or sorted(by_index) != list(range(len(entries))):
        raise ValueError("their indices do not count up from 0")
    return tuple(by_index[index] for index in range(len(by_index)))


def _reward(told: Any) -> float:
    while isinstance(told, list):
        several = cast("list[Any]", told)
        if len(several) != 1:
            raise Unfit(f"the reply has {len(several)} numbers for a text, and a reward is one")
        told = several[0]
    return _number(told)


def _logprob(told: Any) -> float:
    value = _number(told)
    if value > MOST_LOGPROB:
        raise ValueError(f"{value:g} is above 0")
    return min(value, 0.0)


def _number(told: Any) -> float:
    if type(told) not in (int, float) or not math.isfinite(told):
        raise ValueError(f"{str(told)[:80]!r} is no number")
    return float(told)


def _first(choices: Any) -> dict[str, Any]:
    choice = cast("list[Any]", choices)[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise ValueError("there are no choices")
    return cast("dict[str, Any]", choice)
