"""OpenAI-compatible HTTP: one POST, one outcome."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version

from synth.backends.dial import origin_of, tls_context
from synth.backends.wire import Wire
from synth.endpoint import Endpoint
from synth.errors import Fatal

PATH = "/chat/completions"


@asynccontextmanager
async def online(endpoint: Endpoint, base_url: str) -> AsyncGenerator[Wire]:
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
        yield wire
    finally:
        await wire.close()
