"""HTTP/1.1 for one purpose: POST some bytes to one server, and tell exactly what came of it.

Kept connections, one header block serialised once, bodies passed as they are (RFC 9110 and 9112; parsed by llhttp). No
retry, no redirect, nothing read into the reply. A general client costs twice the CPU of this (the profile of
tests/bench/throughput.py has both).
"""

from __future__ import annotations

import asyncio
import select
import ssl
import time
import zlib
from collections.abc import Mapping
from math import inf
from typing import cast

import httptools

from synth.backends.dial import Dialler, Origin, refusal
from synth.protocol.streams import STREAMED, Loop, Watch, streamed
from synth.types import CLASSIFY, POOLING, Outcome, Request

LARGEST_REPLY = 64 * 1024 * 1024
LARGEST_HEAD = 64 * 1024
"""Of a reply, its interim (1xx) replies included; give or take one read from the socket."""
LARGEST_EVIDENCE = 64 * 1024
CONNECT_S = 10.0
LONGEST_IDLE_S = 4.0
"""Then a connection is not used again: uvicorn, under vLLM and others, closes at 5 s, and a request could meet that."""
UNWATCHED_S = 0.1
OVERSLEPT_S = 1.0
"""A deadline noticed so late shows that this process was stopped (SIGSTOP, a closed laptop) and not the server."""
GRACE_S = 5.0
KEPT_HEADERS = frozenset(b"retry-after retry-after-ms date location x-request-id content-type content-encoding".split())
KEPT_PREFIXES = (b"x-ratelimit-", b"anthropic-ratelimit-", b"x-practice-")


class Connection(asyncio.Protocol):
    """One connection: asked once, it gathers the reply; whole and clean, it can be asked again."""

    def __init__(self, standing: set[Connection], *, tls: bool) -> None:
        self.transport = cast("asyncio.Transport", None)
        self.due = inf
        """When the reply has to be there, on the loop's clock; never, while nobody asks."""
        self.excused = False
        """Whether this process did not run at that moment, so that it was given some time more."""
        self.idle_since = 0.0
        self.reusable = False
        self._standing = standing
        self._tls = tls
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False

    def ask(self, head: bytes, body: bytes, watch: Watch | None, due: float) -> asyncio.Future[None]:
        """Hand a request to the socket. The future ends with the reply, or with what came in its place."""
        self._watch = watch
        self.due = due
        self.excused = False
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.pieces: list[bytes] = []
        self.error = self.detail = ""
        self._size = self._received = 0
        self.reusable = self._head_done = self.written = False
        self._waiter = waiter = asyncio.get_running_loop().create_future()
        if self.transport.is_closing():
            self._fail("reset", "the connection was closed before the request")
        else:
            self.transport.write(b"%b%d\r\n\r\n%b" % (head, len(body), body))  # one TLS record, one call
            self.written = not (self._paused or self.transport.is_closing())
        return waiter

    def expire(self, until: float) -> None:
        """The deadline has come; with `until` what lies there is read first, as this process did not run before."""
        if until and not self.excused:
            self.due, self.excused = until, True
        else:
            self._fail("timeout", "no complete reply within the deadline")

    def has_news(self) -> bool:
        """Whether the server closed, or said something; seen even where the loop has not told it yet."""
        if self.transport.is_closing():
            return True
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self.transport = cast("asyncio.Transport", transport)
        if not self._tls:
            # so that it is known when the last byte has gone; what TLS holds back cannot be seen
            self.transport.set_write_buffer_limits(high=0)

    def pause_writing(self) -> None:
        """Called by the loop: not all has been taken by the socket."""
        self._paused = True

    def resume_writing(self) -> None:
        """Called by the loop: all has been taken by the socket."""
        self._paused = False
        self.written = True

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if self._waiter is None:  # nobody asked
            self.transport.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("reset", "the server went over to another protocol")
        except httptools.HttpParserError as error:
            self._fail("reset", f"the reply is not HTTP/1.1: {error}")
        self._received += len(data)
        if self._received > LARGEST_HEAD and not self._head_done:
            self._fail("too_large", f"the reply's header is larger than {LARGEST_HEAD // 1024} KB")
        elif self._received > 2 * LARGEST_REPLY:
            self._fail("too_large", "the reply is mostly chunk sizes and trailers")

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._standing.discard(self)
        self.reusable = False
        del self._parser  # which holds our methods: a cycle
        if self._waiter is None:
            return
        unbounded = self._head_done and not {b"content-length", b"transfer-encoding"} & self.headers.keys()
        if unbounded and exc is None:
            self._end()  # a reply without a length ends with its connection
            return
        where = "in the middle of its reply" if self._head_done else "before it answered"
        self._end("reset", f"the server closed the connection {where}" + (f" ({exc})" if exc else ""))

    def on_message_begin(self) -> None:
        """Called by the parser."""
        if self._head_done:
            self._fail("reset", "a second reply to one request")
        else:
            self.headers = {}  # those before belonged to an interim reply

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        if not self._head_done:  # and not for trailers
            self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        status = self._parser.get_status_code()
        if status >= 200 and not self._head_done:
            self.status, self._head_done = status, True
            if int(self.headers.get(b"content-length", b"0")) > LARGEST_REPLY:
                self._too_large()

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        if self._waiter is None:  # cut off already
            return
        self._size += len(body)
        if self._size > LARGEST_REPLY:
            self._too_large()
        else:
            self.pieces.append(body)
            if self._watch is not None and (last := self._watch.ends(body)):
                self.pieces.append(last)
                self._end()
                self.transport.abort()  # so that the server stops writing what is paid for

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self._head_done and self._waiter is not None:
            self.reusable = self._parser.should_keep_alive() and not self._paused
            self._end()

    def _too_large(self) -> None:
        self._fail("too_large", f"the reply is larger than {LARGEST_REPLY // 2**20} MB")

    def _fail(self, error: str, detail: str) -> None:
        self._end(error, detail)
        self.reusable = False
        self.transport.abort()

    def _end(self, error: str = "", detail: str = "") -> None:
        waiter, self._waiter, self.due = self._waiter, None, inf
        if waiter is not None:
            self.error, self.detail = error, detail
            if not waiter.done():
                waiter.set_result(None)


