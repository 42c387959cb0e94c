"""The practice teacher over HTTP: OpenAI's chat completions and what else it answers, with faults when asked for."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Literal, cast

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from synth.backends.practice import native
from synth.backends.practice.answering import Said, say
from synth.backends.practice.batches import Batches
from synth.backends.practice.cache import PromptCache
from synth.backends.practice.characters import tokens
from synth.backends.practice.faults import Faults
from synth.backends.practice.forms import EMBEDDER, MODEL, REWARDER, checked, error, missing, no_model, reply
from synth.backends.practice.measuring import WAYS, Way
from synth.backends.practice.told import logprobs_of
from synth.types import CHAT, EMBEDDINGS

PIECE_CHARS = 4
CREATED = 1_700_000_000
RETRY_MS = 60
SLOW_S = 1.0
ARRIVALS_WITH_FAULTS = 2
MOST_STOPS = 4
MODELS = (MODEL, EMBEDDER, REWARDER)


@asynccontextmanager
async def practice_server(
    faults: Faults, *, host: str = "127.0.0.1", port: int = 0, api_key: str | None = None
) -> AsyncGenerator[str]:
    """Serve on the running loop; gives the base URL. Port 0 takes a free one.

    Raises OSError when the port is taken.
    """
    runner = web.AppRunner(PracticeTeacher(faults, api_key).application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound: tuple[Any, ...] = runner.addresses[0]
        yield f"http://{host}:{bound[1]}/v1"
    finally:
        await runner.cleanup()


async def serve(
    host: str, port: int, faults: Faults, *, api_key: str | None = None, ready: Callable[[str], None]
) -> None:
    """Serve until cancelled; `ready` gets the base URL."""
    async with practice_server(faults, host=host, port=port, api_key=api_key) as base_url:
        ready(base_url)
        await asyncio.Event().wait()


class PracticeTeacher:
    """Counts arrivals, so that a request that met a fault on the way can succeed when it is sent again."""

    def __init__(self, faults: Faults, api_key: str | None) -> None:
        self._faults = faults
        self._api_key = api_key
        self._arrivals: Counter[bytes] = Counter()
        self._cache = PromptCache()
        self.stored: list[dict[str, Any]] = []
        """The completions that were to be kept, the oldest first."""
        self.batches = Batches(faults, {CHAT: self._answered, EMBEDDINGS: partial(_measured, WAYS[f"/v1{EMBEDDINGS}"])})

    def application(self) -> web.Application:
        """The routes."""
        application = web.Application(client_max_size=256 * 1024 * 1024, middlewares=[_unknown_path, self._guarded])
        application.on_cleanup.append(self.batches.stop)
        application.router.add_routes(self.batches.routes())
        application.router.add_post("/v1/chat/completions", self._chat)
        application.router.add_get("/v1/chat/completions", self._listed)
        application.router.add_post("/v1/messages", self._message)
        for path, way in WAYS.items():
            application.router.add_post(path, partial(self._measured, way))
        application.router.add_get("/v1/models", self._models)
        application.router.add_get("/v1/models/{model}", self._model)
        return application

    async def _models(self, _request: web.Request) -> web.StreamResponse:
        return reply({"object": "list", "data": [_model(name) for name in MODELS]})

    async def _model(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["model"]
        return reply(_model(name)) if name in MODELS else no_model(name, MODEL)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body, problem = checked(raw, _ChatRequest, _unfit)
        problem = problem or await self._met(request, raw)
        if problem is not None:
            return problem
        options = body.pop("stream_options", None)
        streams = body.pop("stream", False)
        document, status, headers = _completion(body, self._faults)
        document["usage"]["prompt_tokens_details"]["cached_tokens"] = self._cache.reused(body["messages"])
        if streams:
            return await _stream(request, document, status, headers, options)
        if body.get("store"):
            self.stored.append({**document, "metadata": body.get("metadata") or {}})
        return reply(document, status, headers)

    async def _message(self, request: web.Request) -> web.StreamResponse:
        """A chat in Anthropic's protocol."""
        raw = await request.read()
        body, problem = checked(raw, native.MessagesRequest, native.unfit)
        problem = problem or await self._met(request, raw)
        if problem is not None:
            return native.refused(problem)
        document, _, headers = _completion(native.as_chat(body), self._faults)
        told = native.message(document, thinks=native.thinks(body))
        return await native.stream(request, told, headers) if body.get("stream") else reply(told, headers=headers)

    async def _listed(self, request: web.Request) -> web.StreamResponse:
        """The stored completions whose metadata holds what is asked for."""
        asked = {name[9:-1]: value for name, value in request.query.items() if name.startswith("metadata[")}
        found = [one for one in self.stored if asked.items() <= one["metadata"].items()]
        most = int(request.query.get("limit", "20"))
        return reply({"object": "list", "data": found[:most], "has_more": len(found) > most})

    async def _measured(self, way: Way[Any], request: web.Request) -> web.StreamResponse:
        """What another path than the chat's answers."""
        raw = await request.read()
        body, problem = checked(raw, way.kind, way.unfit)
        return problem or await self._met(request, raw) or reply(way.answer(body))

    async def _met(self, request: web.Request, raw: bytes) -> web.Response | None:
        """The fault that a request meets on the way; None when it is to be answered."""
        digest = hashlib.sha256(raw).digest()
        self._arrivals[digest] += 1
        fault = self._on_the_way(digest)
        if fault == "dropped":
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        if fault == "rate_limit":
            headers = {"retry-after-ms": str(RETRY_MS), "x-ratelimit-remaining-requests": "0"}
            return error(429, "Rate limit reached for requests", "rate_limit_exceeded", headers=headers)
        if fault == "server_error":
            return error(500, "The server had an error while processing your request", "server_error")
        await asyncio.sleep(SLOW_S if fault == "slow" else self._faults.latency_s)
        return None

    def _on_the_way(self, digest: bytes) -> str:
        arrival = self._arrivals[digest]
        if arrival > ARRIVALS_WITH_FAULTS:
            return ""
        rng = random.Random(digest + bytes([arrival, self._faults.seed % 256]))  # noqa: S311 (play, no secret)
        point = rng.random()
        for name in ("rate_limit", "server_error", "dropped", "slow"):
            point -= getattr(self._faults, name)
            if point < 0:
                return name
        return ""

    def _answered(self, raw: bytes) -> tuple[int, dict[str, Any]]:
        """What a chat in a batch is answered with."""
        body, problem = checked(raw, _ChatRequest, _unfit)
        return _refused(problem) if problem is not None else (200, _completion(body, self._faults)[0])

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Any) -> web.StreamResponse:
        given = request.headers.get("x-api-key") or request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self._api_key in (None, given):
            return await handler(request)
        return error(401, "Incorrect API key provided.", "invalid_api_key")


