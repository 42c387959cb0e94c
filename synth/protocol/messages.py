"""Anthropic's own protocol, https://platform.claude.com/docs/en/api/messages: a chat's request and its reply in it,
whole or as events (https://platform.claude.com/docs/en/build-with-claude/streaming).

A request keeps the key of the one that it is made from, and a reply reads as one of a chat, so that nothing else knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

FINISHED = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "error",
}
"""Why a reply ended, in the words of a chat's; what is not here is called the same."""
STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""What an error without a status of its own, in an event or in a batch, would have come with otherwise."""
TOLD = {"text_delta": "text", "thinking_delta": "thinking"}
"""Where the words of an event stand, by its kind; the other kinds have none for readers."""
UNHEEDED = (
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "minItems", "maxItems", "uniqueItems"),
)
"""What its schemas may not demand, though words may."""
NAMED = ("properties", "$defs", "definitions")
"""Members of a schema whose own members are called as the recipe likes."""


def asked(body: dict[str, Any]) -> dict[str, Any]:
    """The body of a chat's request in this protocol; fields that a chat does not have go as they are."""
    sent = {name: value for name, value in body.items() if name not in ("messages", "stop", "response_format")}
    turns = cast("list[dict[str, Any]]", body["messages"])
    system = [str(turn["content"]) for turn in turns if turn["role"] == "system"]
    if system:
        sent["system"] = "\n\n".join(system)
    sent["messages"] = [turn for turn in turns if turn["role"] != "system"]
    if "stop" in body:
        sent["stop_sequences"] = body["stop"]
    form = body.get("response_format")
    if isinstance(form, dict) and "json_schema" in form:
        schema = cast("dict[str, Any]", form["json_schema"])["schema"]
        config = cast("dict[str, Any]", sent.get("output_config") or {})
        sent["output_config"] = {**config, "format": {"type": "json_schema", "schema": _in_words(schema)}}
    return sent


def is_reply(document: dict[str, Any]) -> bool:
    """Whether a body is a reply in this protocol, and no error."""
    return document.get("type") == "message" and isinstance(document.get("content"), list)


def begins(event: dict[str, Any] | None) -> bool:
    """Whether an event is the first of a reply."""
    return event is not None and event.get("type") == "message_start"


def words_of(event: dict[str, Any]) -> str:
    """The text that an event adds, reasoning included."""
    delta = event.get("delta") if event.get("type") == "content_block_delta" else None
    told = cast("dict[str, Any]", delta) if isinstance(delta, dict) else {}
    return str(told.get(TOLD.get(str(told.get("type")), "")) or "")


def added_up(events: Iterable[dict[str, Any] | None], *, ended: bool, strict: bool) -> dict[str, Any] | None:
    """The reply that events, of which None is a damaged one, add up to; an event that tells of an error as it is.

    None when they have no end, unless they were `ended` here, or where `strict` when one was damaged before it.
    """
    reply: dict[str, Any] = {}
    blocks: dict[Any, tuple[dict[str, Any], list[str]]] = {}
    broken = False
    for event in events:
        if event is None:
            broken = broken or not reply.get("stop_reason")
        elif event.get("error") is not None:
            return event
        elif begins(event):
            reply = _object(event.get("message"))
        elif event.get("type") == "content_block_start":
            blocks[event.get("index")] = _object(event.get("content_block")), []
        elif event.get("type") == "content_block_delta":
            blocks.setdefault(event.get("index"), ({}, []))[1].append(words_of(event))
        elif event.get("type") == "message_delta":  # its counts are of all so far
            reply |= _object(event.get("delta"))
            reply["usage"] = {**_object(reply.get("usage")), **_object(event.get("usage"))}
    if not (ended or reply.get("stop_reason")) or (broken and strict):
        return None
    return {**reply, "type": "message", "content": [_filled(*block) for block in blocks.values()]}


def _filled(block: dict[str, Any], pieces: list[str]) -> dict[str, Any]:
    """A block with the words that came for it."""
    kind = str(block.get("type") or "text")
    return {**block, "type": kind, kind: str(block.get(kind) or "") + "".join(pieces)}


def _object(value: Any) -> dict[str, Any]:
    """An object's members that say something."""
    members = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    return {name: one for name, one in members.items() if one is not None}


def as_chat(reply: dict[str, Any]) -> dict[str, Any]:
    """A reply in the form of a chat's, without what only a later turn of the model could read, such as signatures."""
    blocks = [cast("dict[str, Any]", one) for one in cast("list[Any]", reply["content"]) if isinstance(one, dict)]

    def told(kind: str) -> str:
        return "".join(str(one.get(kind) or "") for one in blocks if one.get("type") == kind)

    ended = str(reply.get("stop_reason") or "")
    message = {"role": "assistant", "content": told("text"), "reasoning_content": told("thinking")}
    if ended == "refusal":
        details = reply.get("stop_details")
        why = cast("dict[str, Any]", details) if isinstance(details, dict) else {}
        message["refusal"] = str(why.get("explanation") or why.get("category") or message["content"])
    choice = {"message": message, "finish_reason": FINISHED.get(ended, ended)}
    return {"model": reply.get("model"), "choices": [choice], "usage": reply.get("usage")}


def _in_words(schema: Any) -> Any:
    """A schema whose bounds, which are refused, stand in its descriptions."""
    if isinstance(schema, list):
        return [_in_words(one) for one in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    told: dict[str, Any] = {}
    bounds: list[str] = []
    for name, value in cast("dict[str, Any]", schema).items():
        if name in NAMED and isinstance(value, dict):
            told[name] = {one: _in_words(part) for one, part in cast("dict[str, Any]", value).items()}
        elif name in UNHEEDED:
            bounds.append(f"{name}: {value}")
        else:
            told["anyOf" if name == "oneOf" else name] = _in_words(value)
    if bounds:
        told["description"] = " ".join([*([str(told["description"])] if "description" in told else []), *bounds])
    return told
