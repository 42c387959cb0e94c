"""OpenAI-compatible HTTP: one POST, one outcome."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version

from synth.backends import Backend
from synth.backends.dial import origin_of, tls_context
from synth.backends.wire import Wire
from synth.errors import Fatal
from synth.protocol.endpoint import Endpoint
from synth.protocol.outgoing import Translate, translation
from synth.protocol.streams import Loop
from synth.types import Outcome, Request

HIDDEN = "[key]"


@dataclass(frozen=True, slots=True)
class Discreet:
    """A backend whose outcomes never hold the key, which servers and proxies echo in what they refuse."""

    wire: Wire
    in_body: re.Pattern[bytes] = field(repr=False)
    in_text: re.Pattern[str] = field(repr=False)

    async def send(self, request: Request) -> Outcome:
        """Send one request; a key in the reply is replaced before anything can keep it."""
        outcome = await self.wire.send(request)
        told = (outcome.detail, *outcome.headers.values())
        if not self.in_body.search(outcome.body) and not any(self.in_text.search(text) for text in told):
            return outcome
        return outcome._replace(
            body=self.in_body.sub(HIDDEN.encode(), outcome.body),
            detail=self.in_text.sub(HIDDEN, outcome.detail),
            headers={name: self.in_text.sub(HIDDEN, value) for name, value in outcome.headers.items()},
        )


@dataclass(frozen=True, slots=True)
class Translated:
    """A backend whose host is asked in its own words."""

    backend: Wire | Discreet
    translate: Translate

    async def send(self, request: Request) -> Outcome:
        """Send one request."""
        return await self.backend.send(self.translate(request))


def written(key: str) -> str:
    """A pattern of all the ways JSON may write a key, inside of other JSON too: `/`, `\\/`, `\\u002f`, `\\\\/`."""
    return "".join(one if one.isalnum() else rf"(?:\\*{re.escape(one)}|\\+u00(?i:{ord(one):02x}))" for one in key)


@asynccontextmanager
async def online(endpoint: Endpoint, base_url: str, is_loop: Loop | None = None) -> AsyncGenerator[Backend]:
    """A backend that asks the server at `base_url` (an endpoint's own, or where its practice teacher listens).

    `is_loop` tells of a text whether it has begun to run in a loop, for an endpoint whose replies are streamed.

    Raises Fatal when the endpoint's key variable is not set or holds no key, when a certificate file cannot be read,
    and when the proxy that the environment names cannot be used.
    """
    key = endpoint.key()
    headers = {
        "User-Agent": f"synth/{version('synth')}",
        "Content-Type": "application/json",
        "Accept": "text/event-stream, application/json" if endpoint.stream else "application/json",
        "Accept-Encoding": "identity",
    }
    if key is not None and not (key.isascii() and key.isprintable()):
        raise Fatal(f"The environment variable {endpoint.key_variable} holds characters that no key can have.")
    headers |= endpoint.known.with_key(key)
    origin = origin_of(base_url)
    tls = await asyncio.to_thread(tls_context) if origin.scheme == "https" else None
    wire = Wire(origin, headers, endpoint.limits.deadline_s, tls, is_loop if endpoint.stream else None)
    try:
        backend = wire
        if key is not None:
            backend = Discreet(wire, re.compile(written(key).encode()), re.compile(written(key)))
        translate = translation(endpoint)
        yield backend if translate is None else Translated(backend, translate)
    finally:
        await wire.close()