def _measured(way: Way[Any], raw: bytes) -> tuple[int, dict[str, Any]]:
    """What a request of another kind in a batch is answered with."""
    body, problem = checked(raw, way.kind, way.unfit)
    return _refused(problem) if problem is not None else (200, way.answer(body))


def _refused(problem: web.Response) -> tuple[int, dict[str, Any]]:
    return problem.status, orjson.loads(cast("bytes", problem.body))


@web.middleware
async def _unknown_path(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return error(404, f"Unknown request URL: {request.method} {request.path}.", "unknown_url")
    except web.HTTPMethodNotAllowed:
        return error(405, f"Not allowed to {request.method} on {request.path}.", "method_not_supported")


def _first_tokens(text: str, most: int) -> str:
    """As much of a text's beginning as so many tokens hold."""
    end = min(len(text), 4 * most)
    while end > 1 and tokens(text[:end]) > most:
        end -= 1
    return text[:end]


def _stopped(text: str, stop: str | list[str] | None) -> str:
    """A text up to the first stop sequence in it, which is left out."""
    sequences = [stop] if isinstance(stop, str) else stop or []
    return text[: min((text.index(one) for one in sequences if one and one in text), default=len(text))]


class _Turn(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, JsonValue]] | None = None


class _Named(BaseModel):
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    body: dict[str, JsonValue] = Field(alias="schema")


class _Format(BaseModel):
    """https://platform.openai.com/docs/guides/structured-outputs"""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: _Named | None = None


class _ChatRequest(BaseModel):
    """The fields that matter here; others are let by, as they make another request all the same."""

    model_config = ConfigDict(strict=True)

    model: str
    messages: list[_Turn] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    seed: int | None = None
    stop: str | list[str] | None = None
    response_format: _Format | None = None
    n: int | None = Field(default=None, ge=1, le=128)
    stream: bool | None = None
    tools: list[JsonValue] | None = None


