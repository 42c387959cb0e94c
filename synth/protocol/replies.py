"""Raw reply to completion, or to one named failure. Pure: the same bytes always read the same.

The tables are the whole policy. Provider facts behind them: OpenAI's error codes guide, Azure's content filter page,
Anthropic's and OpenRouter's error pages, Google's `RESOURCE_EXHAUSTED` bodies, vLLM's and Ollama's servers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any, Literal, NamedTuple, cast

import orjson

from synth.admission.rate_headers import retry_after_s
from synth.errors import Fatal, Rejected, TeacherError, Transient
from synth.protocol import measures, messages, thoughts
from synth.protocol.streams import ENDED, added_up, whole
from synth.types import (
    CHAT,
    CLASSIFY,
    COMPLETIONS,
    CONTINUED,
    EMBEDDINGS,
    LOT,
    POOLING,
    SCORE,
    UNSERVED,
    Completion,
    Outcome,
    Usage,
)


@dataclass(frozen=True, slots=True)
class Fate:
    """What happens to a request of one failure class."""

    raises: type[TeacherError] | type[Rejected]
    resends: int | None = 0
    """How many times it is sent again; None: as long as the run lasts."""
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

MONEY = re.compile(
    r"insufficient_quota|credit_balance|insufficient.balance|billing|spend_limit|organization_usage_limit|"
    r"exceeded your current quota",
    re.IGNORECASE,
)
BROKE = re.compile(r"insufficient_quota|credit_balance|insufficient.balance|spend_limit|usage_limit", re.IGNORECASE)
RATE = re.compile(r"rate_limit_exceeded|retryDelay|retry (in|after)\b|per (minute|second)|\b[RT]PM\b", re.IGNORECASE)
"""What some hosts say of a passing limit in one breath with the plan and its billing."""
FILTERED = re.compile(r"content_filter|content_policy|moderation|invalid_prompt|bio_policy|policy_violation", re.I)
BUSY = re.compile(r"overloaded|UNAVAILABLE|capacity|temporarily|loading model", re.IGNORECASE)
SPENT = re.compile(
    r"credit balance is too low|specified (workspace )?API usage limits|budget limit exceeded|"
    r"account \S+ is suspended",
    re.IGNORECASE,
)
"""How Anthropic, OpenRouter and Fireworks say, as of a request that is no good, that money or a limit is at its end."""
ROOMLESS = re.compile(r"resource_unavailable", re.IGNORECASE)
"""How OpenAI says that its flex tier has no room: nobody's limit, and not charged."""
IN_FLIGHT = re.compile(r"in_flight_budget", re.IGNORECASE)
"""How OpenRouter says that what is under way may cost as much as it lets stand open."""
TOO_DEAR = re.compile(r"weight_exceeds_budget", re.IGNORECASE)
"""How it says that this one request alone would."""
MODEL = re.compile(
    r"model_not_found|NotFoundError.{0,200}model|(invalid|unknown|no such)[_ ]model|not a valid model|"
    r"^HTTP 404: model: |\bmodels?\b\S{0,120}( +\S{1,120})? +((is|was) )?(does not exist|not found|not exist)",
    re.IGNORECASE | re.DOTALL,
)
KEY = re.compile(
    r"API_KEY_INVALID|No connected db|\b(invalid|incorrect|missing|expired|no)[_ ]api[_ -]?key|"
    r"\bapi[_ -]?key (is |was |has )?(not valid|invalid|incorrect|missing|expired|required|not found|not provided)",
    re.IGNORECASE,
)
"""How a key is refused; the database is where LiteLLM would look for one that it does not know."""
LOGPROBS = re.compile(
    r"\blogprobs\b.{0,80}\bnot (supported|available|allowed|permitted)|"
    r"(unsupported|unknown|unrecognized|not (support|allow|permit)\w*).{0,80}\blogprobs\b",
    re.IGNORECASE | re.DOTALL,
)
"""How an endpoint refuses requests for log-probabilities that gives none."""
SCHEME = re.compile(r"HTTP request.{0,20} HTTPS (port|server)", re.IGNORECASE)
OF_ALL = (MODEL, KEY, LOGPROBS, SCHEME, SPENT)
"""What is said as of one request, and is true of every one."""
EVENT = re.compile(rb"data:|event:|id:|:")
"""How an event stream begins; some proxies send one that was not asked for."""
SAID = 300
"""How far into an error its cause is looked for: what follows may quote the prompt."""
MOST_TOKENS = 10_000_000
"""More tokens than any model reads or writes in one request; a larger count is a mistake."""
MOST_USD = 10_000
REFUSING_REASONS = frozenset(
    ["content_filter", "refusal", "safety", "prohibited_content", "recitation", "blocklist", "spii"]
)
CUT_REASONS = frozenset(["error", "abort", "aborted", "cancelled"])
"""What servers say of a reply that they did not end."""


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
    if status in (400, 412, 422) and any(
        pattern.search(text[:SAID]) for pattern in (MODEL, KEY, LOGPROBS, SCHEME, SPENT)
    ):
        return "fatal"
    if status == 498:
        return "rate"
    if status in (503, 529) or (status >= 500 and BUSY.search(text)):
        return "capacity"
    if status in (408, 409, 425) or status >= 500 or 431 <= status < 498:
        return "transient"
    return "permanent"


