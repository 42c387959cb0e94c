"""OpenAI-compatible HTTP over aiohttp: one POST, one outcome. No retry, no redirect, nothing parsed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from synth.endpoint import Endpoint
from synth.types import Outcome, Request

LARGEST_REPLY = 64 * 1024 * 1024
CONNECT_S = 10.0
KEPT_HEADERS = ("retry-after", "retry-after-ms", "date", "location", "x-request-id", "content-type")
KEPT_PREFIXES = ("x-ratelimit-", "anthropic-ratelimit-", "x-practice-")


class _Body(aiohttp.BytesPayload):
    """The bytes of a request, which know when they have been handed to the socket."""

    written = False

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write them; called by aiohttp once the connection stands."""
        self.written = True
        await super().write_with_length(writer, content_length)


@dataclass(frozen=True, slots=True)
class Online:
    """Posts to `<base_url>/chat/completions`."""

    session: aiohttp.ClientSession
    url: str
    headers: dict[str, str]
    deadline_s: float

    async def send(self, request: Request) -> Outcome:
        """Send one request; the deadline counts from now to the last byte."""
        began = time.monotonic()
        sent = _Body(request.body)
        status, headers, body, error, detail = 0, {}, b"", "", ""
        try:
            async with (
                asyncio.timeout(self.deadline_s),
                self.session.post(
                    self.url,
                    data=sent,
                    headers=self.headers,
                    allow_redirects=False,
                ) as response,
            ):
                status, headers = response.status, _kept(response)
                body = await _body(response)
        except TimeoutError:
            error, detail = "timeout", f"no complete reply within {self.deadline_s:g} s"
        except _TooLargeError:
            error, detail = "too_large", f"the reply is larger than {LARGEST_REPLY // 2**20} MB"
        except aiohttp.ClientSSLError as failure:
            error, detail = "tls", str(failure)
        except aiohttp.ClientConnectorError as failure:
            error, detail = "connect", str(failure)
        except (aiohttp.ClientError, OSError) as failure:
            error, detail = "reset", str(failure) or type(failure).__name__
        return Outcome(status, body, headers, error, detail, sent.written, time.monotonic() - began)


@asynccontextmanager
async def online(endpoint: Endpoint, base_url: str) -> AsyncGenerator[Online]:
    """A backend that asks the server at `base_url` (an endpoint's own, or where its practice teacher listens).

    Raises Fatal when the endpoint's key variable is not set.
    """
    key = endpoint.key()
    headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        proxy=proxy_for(base_url),
    ) as session:
        yield Online(session, f"{base_url}/chat/completions", headers, endpoint.limits.deadline_s)


def proxy_for(url: str) -> str | None:
    """The proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name for a URL; None for this machine itself.

    Asked once for a run: asked for each request, the environment and `.netrc` cost more than the request.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host == "localhost" or host.startswith("127.") or host == "::1" or proxy_bypass(host):
        return None
    return getproxies().get(parts.scheme)


class _TooLargeError(Exception):
    pass


async def _body(response: aiohttp.ClientResponse) -> bytes:
    if 0 <= (response.content_length or -1) <= LARGEST_REPLY:
        return await response.read()
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > LARGEST_REPLY:
            raise _TooLargeError
        chunks.append(chunk)
    return b"".join(chunks)


def _kept(response: aiohttp.ClientResponse) -> dict[str, str]:
    lowered = ((name.lower(), value) for name, value in response.headers.items())
    return {name: value for name, value in lowered if name in KEPT_HEADERS or name.startswith(KEPT_PREFIXES)}