def _unfit(request: _ChatRequest) -> web.Response | None:
    """What is wrong with a request whose fields are right one by one."""
    if request.model != MODEL:
        return no_model(request.model, MODEL)
    if request.tools:
        return error(400, "The practice teacher does not support 'tools'.", "unsupported_parameter", "tools")
    if request.stream and request.n not in (None, 1):
        return error(400, "The practice teacher streams one choice.", "unsupported_value", "n")
    if isinstance(request.stop, list) and not 1 <= len(request.stop) <= MOST_STOPS:
        return error(400, f"'stop' takes 1 to {MOST_STOPS} sequences.", "invalid_value", "stop")
    form = request.response_format
    if form is not None and form.type == "json_schema" and form.json_schema is None:
        return missing("response_format.json_schema")
    if form is not None and form.type == "json_object" and "json" not in str(request.messages).casefold():
        message = (
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
        )
        return error(400, message, None, "messages")
    return None


def _completion(body: dict[str, Any], faults: Faults) -> tuple[dict[str, Any], int, dict[str, str]]:
    """The reply as a document, with its status and headers.

    Choice i is what the same request for one choice is answered with when its seed is i more, and a prompt counts once.
    """
    one = {name: value for name, value in body.items() if name != "n"}
    spoken = [
        say({**one, "seed": (one.get("seed") or 0) + place} if place else one, faults)
        for place in range(body.get("n") or 1)
    ]
    choices = [_choice(body, said, place) for place, said in enumerate(spoken)]
    digest = hashlib.sha256(orjson.dumps(body)).hexdigest()
    used = sum(tokens(str(message.get("content"))) + 4 for message in body["messages"])
    written = sum(tokens(choice["message"]["content"]) for choice in choices)
    document = {
        "id": f"chatcmpl-practice-{digest[:24]}",
        "object": "chat.completion",
        "created": CREATED,
        "model": MODEL,
        "system_fingerprint": "practice",
        "choices": choices,
        "usage": {
            "prompt_tokens": used,
            "completion_tokens": written,
            "total_tokens": used + written,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }
    true = spoken[0].truth
    note = {"role": true.role, "task": true.task, "fault": true.fault}
    return document, 200, {"x-practice-truth": orjson.dumps(note).decode()}


def _choice(body: dict[str, Any], said: Said, place: int) -> dict[str, Any]:
    content, finish = _stopped(said.content, body.get("stop")), said.finish_reason
    if content != said.content:
        finish = "stop"
    most = body.get("max_completion_tokens") or body.get("max_tokens") or 4096
    if tokens(content) > most:
        content, finish = _first_tokens(content, most), "length"
    return {
        "index": place,
        "message": {"role": "assistant", "content": content, "refusal": None},
        "logprobs": logprobs_of(content, body.get("top_logprobs") or 0) if body.get("logprobs") else None,
        "finish_reason": finish,
    }


async def _stream(
    request: web.Request, document: dict[str, Any], status: int, headers: dict[str, str], options: Any
) -> web.StreamResponse:
    """The reply piece by piece, as https://platform.openai.com/docs/api-reference/chat-streaming has it."""
    response = web.StreamResponse(status=status, headers={**headers, "content-type": "text/event-stream"})
    await response.prepare(request)
    (choice,) = document["choices"]
    text = choice["message"]["content"]
    pieces = [text[at : at + PIECE_CHARS] for at in range(0, len(text), PIECE_CHARS)]
    deltas = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in pieces), {}]
    told = {name: document[name] for name in ("id", "created", "model", "system_fingerprint")}
    told["object"] = "chat.completion.chunk"
    wants_usage = isinstance(options, dict) and cast("dict[str, Any]", options).get("include_usage")
    usage = {"usage": None} if wants_usage else {}
    try:
        for place, delta in enumerate(deltas):
            finish = choice["finish_reason"] if place == len(deltas) - 1 else None
            choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
            await response.write(b"data: %b\n\n" % orjson.dumps({**told, "choices": choices, **usage}))
            await asyncio.sleep(0)  # so that it is noticed when nobody listens any more
        if usage:
            last: dict[str, Any] = {**told, "choices": [], "usage": document["usage"]}
            await response.write(b"data: %b\n\n" % orjson.dumps(last))
        await response.write(b"data: [DONE]\n\n")
    except ConnectionResetError:
        return response
    return response


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "synth-practice"}
