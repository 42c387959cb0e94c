"""Which protocol an endpoint's batches are ordered in, as its profile says."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from synth.backends.batch import Orders
from synth.backends.batch.anthropic import AnthropicOrders
from synth.backends.batch.control import control
from synth.backends.batch.google import GoogleOrders
from synth.backends.batch.openai import OpenAIOrders
from synth.protocol.endpoint import Endpoint

GOOGLE_KEY = "x-goog-api-key"


@asynccontextmanager
async def orders(endpoint: Endpoint, base_url: str) -> AsyncGenerator[Orders]:
    """The batches of an endpoint whose host has some. `base_url` is its own, or where its practice teacher listens.

    Raises Fatal when the endpoint's key variable is not set.
    """
    known = endpoint.known
    assert known.batch is not None
    async with control(endpoint, base_url, known) as host:
        if known.batch.protocol == "anthropic":
            yield AnthropicOrders(host)
        elif known.batch.protocol == "google":
            parts, own = urlsplit(base_url), known.model_copy(update={"key_header": GOOGLE_KEY})
            async with control(endpoint, f"{parts.scheme}://{parts.netloc}", own) as native:
                yield GoogleOrders(OpenAIOrders(host), native)
        else:
            yield OpenAIOrders(host)
