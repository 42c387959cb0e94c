"""The practice teacher in Anthropic's protocol, https://platform.claude.com/docs/en/api/messages: requests read as a
chat's, and replies told in its words, whole or as events."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Literal, cast

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from synth.backends.practice.forms import MODEL, no_model

PIECE_CHARS = 4
KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "api_error",
}
ENDED = {"stop": "end_turn", "length": "max_tokens"}


class _Turn(BaseModel):
    role: Literal["user", "assistant"]
    content: str | list[dict[str, JsonValue]]


class MessagesRequest(BaseModel):
    """The fields that matter here."""

    model_config = ConfigDict(strict=True)

    model: str
    messages: list[_Turn] = Field(min_length=1)
    max_tokens: int = Field(ge=1)
    system: str | list[dict[str, JsonValue]] | None = None
    temperature: float | None = Field(default=None, ge=0, le=1)
    stop_sequences: list[str] | None = None
    stream: bool | None = None


def unfit(request: MessagesRequest) -> web.Response | None:
    """What is wrong with a request whose fields are right one by one."""
    return no_model(request.model, MODEL) if request.model != MODEL else None


def as_chat(body: dict[str, Any]) -> dict[str, Any]:
    """The same request in OpenAI's words."""
    left_out = ("system", "stop_sequences", "output_config", "thinking", "stream")
    chat = {name: value for name, value in body.items() if name not in left_out}
    if body.get("system"):
        chat["messages"] = [{"role": "system", "content": body["system"]}, *body["messages"]]
    if body.get("stop_sequences"):
        chat["stop"] = body["stop_sequences"]
    form: Any = cast("dict[str, Any]", body.get("output_config") or {}).get("format")
    if form:
        chat["response_format"] = {"type": "json_schema", "json_schema": {"name": "reply", "schema": form["schema"]}}
    return chat


def thinks(body: dict[str, Any]) -> bool:
    """Whether a request wants its reply thought about."""
    return cast("dict[str, Any]", body.get("thinking") or {}).get("type") in ("enabled", "adaptive")


def message(document: dict[str, Any], *, thinks: bool) -> dict[str, Any]:
    """A chat's reply as this protocol has it."""
    (choice,) = document["choices"]
    text, usage = choice["message"]["content"], document["usage"]
    thought = {"type": "thinking", "thinking": text.partition("\n")[0], "signature": "practice"}
    return {
        "id": document["id"].replace("chatcmpl", "msg"),
        "type": "message",
        "role": "assistant",
        "model": document["model"],
        "content": [*([thought] if thinks else []), {"type": "text", "text": text}],
        "stop_reason": ENDED[choice["finish_reason"]],
        "stop_sequence": None,
        "usage": {"input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"]},
    }


def refused(problem: web.Response) -> web.Response:
    """An error of OpenAI's form in this one."""
    said = orjson.loads(cast("bytes", problem.body))["error"]["message"]
    told = {"type": "error", "error": {"type": KINDS[problem.status], "message": said}}
    kept = {name: value for name, value in problem.headers.items() if name.lower().startswith(("retry", "x-"))}
    return web.Response(body=orjson.dumps(told), status=problem.status, headers=kept, content_type="application/json")


async def stream(request: web.Request, whole: dict[str, Any], headers: dict[str, str]) -> web.StreamResponse:
    """The reply piece by piece, as https://platform.claude.com/docs/en/build-with-claude/streaming has it."""
    response = web.StreamResponse(headers={**headers, "content-type": "text/event-stream"})
    await response.prepare(request)
    try:
        for event in _events(whole):
            await response.write(b"event: %b\ndata: %b\n\n" % (event["type"].encode(), orjson.dumps(event)))
            await asyncio.sleep(0)  # so that it is noticed when nobody listens any more
    except ConnectionResetError:
        return response
    return response


def _events(whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    used = {**whole["usage"], "output_tokens": 1}
    yield {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None, "usage": used}}
    yield {"type": "ping"}
    for index, block in enumerate(whole["content"]):
        kind = block["type"]
        empty = {"type": kind, kind: "", **({"signature": ""} if kind == "thinking" else {})}
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        text = block[kind]
        for at in range(0, len(text), PIECE_CHARS):
            delta = {"type": f"{kind}_delta", kind: text[at : at + PIECE_CHARS]}
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        if kind == "thinking":
            delta = {"type": "signature_delta", "signature": block["signature"]}
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": whole["usage"]["output_tokens"]}}
    yield {"type": "message_stop"}
