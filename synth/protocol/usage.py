"""What a reply says that it used, in any of the families' words."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from math import nan
from typing import Any, cast

from synth.types import Usage

MOST_TOKENS = 10_000_000
"""More tokens than any model reads or writes in one request; a larger count is a mistake."""
MOST_USD = 10_000
PLAIN = frozenset(["prompt_tokens", "completion_tokens", "total_tokens"])
"""What most say that have nothing else to tell."""


def usage_in(document: dict[str, Any]) -> Usage:
    """What a reply says it used, in any of the families' words; what is not believable counts as not said.

    OpenAI's names count cached and written tokens into the prompt, Anthropic's own do not. Parts are clamped to wholes.
    """
    told: dict[str, Any] | None = document.get("usage")
    if not isinstance(told, dict):
        return Usage()
    counts, own = _counts(told), "prompt_tokens" in told
    prompt = counts.get("prompt_tokens" if own else "input_tokens")
    completion = counts.get("completion_tokens" if own else "output_tokens")
    cached = written = thinking = 0
    if not told.keys() <= PLAIN:
        inside = as_object(told.get("prompt_tokens_details" if own else "input_tokens_details"))
        parts = _counts(inside)
        thought = _counts(as_object(told.get("completion_tokens_details" if own else "output_tokens_details")))
        thinking = thought.get("reasoning_tokens") or thought.get("thinking_tokens") or 0
        written = parts.get("cache_write_tokens") or counts.get("cache_creation_input_tokens") or 0
        cached = parts.get("cached_tokens") or counts.get("prompt_cache_hit_tokens") or 0
        cached = cached or counts.get("cache_read_input_tokens") or 0
        if prompt is not None and not own and not inside:
            prompt += cached + written
    total = counts.get("total_tokens") or 0
    if prompt is not None and completion is not None:
        # some leave reasoning out of the completion and count it in the total only: it is paid for
        completion = max(completion, total - prompt)
    elif prompt is not None and prompt == total:
        completion = 0  # as of embeddings, which have none
    cached = min(cached, prompt or 0)
    reasoning, written = min(thinking, completion or 0), min(written, (prompt or 0) - cached)
    cost_microusd = _cost_microusd(told) if "cost" in told else None
    tier = str(told.get("service_tier") or document.get("service_tier") or "")
    return Usage(prompt, completion, cached, reasoning, written, cost_microusd, tier)  # by name it takes twice as long


def as_object(value: Any) -> dict[str, Any]:
    """An object of JSON; an empty one in place of anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _counts(told: dict[str, Any]) -> dict[str, int]:
    """What of it are believable numbers of tokens: providers have sent negatives, texts, fractions and billions."""
    return {name: one for name, one in told.items() if type(one) is int and 0 <= one <= MOST_TOKENS}


def _cost_microusd(told: dict[str, Any]) -> int | None:
    """The provider's own sum in dollars (OpenRouter), with what the user's own upstream key was charged."""
    sums = [_usd(told["cost"])]
    if told.get("is_byok") is True:
        sums.append(_usd(as_object(told.get("cost_details")).get("upstream_inference_cost") or 0))
    if not all(0 <= one <= MOST_USD for one in sums):
        return None
    # the shortest text of a float is what was sent, so that 0.1 is a tenth
    return sum(int((Decimal(repr(one)) * 1_000_000).to_integral_value(ROUND_CEILING)) for one in sums)


def _usd(said: Any) -> float:
    """A sum as a number, or as the text of one; NaN for anything else."""
    try:
        return float(said) if type(said) in (int, float, str) else nan
    except (ValueError, OverflowError):  # no number, or an integer beyond all floats
        return nan
