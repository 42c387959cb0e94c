"""A teacher's requests as bytes, each with its key: what is asked, of whom by name, and which draw it is.

Host and API key stay out of the key, so that a moved server buys nothing twice.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from pydantic import JsonValue

from synth.protocol.endpoint import Endpoint
from synth.types import CONTINUED, Message, Request

FRAMING_TOKENS = 64


class Wording:
    """How requests to one teacher are written."""

    def __init__(self, name: str, endpoint: Endpoint, salt: str = "", *, has_replicas: bool = False) -> None:
        """Another `salt` asks everything anew. `has_replicas` says whether the beginning of a prompt may decide which
        of several servers it goes to."""
        self._name, self._model, self._salt = name, endpoint.model, salt
        self._has_replicas = has_replicas
        self._sampling = sampling = endpoint.sampling
        self._max_tokens, self._seed = sampling.max_tokens, sampling.seed
        body: dict[str, Any] = {"model": endpoint.model, "messages": None, "max_tokens": sampling.max_tokens}
        named = {"temperature": sampling.temperature, "top_p": sampling.top_p, "seed": sampling.seed}
        body |= {name: value for name, value in named.items() if value is not None}
        if sampling.stop:
            body["stop"] = sampling.stop
        if sampling.logprobs is not None:
            body["logprobs"], body["top_logprobs"] = True, sampling.logprobs
        self._body = body
        """What all chats say, in the order in which it is sent: to ask the recipe's values for each takes longer."""
        self._extra = sampling.extra

    def request(
        self,
        messages: Sequence[Message],
        draw: int,
        response_format: Mapping[str, JsonValue] | None = None,
        *,
        raised: int = 1,
    ) -> Request:
        """Serialise a prompt once. `raised` multiplies `max_tokens`."""
        max_tokens = raised * self._max_tokens
        wire = [{"role": message.role, "content": message.content} for message in messages]
        body = {**self._body, "messages": wire, "max_tokens": max_tokens}
        if self._seed is not None:
            body["seed"] = self._seed + draw
        if response_format is not None:
            body["response_format"] = response_format
        if self._extra:
            body.update(self._extra)
        sent = bytes(memoryview(orjson.dumps(body)))  # the copy is as long as it looks, orjson's own 4 KB at least
        key = hashlib.sha256(f"{self._name}\0{draw}\0{self._salt}\0".encode() + sent).digest()
        # a token is at least one byte, so the length of the body is a worst case that needs no tokeniser
        prefix = zlib.crc32(wire[0]["content"].encode("utf-8", "surrogatepass")) if self._has_replicas else 0
        return Request(key, self._name, self._model, sent, draw, len(sent) + FRAMING_TOKENS, max_tokens, prefix)

    def continuation(self, text: str, draw: int, stop: Sequence[str], *, raised: int = 1) -> Request:
        """Serialise a text that is to be gone on with, by the recipe's sampling, but for its own stop sequences."""
        sampling = self._sampling
        fields: dict[str, JsonValue] = {"prompt": text, "max_tokens": raised * sampling.max_tokens}
        named = {"temperature": sampling.temperature, "top_p": sampling.top_p}
        fields |= {name: value for name, value in named.items() if value is not None}
        if sampling.seed is not None:
            fields["seed"] = sampling.seed + draw
        if stops := [*dict.fromkeys([*stop, *sampling.stop])]:
            fields["stop"] = [*stops]
        return self.request_to(CONTINUED, fields, draw)

    def request_to(self, path: str, fields: Mapping[str, JsonValue], draw: int = 0) -> Request:
        """Serialise what is asked of a path other than the chat's: `fields` with the model and the sampling's `extra`.

        A `max_tokens` among them is the most that the reply may bring, for the budget.
        """
        sent = orjson.dumps({"model": self._model, **fields, **self._extra})
        named = (self._name, str(draw), self._salt, path)
        key = hashlib.sha256(b"\0".join([*(one.encode() for one in named), sent])).digest()
        prompt_tokens, most = len(sent) + FRAMING_TOKENS, fields.get("max_tokens")
        max_tokens = most if isinstance(most, int) else 0
        return Request(key, self._name, self._model, sent, draw, prompt_tokens, max_tokens, path=path)