class Wire:
    """A backend: posts to one server over connections that are kept for the next request, the last used first."""

    def __init__(
        self,
        origin: Origin,
        headers: Mapping[str, str],
        deadline_s: float,
        tls: ssl.SSLContext | None,
        is_loop: Loop | None = None,
    ) -> None:
        """`headers` go out with every request; `tls` is given exactly for an https origin.

        With `is_loop` replies of chats are streamed, and ended when it finds that their text runs in a loop.
        """
        self._is_loop = is_loop
        self.standing: set[Connection] = set()
        """Every open connection, busy or idle."""
        self._origin = origin
        self._tls = tls
        self._deadline_s = deadline_s
        self._dialler = Dialler(origin)
        self._idle: list[Connection] = []
        self._headers = headers
        self._heads: dict[str, bytes] = {}
        """The header block by path."""
        self._timer = cast("asyncio.TimerHandle | None", None)
        """One for all requests: one for each would take as long as reading its reply."""
        self._first_due = inf
        """When it rings; no request is due before."""

    async def send(self, request: Request) -> Outcome:
        """Send one request; the deadline counts from now to the last byte."""
        began = time.monotonic()
        connection = self._kept(began)
        while connection is not None:
            await self._exchange(connection, request, began)
            if connection.written or connection.error != "reset":
                return await self._outcome(connection, began)
            connection = self._kept(began)  # the server had closed it while it was kept: nothing has been asked yet
        try:
            connection = await self._connected(began)
        except _Failed as failed:
            return Outcome(0, b"", {}, failed.error, failed.detail, False, time.monotonic() - began)
        await self._exchange(connection, request, began)
        return await self._outcome(connection, began)

    async def close(self) -> None:
        """Close every connection; what still waits for a reply gets `reset`."""
        self._idle.clear()
        self._ring(inf)
        while self.standing:
            for connection in self.standing:
                connection.transport.abort()
            await asyncio.sleep(0)

    def _kept(self, now: float) -> Connection | None:
        """The last used of the kept connections that the server has not closed."""
        while self._idle:
            connection = self._idle.pop()
            idle_s = now - connection.idle_since
            if idle_s <= UNWATCHED_S or (idle_s <= LONGEST_IDLE_S and not connection.has_news()):
                return connection
            connection.transport.abort()
        return None

    async def _connected(self, began: float) -> Connection:
        loop = asyncio.get_running_loop()
        left_s = began + self._deadline_s - time.monotonic()
        tls, name = self._tls, self._origin.host
        try:
            async with asyncio.timeout(min(CONNECT_S, left_s)):
                sock = await self._dialler.dial()
                _, connection = await loop.create_connection(
                    lambda: Connection(self.standing, tls=tls is not None),
                    sock=sock,
                    ssl=tls,
                    server_hostname=None if tls is None else name,
                )
        except TimeoutError:
            if left_s <= CONNECT_S:
                raise _Failed("timeout", "no connection within the deadline") from None
            raise _Failed("connect", f"no connection within {CONNECT_S:g} s") from None
        except ssl.SSLCertVerificationError as error:
            raise _Failed("tls", f"the certificate of {name} is not to be trusted: {error.verify_message}") from None
        except ssl.SSLError as error:
            raise _Failed("tls", f"no TLS with {name}: {error.reason or error}") from None
        except OSError as error:
            raise _Failed("connect", str(error) or type(error).__name__) from None
        if not connection.transport.is_closing():
            self.standing.add(connection)  # not before: a cancelled connect of uvloop says made and never lost
        return connection

    async def _exchange(self, connection: Connection, request: Request, began: float) -> None:
        head = self._heads.get(request.path)
        if head is None:
            head = self._heads[request.path] = _head(self._origin, request.path, self._headers)
        body, watch = request.body, None
        if self._is_loop is not None and request.path in STREAMED:
            body, watch = streamed(body, request.path), Watch(request, self._is_loop)
        due = asyncio.get_running_loop().time() + began + self._deadline_s - time.monotonic()
        if due < self._first_due:
            self._ring(due)
        try:
            await connection.ask(head, body, watch, due)
        except asyncio.CancelledError:
            connection.transport.abort()
            raise

    def _ring(self, due: float) -> None:
        """Have the timer ring at that moment, and not before."""
        if self._timer is not None:
            self._timer.cancel()
        self._first_due = due
        self._timer = None if due == inf else asyncio.get_running_loop().call_at(due, self._expire)

    def _expire(self) -> None:
        """End the requests whose time is up, and wait for the next."""
        now = asyncio.get_running_loop().time()
        until = now + GRACE_S if now - self._first_due > OVERSLEPT_S else 0.0
        for connection in [one for one in self.standing if one.due <= now]:
            connection.expire(until)
        self._ring(min((one.due for one in self.standing), default=inf))

    async def _outcome(self, connection: Connection, began: float) -> Outcome:
        body, error, detail = b"".join(connection.pieces), connection.error, connection.detail
        status, headers, written = connection.status, connection.headers, connection.written
        if connection.reusable:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        else:
            connection.transport.abort()
        if error == "too_large":
            body = body[:LARGEST_EVIDENCE]
        elif not error and b"content-encoding" in headers:
            try:
                body = await asyncio.to_thread(_unpacked, body, headers[b"content-encoding"])
                del headers[b"content-encoding"]
            except _Failed as failed:
                error, detail, body = failed.error, failed.detail, body[:LARGEST_EVIDENCE]
            except zlib.error:
                pass  # the bytes stay as they came, which no reader takes for an answer
        proxy = self._origin.proxy
        if status == 407 and proxy is not None:
            error, detail, written = "connect", str(refusal(proxy, self._origin, "it wants a password")), False
        return Outcome(status, body, _kept_headers(headers), error, detail, written, time.monotonic() - began)


