"""What the practice teacher answers elsewhere than at chats: vectors, log-probabilities, rewards.

Shapes: OpenAI's for `/v1/embeddings` and `/v1/completions`, with what vLLM 0.32 does where a prompt is echoed; and
vLLM's for the reward model that it serves at `/pooling`, `/classify` and `/score`.
"""

from __future__ import annotations

import base64
import hashlib
import math
import random
import struct
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from synth.backends.practice.characters import Tokens, continued, read_through, tokens
from synth.backends.practice.embedding import DIMENSIONS, embedded
from synth.backends.practice.forms import EMBEDDER, MODEL, REWARDER, error, no_model
from synth.backends.practice.pre_query import user_turn
from synth.backends.practice.reading import read
from synth.backends.practice.said import is_right

MOST_INPUTS = 2048
MOST_LOGPROBS = 20
WINDOW = 8192
"""The most tokens of a prompt and what is written after it."""
RIGHT = 3.0
"""What a right final answer adds to a reward, and a wrong one takes."""

R = TypeVar("R", bound=BaseModel)


class Way(NamedTuple, Generic[R]):
    """How requests to one path are answered."""

    kind: type[R]
    unfit: Callable[[R], web.Response | None]
    """What is wrong with a request whose fields are right one by one."""
    answer: Callable[[dict[str, Any]], dict[str, Any]]


class EmbeddingRequest(BaseModel):
    """https://platform.openai.com/docs/api-reference/embeddings/create, but for inputs that are token numbers."""

    model_config = ConfigDict(strict=True)

    model: str
    input: str | list[str] = Field(min_length=1)
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None


class CompletionRequest(BaseModel):
    """https://platform.openai.com/docs/api-reference/completions/create, for one text."""

    model_config = ConfigDict(strict=True)

    model: str
    prompt: str
    echo: bool = False
    logprobs: int | None = Field(default=None, ge=0, le=MOST_LOGPROBS)
    max_tokens: int = Field(default=16, ge=0)


class Turn(BaseModel):
    """One turn of a conversation that is to be rewarded."""

    role: str
    content: str


class PooledRequest(BaseModel):
    """What vLLM's `/pooling` and `/classify` take: a conversation, or texts."""

    model_config = ConfigDict(strict=True)

    model: str
    input: str | list[str] | None = None
    messages: list[Turn] | None = Field(default=None, min_length=1)
    use_activation: bool | None = None


class PairRequest(BaseModel):
    """What vLLM's `/score` takes: a text and one that belongs to it."""

    model_config = ConfigDict(strict=True)

    model: str
    text_1: str
    text_2: str
    use_activation: bool | None = None


def _not_embedded(request: EmbeddingRequest) -> web.Response | None:
    if request.model != EMBEDDER:
        return no_model(request.model, EMBEDDER)
    if request.dimensions not in (None, DIMENSIONS):
        return error(400, f"The practice teacher gives {DIMENSIONS} dimensions.", "unsupported_value", "dimensions")
    inputs = [request.input] if isinstance(request.input, str) else request.input
    if len(inputs) > MOST_INPUTS or not all(inputs):
        return error(400, f"'input' takes 1 to {MOST_INPUTS} texts, none of them empty.", "invalid_value", "input")
    return None


def _embeddings(body: dict[str, Any]) -> dict[str, Any]:
    inputs: list[str] = [body["input"]] if isinstance(body["input"], str) else body["input"]
    vectors: list[Any] = [embedded(text) for text in inputs]
    if body.get("encoding_format") == "base64":
        vectors = [base64.b64encode(struct.pack(f"<{DIMENSIONS}f", *vector)).decode() for vector in vectors]
    used = sum(map(tokens, inputs))
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return {"object": "list", "data": data, "model": EMBEDDER, "usage": {"prompt_tokens": used, "total_tokens": used}}


def _not_completed(request: CompletionRequest) -> web.Response | None:
    if request.model != MODEL:
        return no_model(request.model, MODEL)
    if not request.prompt:
        return error(400, "Either prompt or prompt_embeds must be provided and non-empty.", None, "prompt")
    if len(request.prompt) + request.max_tokens > WINDOW:  # no token is less than a letter, but for parts of one
        message = f"This model's maximum context length is {WINDOW} tokens. However, your prompt contains more."
        return error(400, message, "context_length_exceeded", "input_tokens")
    return None