def read(outcome: Outcome, path: str | None = CHAT) -> Completion:
    """What is in a reply to a request to some path; None reads it as what it looks like.

    Raises Transient, Rejected or Fatal by the tables above; each carries its class as `failure` or `reason`.
    """
    if outcome.error:
        if outcome.error == UNSERVED:
            raise _failure(UNSERVED, outcome, outcome.detail)
        raise _failure("ambiguous" if outcome.written else "unreachable", outcome, outcome.detail or outcome.error)
    try:
        document: Any = orjson.loads(outcome.body)
    except orjson.JSONDecodeError:
        document = _otherwise(outcome.body)
    if path is None:
        path = _looks_like(document)
    shape = SHAPES[path]
    plain = outcome.status == 200 and isinstance(document, dict) and shape.member in document
    if not plain or "error" in document:
        _check(document, outcome)
    return shape.reader(cast("dict[str, Any]", document), outcome)


def _looks_like(document: Any) -> str:
    """The path that a reply seems to come from, by what stands in the first entry of its main member."""
    for path, shape in SHAPES.items() if isinstance(document, dict) else ():
        entries = cast("dict[str, Any]", document).get(shape.member)
        first: Any = cast("list[Any]", entries)[0] if isinstance(entries, list) and entries else None
        if isinstance(first, dict) and cast("dict[str, Any]", first).get(shape.part) is not None:
            return path
    return CHAT


def _check(document: Any, outcome: Outcome) -> None:
    """Raise what a reply without its main member, or with an error, stands for."""
    if isinstance(document, list) and document:
        first: Any = cast("list[Any]", document)[0]  # Google wraps its errors in an array
        if outcome.status != 200 or _error(first) is not None:
            document = first
    if outcome.status == 200 and not isinstance(document, dict):
        start = outcome.body.lstrip()[:6]
        kind = "HTML" if start[:1] == b"<" else "an event stream" if EVENT.match(start) else "something else"
        raise _failure("malformed", outcome, f"a JSON object was expected, {kind} came: {outcome.body[:200]!r}")
    error = _error(document)
    if outcome.status != 200 or error is not None:
        status = outcome.status if error is None or outcome.status != 200 else _inner_status(error)
        text = _error_text(error) if error is not None else outcome.body[:500].decode("utf-8", "replace")
        raise _failure(classify(status, f"{_code(error)} {text}"), outcome, f"HTTP {outcome.status}: {text}".strip())


def name_of(error: Transient | Rejected | Fatal) -> str:
    """The class of a failure."""
    if isinstance(error, Transient):
        return error.failure
    return error.reason if isinstance(error, Rejected) else "fatal"


