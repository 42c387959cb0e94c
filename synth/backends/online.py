"""OpenAI-compatible HTTP: one POST, one outcome."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version

from synth.backends.dial import origin_of, tls_context
from synth.backends.wire import Wire
from synth.endpoint import Endpoint
from synth.errors import Fatal
from synth.types import Outcome, Request

PATH = "/chat/completions"
HIDDEN = "[key]"


@dataclass(frozen=True, slots=True)
class Discreet:
    """A backend whose outcomes never hold the key, which servers and proxies echo in what they refuse."""

    wire: Wire
    key: str = field(repr=False)

    async def send(self, request: Request) -> Outcome:
        """Send one request; a key in the reply is replaced before anything can keep it."""
        outcome = await self.wire.send(request)
        secret = self.key.encode()
        told = (outcome.detail, *outcome.headers.values())
        if secret not in outcome.body and not any(self.key in text for text in told):
            return outcome
        return outcome._replace(
            body=outcome.body.replace(secret, HIDDEN.encode()),
            detail=outcome.detail.replace(self.key, HIDDEN),
            headers={name: value.replace(self.key, HIDDEN) for name, value in outcome.headers.items()},
        )


@asynccontextmanager
async def online(endpoint: Endpoint, base_url: str) -> AsyncGenerator[Wire | Discreet]:
    """A backend that asks the server at `base_url` (an endpoint's own, or where its practice teacher listens).

    Raises Fatal when the endpoint's key variable is not set or holds no key, when a certificate file cannot be read,
    and when the proxy that the environment names cannot be used.
    """
    key = endpoint.key()
    headers = {
        "User-Agent": f"synth/{version('synth')}",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
    }
    if key is not None:
        if not (key.isascii() and key.isprintable()):
            raise Fatal(f"The environment variable {endpoint.key_variable} holds characters that no key can have.")
        headers["Authorization"] = f"Bearer {key}"
    origin = origin_of(base_url)
    tls = await asyncio.to_thread(tls_context) if origin.scheme == "https" else None
    wire = Wire(origin, PATH, headers, endpoint.limits.deadline_s, tls)
    try:
        yield wire if key is None else Discreet(wire, key)
    finally:
        await wire.close()
