"""A teacher's requests as bytes, each with its key: what is asked, of whom by name, and which draw it is.

Host and API key stay out of the key, so that a moved server buys nothing twice.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import JsonValue

from synth.protocol.endpoint import Endpoint
from synth.types import CONTINUED, Message, Request

FRAMING_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Wording:
    """How requests to one teacher are written."""

    name: str
    endpoint: Endpoint
    salt: str = ""
    """Another word asks everything anew."""
    has_replicas: bool = False
    """Whether the beginning of a prompt may decide which of several servers it goes to."""

    def request(
        self,
        messages: Sequence[Message],
        draw: int,
        response_format: Mapping[str, JsonValue] | None = None,
        *,
        raised: int = 1,
    ) -> Request:
        """Serialise a prompt once. `raised` multiplies `max_tokens`."""
        endpoint, sampling = self.endpoint, self.endpoint.sampling
        max_tokens = raised * sampling.max_tokens
        wire = [{"role": message.role, "content": message.content} for message in messages]
        body: dict[str, Any] = {"model": endpoint.model, "messages": wire, "max_tokens": max_tokens}
        if sampling.temperature is not None:
            body["temperature"] = sampling.temperature
        if sampling.top_p is not None:
            body["top_p"] = sampling.top_p
        if sampling.seed is not None:
            body["seed"] = sampling.seed + draw
        if sampling.stop:
            body["stop"] = sampling.stop
        if sampling.logprobs is not None:
            body["logprobs"], body["top_logprobs"] = True, sampling.logprobs
        if response_format is not None:
            body["response_format"] = response_format
        body.update(sampling.extra)
        sent = bytes(memoryview(orjson.dumps(body)))  # the copy is as long as it looks, orjson's own 4 KB at least
        key = hashlib.sha256(b"\0".join([self.name.encode(), str(draw).encode(), self.salt.encode(), sent])).digest()
        # a token is at least one byte, so the length of the body is a worst case that needs no tokeniser
        prefix = zlib.crc32(wire[0]["content"].encode("utf-8", "surrogatepass")) if self.has_replicas else 0
        return Request(key, self.name, endpoint.model, sent, draw, len(sent) + FRAMING_TOKENS, max_tokens, prefix)

    def continuation(self, text: str, draw: int, stop: Sequence[str], *, raised: int = 1) -> Request:
        """Serialise a text that is to be gone on with, by the recipe's sampling, but for its own stop sequences."""
        sampling = self.endpoint.sampling
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
        sent = orjson.dumps({"model": self.endpoint.model, **fields, **self.endpoint.sampling.extra})
        named = (self.name, str(draw), self.salt, path)
        key = hashlib.sha256(b"\0".join([*(one.encode() for one in named), sent])).digest()
        prompt_tokens, most = len(sent) + FRAMING_TOKENS, fields.get("max_tokens")
        max_tokens = most if isinstance(most, int) else 0
        return Request(key, self.name, self.endpoint.model, sent, draw, prompt_tokens, max_tokens, path=path)