class _Failed(Exception):
    """A send that failed on the way; carries the outcome's `error` and `detail`."""

    def __init__(self, error: str, detail: str) -> None:
        self.error = error
        self.detail = detail
        super().__init__(detail)


def _head(origin: Origin, path: str, headers: Mapping[str, str]) -> bytes:
    """All of a request's header but the number that ends it: the length of the body."""
    beside = path in (POOLING, CLASSIFY)  # vLLM serves these at the root
    target = f"{origin.path.removesuffix('/v1') if beside else origin.path}{path.partition('#')[0]}"
    lines = [f"Host: {origin.authority}", *(f"{name}: {value}" for name, value in headers.items())]
    if origin.proxy is not None and origin.scheme == "http":
        target = f"http://{origin.authority}{target}"
        if origin.proxy.authorization:
            lines.append(f"Proxy-Authorization: {origin.proxy.authorization}")
    return "\r\n".join([f"POST {target} HTTP/1.1", *lines, "Content-Length: "]).encode("ascii")


def _kept_headers(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    return {
        name.decode("ascii"): value.decode("latin-1")
        for name, value in headers.items()
        if name in KEPT_HEADERS or name.startswith(KEPT_PREFIXES)
    }


def _unpacked(body: bytes, encoding: bytes) -> bytes:
    """What a server compressed though it was asked not to. Runs in a thread.

    Raises zlib.error for what is not whole gzip or deflate, _Failed for what would be too large.
    """
    if encoding.lower() not in (b"gzip", b"x-gzip", b"deflate"):
        raise zlib.error(encoding)
    reader = zlib.decompressobj(wbits=47)  # gzip and zlib, told apart by their first bytes
    unpacked = reader.decompress(body, LARGEST_REPLY + 1)
    if len(unpacked) > LARGEST_REPLY:
        raise _Failed("too_large", f"the unpacked reply is larger than {LARGEST_REPLY // 2**20} MB")
    if not reader.eof:
        raise zlib.error("cut")
    return unpacked