def parsed(body: bytes) -> Any:
    """What a reply's body says, read as tolerantly as `read` does; None when it is nothing known."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _otherwise(body)


def usage_of(outcome: Outcome) -> Usage:
    """The tokens a reply says it used; empty when it says nothing readable. Never raises."""
    if outcome.error or not outcome.body:
        return Usage()
    try:
        document: Any = orjson.loads(outcome.body)
    except orjson.JSONDecodeError:
        document = _otherwise(outcome.body, "replace")  # damaged text counts as many tokens
    return _usage(cast("dict[str, Any]", document)) if isinstance(document, dict) else Usage()


def _failure(name: str, outcome: Outcome, detail: str) -> TeacherError | Rejected:
    fate = FATES[name]
    if fate.raises is Transient:
        return Transient(name, detail, retry_after_s(outcome))
    if fate.raises is Rejected:
        return Rejected(name, detail)
    return Fatal(detail)


def _otherwise(body: bytes, damaged: Literal["strict", "replace"] = "strict") -> Any:
    """What the events of a reply add up to, or JSON read tolerantly; None when it is neither."""
    is_stream = EVENT.match(body.lstrip(b"\xef\xbb\xbf \r\n")[:6])
    return _clean(added_up(body, damaged)) if is_stream else _loosely(body, damaged)


def _loosely(body: bytes, damaged: Literal["strict", "replace"] = "strict") -> Any:
    """JSON read tolerantly, a byte order mark and NaN included: lone surrogates become U+FFFD here (the raw bytes keep
    them); None when it is not JSON, or by default not UTF-8, as an answer with damaged words is none."""
    try:
        return _clean(json.loads(body.decode("utf-8-sig", damaged)))
    except (ValueError, RecursionError):
        return None


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, list):
        return [_clean(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {_clean(name): _clean(item) for name, item in cast("dict[Any, Any]", value).items()}
    return value


def _error(document: Any) -> Any:
    """The error object or text of a body, None when there is none."""
    if not isinstance(document, dict):
        return None
    body = cast("dict[str, Any]", document)
    return body.get("error") or body.get("detail") or (body if body.get("object") == "error" else None)


def _error_text(error: Any) -> str:
    if isinstance(error, dict):
        known = cast("dict[str, Any]", error)
        return str(known.get("message") or known)
    return str(error)


def _code(error: Any) -> str:
    if not isinstance(error, dict):
        return ""
    known = cast("dict[str, Any]", error)
    # Anthropic's word for which limit it is, and OpenRouter's for whose
    inside = {**_object(known.get("details")), **_object(known.get("metadata"))}
    told = [known.get(name) for name in ("code", "type", "status", "param")]
    told += [inside.get(name) for name in ("error_code", "error_type", "limit_source", "reason")]
    return " ".join(str(one or "") for one in told)


def _inner_status(error: Any) -> int:
    """What an error inside a 200 reply stands for, as OpenRouter and Anthropic send it when generation had begun."""
    code = cast("dict[str, Any]", error).get("code") if isinstance(error, dict) else None
    if FILTERED.search(f"{_code(error)} {_error_text(error)}"):
        return 400
    kind = str(cast("dict[str, Any]", error).get("type")) if isinstance(error, dict) else ""
    if kind in messages.STATUSES and code is None:
        return messages.STATUSES[kind]
    status = int(code) if isinstance(code, (int, str)) and re.fullmatch("[0-9]{3}", str(code)) else 0
    return status if 400 <= status < 600 else 500


def _completion(document: dict[str, Any], outcome: Outcome) -> Completion:
    if "choices" not in document and messages.is_reply(document):
        document = {**messages.as_chat(document), ENDED: document.get(ENDED)}
    choices = document.get("choices")
    choice = cast("list[Any]", choices)[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise _failure("malformed", outcome, "the reply has no choices")
    parts = cast("dict[str, Any]", choice)
    message = parts.get("message")
    if not isinstance(message, dict):
        raise _failure("malformed", outcome, "the reply's first choice has no message")
    said = cast("dict[str, Any]", message)
    finish = str(parts.get("finish_reason") or "unknown")
    refusal = said.get("refusal")
    if isinstance(refusal, str) and refusal:
        raise _failure("teacher_refused", outcome, refusal)
    text, reasoning = said.get("content"), ""
    if not isinstance(text, str) or any(map(said.get, thoughts.FIELDS)):
        text, reasoning = thoughts.apart(said)
    if document.get(ENDED):
        raise _failure("repetition", outcome, f"ended while it streamed, in a loop of {str(document[ENDED])[:80]!r}")
    if finish.lower() in CUT_REASONS or parts.get("error"):
        raise _failure("malformed", outcome, f"finish_reason {finish}: {str(parts.get('error') or text)[:200]}")
    if finish.lower() in REFUSING_REASONS:
        raise _failure("teacher_refused", outcome, f"finish_reason {finish}: {text[:200]}")
    if not reasoning and thoughts.MARKED.search(text):  # what a server without a reasoning parser leaves in the text
        text, reasoning = thoughts.unmixed(text)
    if not text.strip():
        if finish in ("length", "max_tokens"):
            raise _failure("truncated_empty", outcome, "all of max_tokens was used before the answer began")
        raise _failure("malformed", outcome, f"the reply is empty (finish_reason {finish})")
    return Completion(
        text=text,
        finish_reason=finish,
        usage=_usage(document),
        model=str(document.get("model") or ""),
        reasoning=reasoning or None,
        provider=str(document.get("provider") or ""),
    )


def _several(document: dict[str, Any], outcome: Outcome) -> Completion:
    """How many choices a reply holds: what each of them is worth is another question."""
    choices = document.get("choices")
    if not isinstance(choices, list) or not choices:
        raise _failure("malformed", outcome, "the reply has no choices")
    return _found(document, len(cast("list[Any]", choices)))


def _vectors(document: dict[str, Any], outcome: Outcome) -> Completion:
    """The vectors of an embeddings reply."""
    from synth.protocol.vectors import decoded  # numpy takes a tenth of a second

    try:
        vectors = decoded(document.get("data"))
    except ValueError as error:
        raise _failure("malformed", outcome, f"the reply's embeddings are unusable: {error}") from None
    return _found(document, vectors)


def _tokens(document: dict[str, Any], outcome: Outcome) -> Completion:
    """The tokens of a prompt that a completions reply echoes, each with its log-probability."""
    return _measured(document, outcome, measures.echoed, "log-probabilities")


def _continued(document: dict[str, Any], outcome: Outcome) -> Completion:
    """What was written after a text; it may be empty, where the model saw its end."""
    choices = document.get("choices")
    choice = _object(cast("list[Any]", choices)[0]) if isinstance(choices, list) and choices else {}
    text, finish = choice.get("text"), str(choice.get("finish_reason") or "unknown")
    if not isinstance(text, str):
        raise _failure("malformed", outcome, "the reply has no text")
    if finish.lower() in CUT_REASONS:
        raise _failure("malformed", outcome, f"finish_reason {finish}: {text[:200]}")
    return Completion(text, finish, _usage(document), str(document.get("model") or ""))


def _rewards(document: dict[str, Any], outcome: Outcome) -> Completion:
    """The numbers of a reply from a reward model."""
    return _measured(document, outcome, measures.rewards, "rewards")


def _measured(
    document: dict[str, Any], outcome: Outcome, measure: Callable[[dict[str, Any]], tuple[Any, ...]], what: str
) -> Completion:
    try:
        return _found(document, measure(document))
    except measures.Unfit as error:
        raise _failure("fatal", outcome, str(error)) from None
    except ValueError as error:
        raise _failure("malformed", outcome, f"the reply's {what} are unusable: {error}") from None


def _found(document: dict[str, Any], found: Any) -> Completion:
    return Completion("", "stop", _usage(document), str(document.get("model") or ""), found=found)


def _usage(document: dict[str, Any]) -> Usage:
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
    inside = _object(inside) if inside else {}
    thought = counts.get("completion_tokens_details" if own else "output_tokens_details")
    thought = _object(thought) if thought else {}
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


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _count(value: Any) -> int | None:
    """A believable number of tokens, or None: providers have sent negatives, texts, fractions and billions."""
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


def _cost_microusd(counts: dict[str, Any]) -> int | None:
    """The provider's own sum in dollars (OpenRouter), with what the user's own upstream key was charged."""
    sums = [counts["cost"]]
    if counts.get("is_byok") is True:
        sums.append(_object(counts.get("cost_details")).get("upstream_inference_cost") or 0)
    if any(type(one) not in (int, float) or not 0 <= one <= MOST_USD for one in sums):
        return None
    # the shortest text of a float is what was sent, so that 0.1 is a tenth
    return sum(int((Decimal(repr(one)) * 1_000_000).to_integral_value(ROUND_CEILING)) for one in sums)


class Shape(NamedTuple):
    """What the reply to a request looks like."""

    member: str
    """What every good one has."""
    part: str
    """What the entries of that have, and no other path's do."""
    reader: Callable[[dict[str, Any], Outcome], Completion]


SHAPES: Mapping[str, Shape] = {
    CHAT: Shape("choices", "message", _completion),
    COMPLETIONS: Shape("choices", "logprobs", _tokens),
    CONTINUED: Shape("choices", "text", _continued),
    EMBEDDINGS: Shape("data", "embedding", _vectors),
    POOLING: Shape("data", "data", _rewards),
    CLASSIFY: Shape("data", "probs", _rewards),
    SCORE: Shape("data", "score", _rewards),
    LOT: Shape("choices", "message", _several),
}
"""By the path that was asked, or as several draws together."""
