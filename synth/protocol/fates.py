"""What becomes of a request that fails: the classes of failures, and which of them a reply that is no success is of.

The tables are the whole policy. Provider facts behind them: OpenAI's error codes guide, Azure's content filter page,
Anthropic's and OpenRouter's error pages, Google's `RESOURCE_EXHAUSTED` bodies, vLLM's and Ollama's servers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from synth.errors import Fatal, Rejected, TeacherError, Transient
from synth.patterns import lazy


@dataclass(frozen=True, slots=True)
class Fate:
    """What happens to a request of one failure class."""

    raises: type[TeacherError] | type[Rejected]
    resends: int | None = 0
    """How many times it is sent again; None: as often as it takes, as long as the run lasts; for `capacity` as long as
    there is room for nobody, and an hour beyond."""
    paid: bool = False
    """Whether the reservation stays charged when the reply says nothing about tokens."""


POISON = "poison"
"""The class of a request that is at fault itself: it is asked again only when a person wishes."""
FATES: Mapping[str, Fate] = {
    "rate": Fate(Transient, resends=None),
    "capacity": Fate(Transient, resends=None),
    "transient": Fate(Transient, resends=5),
    "unreachable": Fate(Transient, resends=5),
    "ambiguous": Fate(Transient, resends=2, paid=True),
    "malformed": Fate(Transient, resends=1, paid=True),
    POISON: Fate(Transient),
    "unserved": Fate(Transient),
    "teacher_refused": Fate(Rejected),
    "truncated_empty": Fate(Rejected, paid=True),
    "repetition": Fate(Rejected, paid=True),
    "permanent": Fate(Rejected),
    "fatal": Fate(Fatal),
}

MONEY = lazy(
    r"insufficient_quota|credit_balance|insufficient.balance|billing|spend_limit|organization_usage_limit|"
    r"exceeded your current quota",
    re.IGNORECASE,
)
BROKE = lazy(r"insufficient_quota|credit_balance|insufficient.balance|spend_limit|usage_limit", re.IGNORECASE)
RATE = lazy(r"rate_limit_exceeded|retryDelay|retry (in|after)\b|per (minute|second)|\b[RT]PM\b", re.IGNORECASE)
"""What some hosts say of a passing limit in one breath with the plan and its billing."""
FILTERED = lazy(r"content_filter|content_policy|moderation|invalid_prompt|bio_policy|policy_violation", re.I)
BUSY = lazy(r"overloaded|UNAVAILABLE|capacity|temporarily|loading model", re.IGNORECASE)
SPENT = lazy(
    r"credit balance is too low|specified (workspace )?API usage limits|budget limit exceeded|"
    r"account \S+ is suspended",
    re.IGNORECASE,
)
"""How Anthropic, OpenRouter and Fireworks say, as of a request that is no good, that money or a limit is at its end."""
ROOMLESS = lazy(r"resource_unavailable", re.IGNORECASE)
"""How OpenAI says that its flex tier has no room: nobody's limit, and not charged."""
IN_FLIGHT = lazy(r"in_flight_budget", re.IGNORECASE)
"""How OpenRouter says that what is under way may cost as much as it lets stand open."""
TOO_DEAR = lazy(r"weight_exceeds_budget", re.IGNORECASE)
"""How it says that this one request alone would."""
MODEL = lazy(
    r"model_not_found|NotFoundError.{0,200}model|(invalid|unknown|no such)[_ ]model|not a valid model|"
    r"^HTTP 404: model: |\bmodels?\b\S{0,120}( +\S{1,120})? +((is|was) )?(does not exist|not found|not exist)",
    re.IGNORECASE | re.DOTALL,
)
KEY = lazy(
    r"API_KEY_INVALID|No connected db|\b(invalid|incorrect|missing|expired|no)[_ ]api[_ -]?key|"
    r"\bapi[_ -]?key (is |was |has )?(not valid|invalid|incorrect|missing|expired|required|not found|not provided)",
    re.IGNORECASE,
)
"""How a key is refused; the database is where LiteLLM would look for one that it does not know."""
LOGPROBS = lazy(
    r"\blogprobs\b.{0,80}\bnot (supported|available|allowed|permitted)|"
    r"(unsupported|unknown|unrecognized|not (support|allow|permit)\w*).{0,80}\blogprobs\b",
    re.IGNORECASE | re.DOTALL,
)
"""How an endpoint refuses requests for log-probabilities that gives none."""
SCHEME = lazy(r"HTTP request.{0,20} HTTPS (port|server)", re.IGNORECASE)
OF_ALL = (MODEL, KEY, LOGPROBS, SCHEME, SPENT)
"""What is said as of one request, and is true of every one."""
SAID = 300
"""How far into an error its cause is looked for: what follows may quote the prompt."""


def classify(status: int, text: str) -> str:
    """The failure class of a reply that is not a plain success, from its status and the text of its error."""
    if status == 429 and ROOMLESS.search(text[:SAID]):
        return "capacity"
    if status == 429 and (not MONEY.search(text) or (RATE.search(text) and not BROKE.search(text))):
        return "rate"
    if status == 402 and IN_FLIGHT.search(text):
        return "rate"
    if status == 402 and TOO_DEAR.search(text):
        return "permanent"
    if FILTERED.search(text) and status in (200, 400, 403):
        return "teacher_refused"
    if status in (401, 402, 403, 404, 405, 429, 501, 505) or (300 <= status < 400):
        return "fatal"
    if status in (400, 412, 422) and any(pattern.search(text[:SAID]) for pattern in OF_ALL):
        return "fatal"
    if status == 498:
        return "rate"
    if status in (503, 529) or (status >= 500 and BUSY.search(text)):
        return "capacity"
    if status in (408, 409, 425) or status >= 500 or 431 <= status < 498:
        return "transient"
    return "permanent"


def name_of(error: Transient | Rejected | Fatal) -> str:
    """The class of a failure."""
    if isinstance(error, Transient):
        return error.failure
    return error.reason if isinstance(error, Rejected) else "fatal"
