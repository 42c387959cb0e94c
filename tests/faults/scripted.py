"""A raw-socket server that follows a script for each connection, and counts every POST it reads.

A script is any iterable of steps, so that `itertools.cycle` makes one without an end:

    READ            read one whole request and record it in `posts`
    bytes           send them
    a number        wait so many seconds
    RESET           cut the connection (RST)
    WAIT            until the client hangs up
    a function      call it with the socket

After its last step the connection is closed (FIN). It runs in threads of its own, on no event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pytest
import uvloop

from synth.backends.online import online
from synth.protocol.endpoint import Endpoint, Limits
from synth.types import Outcome, Request

both_loops = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
READ, RESET, WAIT = "read", "reset", "wait"
LONGEST_S = 30.0

Step = str | bytes | float | Callable[[socket.socket], None]
Script = Iterable[Step] | Callable[[], Iterable[Step]]


@dataclass(frozen=True)
class Post:
    head: bytes
    body: bytes


class Scripted:
    """Connection n follows script n, and the last script when there are fewer."""

    def __init__(
        self, *scripts: Script, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.posts: list[Post] = []
        self.received = 0
        """Bytes that came in, of whole requests or of others; with TLS those inside it."""
        self.connections = 0
        self._scripts = scripts
        self._tls = tls
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._over = threading.Event()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening = socket.create_server((host, port), family=family, backlog=1024)
        self.port = self._listening.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{shown}:{self.port}/v1"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        with self._lock:
            for each in self._open:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(LONGEST_S)

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listening.accept()
            except OSError:
                return
            script = self._scripts[min(self.connections, len(self._scripts) - 1)]
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(accepted, script), daemon=True)
            self._threads = [each for each in self._threads if each.is_alive()] + [thread]
            thread.start()

    def _serve(self, accepted: socket.socket, script: Script) -> None:
        accepted.settimeout(LONGEST_S)
        with self._lock:
            self._open.add(accepted)
        connection = accepted
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(accepted, server_side=True)
            self._follow(connection, script() if callable(script) else script)
        except OSError:
            pass  # the client hung up, or would not shake hands
        finally:
            with self._lock:
                self._open.discard(accepted)
            connection.close()
            accepted.close()

    def _follow(self, connection: socket.socket, steps: Iterable[Step]) -> None:
        for step in steps:
            if self._over.is_set():
                return
            if step == READ:
                if not self._read(connection):
                    return
            elif step == RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            elif step == WAIT:
                while connection.recv(65536):
                    pass
            elif isinstance(step, bytes):
                connection.sendall(step)
            elif callable(step):
                step(connection)
            else:
                self._over.wait(float(step))

    def _read(self, connection: socket.socket) -> bool:
        """Read one request; False when the client hung up before it was whole, or asked for no completion."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = self._some(connection)
            if not more:
                return False
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        if head.startswith(b"GET "):  # it tells nothing of its load
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return False
        length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        while len(body) < length:
            more = self._some(connection)
            if not more:
                return False
            body += more
        self.posts.append(Post(head, body))
        return True

    def _some(self, connection: socket.socket) -> bytes:
        data = connection.recv(65536)
        self.received += len(data)
        return data


def reply(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A whole reply."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; an empty one ends it."""
    return b"%x\r\n%s\r\n" % (len(data), data)


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWER = b'{"choices": [{"message": {"content": "\xe6\x9d\xb1\xe4\xba\xac"}, "finish_reason": "stop"}]}'


def request(body: bytes = '{"q": "日本語"}'.encode()) -> Request:
    return Request(b"k" * 32, "main", "m", body, 0, 10, 10)


async def sends(url: str, times: int = 1, *, body: bytes | None = None, deadline_s: float = 20.0) -> list[Outcome]:
    """Send the same request so many times, one after the other, over one backend."""
    asked = request() if body is None else request(body)
    async with online(Endpoint(model="m", base_url=url, limits=Limits(deadline_s=deadline_s)), url) as backend:
        return [await backend.send(asked) for _ in range(times)]
