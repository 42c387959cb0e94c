"""Raw reply to completion, or to one named failure (`fates.py`). Pure: the same bytes always read the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, cast

import orjson

from synth.admission.rate_headers import retry_after_s
from synth.errors import Fatal, Rejected, TeacherError, Transient
from synth.patterns import lazy
from synth.protocol import measures, messages, thoughts
from synth.protocol.fates import FATES, FILTERED, classify
from synth.protocol.streams import ENDED, added_up, whole
from synth.protocol.usage import as_object, usage_in
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

EVENT = lazy(rb"data:|event:|id:|:")
"""How an event stream begins; some proxies send one that was not asked for."""
REFUSING_REASONS = frozenset(
    ["content_filter", "refusal", "safety", "prohibited_content", "recitation", "blocklist", "spii"]
)
CUT_REASONS = frozenset(["error", "abort", "aborted", "cancelled"])
"""What servers say of a reply that they did not end."""


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
        body = " ".join(outcome.body[:200].decode("utf-8", "replace").split())
        raise _failure("malformed", outcome, f"a JSON object was expected, {kind} came: {body}")
    error = _error(document)
    if outcome.status != 200 or error is not None:
        status = outcome.status if error is None or outcome.status != 200 else _inner_status(error)
        text = _error_text(error) if error is not None else outcome.body[:500].decode("utf-8", "replace")
        raise _failure(classify(status, f"{_code(error)} {text}"), outcome, f"HTTP {outcome.status}: {text}".strip())


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
    return usage_in(cast("dict[str, Any]", document)) if isinstance(document, dict) else Usage()


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
    inside = {**as_object(known.get("details")), **as_object(known.get("metadata"))}
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
    choices: list[Any] | None = document.get("choices")
    parts: dict[str, Any] | None = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(parts, dict):
        raise _failure("malformed", outcome, "the reply has no choices")
    said: dict[str, Any] | None = parts.get("message")
    if not isinstance(said, dict):
        raise _failure("malformed", outcome, "the reply's first choice has no message")
    finish = str(parts.get("finish_reason") or "unknown")
    ending, refusal = finish.lower(), said.get("refusal")
    if isinstance(refusal, str) and refusal:
        raise _failure("teacher_refused", outcome, refusal)
    text, reasoning = said.get("content"), ""
    if not isinstance(text, str) or any(map(said.get, thoughts.FIELDS)):
        text, reasoning = thoughts.apart(said)
    if document.get(ENDED):
        raise _failure("repetition", outcome, f"ended while it streamed, in a loop of {str(document[ENDED])[:80]!r}")
    if ending in CUT_REASONS or parts.get("error"):
        raise _failure("malformed", outcome, f"finish_reason {finish}: {str(parts.get('error') or text)[:200]}")
    if ending in REFUSING_REASONS:
        raise _failure("teacher_refused", outcome, f"finish_reason {finish}: {text[:200]}")
    if (
        not reasoning and ("<" in text or "[" in text) and thoughts.MARKED.search(text)
    ):  # what a server without a reasoning parser leaves in the text
        text, reasoning = thoughts.unmixed(text)
    if not text.strip():
        if finish in ("length", "max_tokens"):
            raise _failure("truncated_empty", outcome, "all of max_tokens was used before the answer began")
        raise _failure("malformed", outcome, f"the reply is empty (finish_reason {finish})")
    model, provider = str(document.get("model") or ""), str(document.get("provider") or "")
    return Completion(text, finish, usage_in(document), model, reasoning or None, provider)


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
    choice = as_object(cast("list[Any]", choices)[0]) if isinstance(choices, list) and choices else {}
    text, finish = choice.get("text"), str(choice.get("finish_reason") or "unknown")
    if not isinstance(text, str):
        raise _failure("malformed", outcome, "the reply has no text")
    if finish.lower() in CUT_REASONS:
        raise _failure("malformed", outcome, f"finish_reason {finish}: {text[:200]}")
    return Completion(text, finish, usage_in(document), str(document.get("model") or ""))


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
    return Completion("", "stop", usage_in(document), str(document.get("model") or ""), found=found)


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
