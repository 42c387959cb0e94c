"""Requests about batches: few, slow, and none of them on the way of a row; so a general HTTP client makes them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, cast
from urllib.parse import urlsplit

import aiohttp
import orjson

from synth.admission.rate_headers import retry_after_s
from synth.backends.batch import Unanswered
from synth.backends.dial import tls_context
from synth.backends.online import HIDDEN, written
from synth.errors import Fatal
from synth.profiles import Profile
from synth.protocol.endpoint import Endpoint
from synth.types import Outcome

QUIET_S = 120.0
"""The longest that a connection may bring nothing."""
CONNECT_S = 10.0
LARGEST_LINE = 64 * 1024 * 1024
SAID_BYTES = 2000


@dataclass(frozen=True, slots=True)
class Control:
    """The host of a teacher, asked with its key, which is in nothing that comes back."""

    session: aiohttp.ClientSession
    base_url: str
    key: re.Pattern[bytes] | None = field(repr=False)

    async def ask(self, method: str, path: str, **how: Any) -> dict[str, Any]:
        """The JSON object that comes back. `path` is below the base URL, or a whole URL of the same host.

        Raises Unanswered.
        """
        body, _ = await self.ask_raw(method, path, **how)
        try:
            document: Any = orjson.loads(body)
        except orjson.JSONDecodeError:
            document = None
        if not isinstance(document, dict):
            raise Unanswered(0, f"a JSON object was expected, {body[:200]!r} came")
        return cast("dict[str, Any]", document)

    async def ask_raw(self, method: str, path: str, **how: Any) -> tuple[bytes, Mapping[str, str]]:
        """The body and the header of what comes back. Raises Unanswered for all but success."""
        try:
            async with self.session.request(method, self._url(path), allow_redirects=False, **how) as response:
                body = self.hide(await response.read())
                _check(response, body)
                return body, response.headers
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unanswered(0, self._why(error)) from None

    async def pages(
        self, path: str, named: str, asked: dict[str, Any], following: Callable[[dict[str, Any]], dict[str, Any] | None]
    ) -> AsyncIterator[dict[str, Any]]:
        """The entries of a list that comes page by page under a name; `following` says how to ask for the page after
        one, None when it is the last. Who brings the same page whatever is asked has that one alone.

        Raises Unanswered, and Fatal for a list that leads back to a page before: it would be read for ever.
        """
        more: dict[str, Any] | None = {}
        read: list[dict[str, Any]] = []
        while more is not None and [more] != read[-1:]:
            if more in read:
                host = urlsplit(self.base_url).netloc
                raise Fatal(
                    f"The list of batches at {host} leads in a circle, so what is in it cannot be known; run again "
                    "later, to look for the batch that was ordered there.",
                    f"{host} のバッチの一覧は同じページに戻ってしまい、最後まで読めません。"
                    "あとでもう一度実行すると、注文済みのバッチを探し直します。",
                )
            read.append(more)
            page = await self.ask("GET", path, params={**asked, **more})
            for entry in cast("list[dict[str, Any]]", page.get(named) or []):
                yield entry
            more = following(page)

    async def end(self, path: str) -> None:
        """Ask for the end of a batch; nothing happens to one that has ended. Raises Unanswered."""
        try:
            await self.ask("POST", path)
        except Unanswered as error:
            if error.status not in (400, 409):  # it has ended
                raise

    async def lines(self, path: str) -> AsyncIterator[bytes]:
        """What comes back, line by line, as it comes. Raises Unanswered."""
        try:
            async with self.session.get(self._url(path), allow_redirects=False) as response:
                if response.status != 200:
                    _check(response, self.hide(await response.read()))
                left = b""
                async for chunk in response.content.iter_any():
                    *whole, left = (left + chunk).split(b"\n")
                    for line in whole:
                        yield self.hide(line)
                    if len(left) > LARGEST_LINE:
                        raise Unanswered(0, "a line of what a batch brought is larger than 64 MB")
                if left.strip():
                    yield self.hide(left)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unanswered(0, self._why(error)) from None

    def hide(self, body: bytes) -> bytes:
        """The same without the key, which hosts and proxies echo in what they refuse."""
        return body if self.key is None else self.key.sub(HIDDEN.encode(), body)

    def _why(self, error: Exception) -> str:
        return self.hide(f"{type(error).__name__}: {error}".encode()).decode("utf-8", "replace")

    def _url(self, path: str) -> str:
        if path.startswith("/"):
            return f"{self.base_url}{path}"
        if urlsplit(path).netloc != urlsplit(self.base_url).netloc:  # the key is for this host alone
            raise Unanswered(0, f"the host points to another one, {urlsplit(path).netloc}, which is not asked")
        return path


def _check(response: aiohttp.ClientResponse, body: bytes) -> None:
    if 200 <= response.status < 300:
        return
    told = {name.lower(): value for name, value in response.headers.items()}
    said = body[:SAID_BYTES].decode("utf-8", "replace")
    raise Unanswered(response.status, said, retry_after_s(Outcome(response.status, body, told)))


@asynccontextmanager
async def control(endpoint: Endpoint, base_url: str, profile: Profile) -> AsyncGenerator[Control]:
    """The host of an endpoint, at a base URL, with its key as a profile says. Raises Fatal without a key."""
    key = endpoint.key()
    headers = {"User-Agent": f"synth/{version('synth')}", "Accept": "application/json", "Accept-Encoding": "identity"}
    headers |= profile.with_key(key)
    connector = None
    if base_url.startswith("https:"):
        connector = aiohttp.TCPConnector(ssl=await asyncio.to_thread(tls_context))
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=QUIET_S)
    async with aiohttp.ClientSession(headers=headers, connector=connector, timeout=timeout, trust_env=True) as session:
        yield Control(session, base_url, None if key is None else re.compile(written(key).encode()))