def _completion(body: dict[str, Any]) -> dict[str, Any]:
    rng = random.Random(hashlib.sha256(orjson.dumps(body)).digest())  # noqa: S311 (play, no secret)
    asked = None if body.get("echo") else user_turn(body["prompt"], rng)
    if asked is not None:
        return _written(body, asked)
    prompt, most = read_through(body["prompt"]), body.get("max_tokens", 16)
    written = continued(body["prompt"], most)
    shown = [*(prompt if body.get("echo") else ()), *written]
    choice = {
        "index": 0,
        "text": (body["prompt"] if body.get("echo") else "") + "".join(text for text, _ in written),
        "logprobs": None if body.get("logprobs") is None else _logprobs(shown),
        "finish_reason": "length",
    }
    used = max(1, most)  # vLLM writes one even when it is to write none, and leaves it out
    usage = {"prompt_tokens": len(prompt), "completion_tokens": used, "total_tokens": len(prompt) + used}
    return {"id": "cmpl-practice", "object": "text_completion", "created": 0, "model": MODEL,
            "choices": [choice], "usage": usage}  # fmt: skip


def _written(body: dict[str, Any], text: str) -> dict[str, Any]:
    """A user's turn as a completion, cut where it is longer than may be."""
    most = body.get("max_tokens", 16)
    is_cut = tokens(text) > most
    text = text[:most] if is_cut else text
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": "length" if is_cut else "stop"}
    used, written = tokens(body["prompt"]), tokens(text)
    usage = {"prompt_tokens": used, "completion_tokens": written, "total_tokens": used + written}
    return {"id": "cmpl-practice", "object": "text_completion", "created": 0, "model": MODEL,
            "choices": [choice], "usage": usage}  # fmt: skip


def _logprobs(shown: Tokens) -> dict[str, Any]:
    texts = [text for text, _ in shown]
    return {
        "text_offset": [0, *accumulate(len(text) for text in texts[:-1])],
        "token_logprobs": [logprob for _, logprob in shown],
        "tokens": texts,
        "top_logprobs": [None if logprob is None else {text: logprob} for text, logprob in shown],
    }


def _not_rewarded(request: PooledRequest | PairRequest) -> web.Response | None:
    if request.model != REWARDER:
        return no_model(request.model, REWARDER)
    if isinstance(request, PooledRequest) and not (request.input or request.messages):
        return error(400, "The decoder prompt cannot be empty", None, "input")
    return None


def _rewards(body: dict[str, Any]) -> list[float]:
    """One for each text of a request, under a sigmoid unless that is switched off."""
    if "messages" in body:
        texts = [("\n\n".join(turn["content"] for turn in body["messages"][:-1]), body["messages"][-1]["content"])]
    elif "text_1" in body:
        texts = [(body["text_1"], body["text_2"])]
    else:
        texts = [("", text) for text in ([body["input"]] if isinstance(body["input"], str) else body["input"])]
    raw = [_reward(question, answer) for question, answer in texts]
    return raw if body.get("use_activation") is False else [1 / (1 + math.exp(-one)) for one in raw]


def _reward(question: str, answer: str) -> float:
    """How well an answer reads, and whether it is right where the question is an exercise."""
    known, before = read(question), f"{question}\n\n" if question else ""
    logprobs = [logprob for _, logprob in read_through(before + answer)[len(read_through(before)) :] if logprob]
    fluency = math.fsum(logprobs) / max(1, len(answer))
    return fluency if known is None else fluency + (RIGHT if is_right(answer, known) else -RIGHT)


def _rewarded(name: str, entry: Callable[[float], dict[str, Any]]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        found: Sequence[float] = _rewards(body)
        data = [{"index": index, **entry(one)} for index, one in enumerate(found)]
        used = tokens(str(body.get("messages") or body.get("input") or body["text_1"] + body["text_2"]))
        usage = {"prompt_tokens": used, "total_tokens": used, "completion_tokens": 0}
        return {
            "id": f"{name}-practice",
            "object": "list",
            "created": 0,
            "model": REWARDER,
            "data": data,
            "usage": usage,
        }

    return answer


_SCORE = Way(PairRequest, _not_rewarded, _rewarded("score", lambda one: {"object": "score", "score": one}))
WAYS: dict[str, Way[Any]] = {
    "/v1/embeddings": Way(EmbeddingRequest, _not_embedded, _embeddings),
    "/v1/completions": Way(CompletionRequest, _not_completed, _completion),
    "/pooling": Way(
        PooledRequest, _not_rewarded, _rewarded("pooling", lambda one: {"object": "pooling", "data": [one]})
    ),
    "/classify": Way(
        PooledRequest,
        _not_rewarded,
        _rewarded("classify", lambda one: {"label": "LABEL_0", "probs": [one], "num_classes": 1}),
    ),
    "/score": _SCORE,
    "/v1/score": _SCORE,
}
"""By the path below the server's root."""
