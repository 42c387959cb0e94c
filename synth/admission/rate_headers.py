"""What a reply says about its host's limits: how long to wait, and how much is left. Pure.

Families read: OpenAI's and Groq's `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` (resets as Go durations),
Anthropic's `anthropic-ratelimit-*` (resets as RFC 3339 times), Fireworks' `-tokens-prompt` and `-tokens-generated`,
Together's `x-ratelimit-*` and `x-tokenlimit-*` without a kind. A reset is the time until all of a limit is there again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

from synth.admission.buckets import Allowance
from synth.patterns import lazy
from synth.types import Outcome

GO_DURATION = lazy(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|h|m|s)")
DURATION_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
RETRY_DELAY = lazy(rb'"retryDelay"\s*:\s*"([0-9.]+)s"')

SINCE_1970 = 1e8
"""From here on a number of seconds is a time, and from a thousand times as much on one in milliseconds."""

NAMES: tuple[tuple[Literal["requests", "tokens"], str, str, str], ...] = tuple(
    (kind, *(pattern.format(part) for part in ("limit", "remaining", "reset")))
    for kind, pattern in (
        ("requests", "x-ratelimit-{}-requests"),
        ("tokens", "x-ratelimit-{}-tokens"),
        ("tokens", "x-ratelimit-{}-tokens-prompt"),
        ("tokens", "x-ratelimit-{}-tokens-generated"),
        ("requests", "x-ratelimit-{}"),
        ("tokens", "x-tokenlimit-{}"),
        ("requests", "anthropic-ratelimit-requests-{}"),
        ("tokens", "anthropic-ratelimit-tokens-{}"),
        ("tokens", "anthropic-ratelimit-input-tokens-{}"),
        ("tokens", "anthropic-ratelimit-output-tokens-{}"),
    )
)  # type: ignore[assignment]


def allowances(headers: Mapping[str, str]) -> list[Allowance]:
    """What is left of each limit that the headers (lower-case names) tell of; of one kind only the scarcest."""
    if "limit" not in " ".join(headers):
        return []
    scarcest: dict[str, Allowance] = {}
    for kind, limit_name, remaining_name, reset_name in NAMES:
        limit, remaining = _number(headers.get(limit_name)), _number(headers.get(remaining_name))
        if not limit or remaining is None or remaining > limit:
            continue  # providers have sent -1, 0 and nonsense
        told = Allowance(kind, limit, remaining, _reset_s(headers.get(reset_name), headers.get("date")))
        known = scarcest.get(kind)
        if known is None or told.remaining / told.limit < known.remaining / known.limit:
            scarcest[kind] = told
    return list(scarcest.values())


def retry_after_s(outcome: Outcome) -> float | None:
    """Seconds the provider asks to wait: `retry-after-ms`, `retry-after` (seconds or a date), Google's `retryDelay`."""
    headers = outcome.headers
    after_ms, after = _number(headers.get("retry-after-ms")), headers.get("retry-after")
    waits = [None if after_ms is None else after_ms / 1000]
    waits.append(_date_s(after, headers.get("date")) if _number(after) is None else _number(after))
    delay = RETRY_DELAY.search(outcome.body[:4000])
    if delay:
        waits.append(_number(delay[1].decode()))
    known = [wait for wait in waits if wait is not None]
    return max(known) if known else None


def duration_s(text: str) -> float | None:
    """Seconds in a Go-style duration such as `6m0s` or `120ms`; None when it is not one."""
    parts = GO_DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        return None
    return sum(float(number) * DURATION_S[unit] for number, unit in parts)


def _reset_s(text: str | None, now: str | None) -> float | None:
    """Seconds to a reset, given as seconds, a Go duration, or a time (counted from the reply's own Date) in words or
    since 1970."""
    if not text:
        return None
    told = _number(text)
    if told is None and (lasts_s := duration_s(text)) is not None:
        return lasts_s
    if told is not None and told < SINCE_1970:
        return told
    try:
        if told is None:
            then = datetime.fromisoformat(text)
        else:
            then = datetime.fromtimestamp(told if told < 1000 * SINCE_1970 else told / 1000, UTC)
        return max(0.0, (then.replace(tzinfo=then.tzinfo or UTC) - _date(now)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    """A number that can be meant; what is beyond a millionth in it is noise, and no limit to divide by."""
    try:
        value = round(float(text or ""), 6)
    except ValueError:
        return None
    return value if 0 <= value < 1e14 else None


def _date_s(text: str | None, now: str | None) -> float | None:
    """Seconds between the reply's own Date and an HTTP date, so that our clock plays no part."""
    try:
        return max(0.0, (_date(text) - _date(now)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _date(text: str | None) -> datetime:
    """An HTTP date; `-0000` is UTC as well (RFC 5322, section 3.3)."""
    date = parsedate_to_datetime(text or "")
    return date.replace(tzinfo=date.tzinfo or UTC)
