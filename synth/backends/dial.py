"""From a base URL to a connected socket: the environment's proxy and certificates, names looked up once, any family."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from aiohappyeyeballs import start_connection  # pyright: ignore[reportUnknownVariableType]

from synth.errors import Fatal
from synth.protocol.endpoint import is_metadata

NAMES_KEPT_S = 60.0
FAILED_NAMES_KEPT_S = 1.0
SECOND_FAMILY_AFTER_S = 0.25
LARGEST_PROXY_REPLY = 16 * 1024
QUIET_S = 60
PATH_CHARACTERS = "/%:@!$&'()*+,;=~-._"

Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]


class Unconnected(OSError):
    """No connection came about; its text is a sentence."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy."""

    host: str
    port: int
    authorization: str = field(repr=False)
    """The value of its Proxy-Authorization header, a secret; empty when it wants none."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a base URL points, and the way there."""

    scheme: str
    host: str
    """ASCII; an IPv6 address has no brackets."""
    port: int
    path: str
    """Percent-encoded, without a slash at its end."""
    proxy: Proxy | None

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"http": 80, "https": 443}[self.scheme]
        return host if self.port == usual else f"{host}:{self.port}"


def origin_of(base_url: str) -> Origin:
    """Take a base URL apart, and look its proxy up.

    Raises Fatal for a host that is no name, and for a proxy that is not an HTTP one.
    """
    parts = urlsplit(base_url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    named = proxy_for(base_url)
    path = quote(parts.path.rstrip("/"), safe=PATH_CHARACTERS)
    return Origin(parts.scheme, _ascii(parts.hostname or ""), port, path, None if named is None else _proxy(named))


def proxy_for(url: str) -> str | None:
    """The proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name for a URL; None for this machine itself.

    Asked once for a run: asked for each request, the environment costs more than the request.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if (
        host == "localhost"
        or host.startswith("127.")
        or host == "::1"
        or proxy_bypass(host)
        or proxy_bypass(parts.netloc)
    ):
        return None
    return getproxies().get(parts.scheme)


def _proxy(url: str) -> Proxy:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        port = parts.port or 80
    except ValueError:
        port = 0
    if parts.scheme != "http" or not parts.hostname or not port:
        # the URL itself may hold a password
        raise Fatal("HTTPS_PROXY or HTTP_PROXY is not an HTTP proxy; write one like http://proxy.example:3128.")
    authorization = ""
    if parts.username is not None:
        known = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {base64.b64encode(known.encode()).decode()}"
    return Proxy(_ascii(parts.hostname), port, authorization)


def _ascii(host: str) -> str:
    if ":" in host:
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise Fatal(f"{host!r} is not the name of a host ({error}); mend base_url.") from None


def tls_context() -> ssl.SSLContext:
    """Certificates are always verified: against the system's authorities, or those that the environment names.

    SSL_CERT_FILE and SSL_CERT_DIR replace the system's, as everywhere with OpenSSL; REQUESTS_CA_BUNDLE adds to them.
    Raises Fatal when one of them names what cannot be read. Reads files, so call it in a thread.
    """
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"):
        path = os.environ.get(variable)
        if not path:
            continue
        try:
            if Path(path).is_dir():
                next(Path(path).iterdir(), None)
                context.load_verify_locations(capath=path)
            else:
                context.load_verify_locations(cafile=path)
        except OSError as error:  # an SSLError is one too
            raise Fatal(f"{variable} names {path}, which holds no readable certificates ({_why(error)}).") from None
    return context


class Dialler:
    """Connects to one origin. A thousand connections at once look its name up once."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._host, self._port = origin.host, origin.port
        if origin.proxy is not None:
            self._host, self._port = origin.proxy.host, origin.proxy.port
        self._lock = asyncio.Lock()
        self._found: list[Address] | Unconnected = []
        self._found_until = float("-inf")
        self._turn = 0

    async def dial(self) -> socket.socket:
        """A connected socket; through a proxy to an https origin, one whose tunnel stands.

        Raises Unconnected or another OSError; nothing is left open then.
        """
        addresses = await self._addresses()
        self._turn += 1
        first = self._turn % len(addresses)  # the addresses of one name share the connections
        turned = addresses[first:] + addresses[:first]
        sock = await start_connection(turned, happy_eyeballs_delay=SECOND_FAMILY_AFTER_S)
        try:
            _tune(sock)
            if self._origin.proxy is not None and self._origin.scheme == "https":
                await _tunnel(sock, self._origin, self._origin.proxy)
        except BaseException:
            sock.close()
            raise
        return sock

    async def _addresses(self) -> list[Address]:
        loop = asyncio.get_running_loop()
        async with self._lock:
            if loop.time() >= self._found_until:
                self._found = await self._look_up(loop)
                kept_s = FAILED_NAMES_KEPT_S if isinstance(self._found, Unconnected) else NAMES_KEPT_S
                self._found_until = loop.time() + kept_s
        if isinstance(self._found, Unconnected):
            raise Unconnected(str(self._found))
        return self._found

    async def _look_up(self, loop: asyncio.AbstractEventLoop) -> list[Address] | Unconnected:
        try:
            found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except OSError as error:
            if error.errno == socket.EAI_MEMORY:
                raise MemoryError from error  # the fault of this machine: no server comes back by waiting for it
            return Unconnected(f"the host {self._host} cannot be found ({_why(error)})")
        allowed = [info for info in found if not is_metadata(str(info[4][0]))]
        if not allowed:
            return Unconnected(f"{self._host} is a link-local address, where clouds keep credentials; it is refused")
        return allowed


def _tune(sock: socket.socket) -> None:
    """Small requests go out at once; and gateways that forget silent connections hear something while we wait."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    idle = getattr(socket, "TCP_KEEPIDLE", None) or getattr(socket, "TCP_KEEPALIVE", None)  # Linux; macOS
    if idle is not None:
        sock.setsockopt(socket.IPPROTO_TCP, idle, QUIET_S)


async def _tunnel(sock: socket.socket, origin: Origin, proxy: Proxy) -> None:
    """Ask the proxy for a way to the origin (RFC 9110, section 9.3.6)."""
    loop = asyncio.get_running_loop()
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    lines = [f"CONNECT {host}:{origin.port} HTTP/1.1", f"Host: {host}:{origin.port}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    await loop.sock_sendall(sock, "\r\n".join([*lines, "", ""]).encode("ascii"))
    reply = b""
    while b"\r\n\r\n" not in reply:
        read = await loop.sock_recv(sock, 4096)
        if not read or len(reply) > LARGEST_PROXY_REPLY:
            raise refusal(proxy, origin, "it hung up" if not read else "its reply is too large")
        reply += read
    words = reply.split(b"\r\n", 1)[0].decode("latin-1").split(maxsplit=1)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].startswith("2"):
        raise refusal(proxy, origin, words[-1] if words else "no reply")


def refusal(proxy: Proxy, origin: Origin, said: str) -> Unconnected:
    """One sentence for a proxy that does not let us through."""
    where = f"{proxy.host}:{proxy.port}"
    return Unconnected(f"the proxy {where} refused the connection to {origin.host}:{origin.port} ({said[:100]})")


def _why(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
