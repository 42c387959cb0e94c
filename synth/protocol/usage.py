"""What a reply says that it used, in any of the families' words."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import Any, cast

from synth.types import Usage

MOST_TOKENS = 10_000_000
"""More tokens than any model reads or writes in one request; a larger count is a mistake."""
MOST_USD = 10_000


def usage_in(document: dict[str, Any]) -> Usage:
    """What a reply says it used, in any of the families' words; what is not believable counts as not said.

    OpenAI's names count cached and written tokens into the prompt, Anthropic's own do not. Parts are clamped to wholes.
    """
    said = document.get("usage")
    if not isinstance(said, dict):
        return Usage()
    counts = cast("dict[str, Any]", said)
    own = "prompt_tokens" in counts
    prompt = _count(counts.get("prompt_tokens" if own else "input_tokens"))
    completion = _count(counts.get("completion_tokens" if own else "output_tokens"))
    inside = counts.get("prompt_tokens_details" if own else "input_tokens_details")
    inside = as_object(inside) if inside else {}
    thought = counts.get("completion_tokens_details" if own else "output_tokens_details")
    thought = as_object(thought) if thought else {}
    thinking = _count(thought.get("reasoning_tokens")) or _count(thought.get("thinking_tokens")) or 0
    written = _count(inside.get("cache_write_tokens")) or _count(counts.get("cache_creation_input_tokens")) or 0
    cached = _count(inside.get("cached_tokens")) or _count(counts.get("prompt_cache_hit_tokens")) or 0
    cached = cached or _count(counts.get("cache_read_input_tokens")) or 0
    if prompt is not None and not own and not inside:
        prompt += cached + written
    total = _count(counts.get("total_tokens")) or 0
    if prompt is not None and completion is not None:
        # some leave reasoning out of the completion and count it in the total only: it is paid for
        completion = max(completion, total - prompt)
    elif prompt is not None and prompt == total:
        completion = 0  # as of embeddings, which have none
    cached = min(cached, prompt or 0)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        reasoning_tokens=min(thinking, completion or 0),
        cache_write_tokens=min(written, (prompt or 0) - cached),
        cost_microusd=_cost_microusd(counts) if "cost" in counts else None,
        service_tier=str(counts.get("service_tier") or document.get("service_tier") or ""),
    )


def as_object(value: Any) -> dict[str, Any]:
    """An object of JSON; an empty one in place of anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _count(value: Any) -> int | None:
    """A believable number of tokens, or None: providers have sent negatives, texts, fractions and billions."""
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


def _cost_microusd(counts: dict[str, Any]) -> int | None:
    """The provider's own sum in dollars (OpenRouter), with what the user's own upstream key was charged."""
    sums = [counts["cost"]]
    if counts.get("is_byok") is True:
        sums.append(as_object(counts.get("cost_details")).get("upstream_inference_cost") or 0)
    if any(type(one) not in (int, float) or not 0 <= one <= MOST_USD for one in sums):
        return None
    # the shortest text of a float is what was sent, so that 0.1 is a tenth
    return sum(int((Decimal(repr(one)) * 1_000_000).to_integral_value(ROUND_CEILING)) for one in sums)
