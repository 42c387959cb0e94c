"""vLLM without a server: a process of its own that answers over a pipe what its server would answer over HTTP.

What travels is a line of JSON that tells how many bytes follow it, and these bytes: the body of a request, or of a
reply. Any number of requests are under way at once, so that vLLM batches them as they come.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import orjson

from synth.backends.own_vllm.command import python_of
from synth.types import Outcome, Request

CHILD = Path(__file__).parent / "child.py"


class Piped:
    """Asks it, and tells its replies apart by the numbers of the requests."""

    def __init__(self, vllm: Path, options: Sequence[str]) -> None:
        self.command = [str(python_of(vllm)), str(CHILD), *options]
        self.speaks = True
        self._pipe = cast("asyncio.WriteTransport", None)
        self._is_ready = False
        self._heard = bytearray()
        self._waiting: dict[int, asyncio.Future[Outcome]] = {}
        self._sent = 0

    async def is_ready(self) -> bool:
        """Whether it has said so."""
        return self._is_ready

    def began(self, requests: asyncio.WriteTransport) -> None:
        """Ask a new process from now on."""
        self._pipe = requests
        self._heard.clear()
        self._is_ready = False

    async def send(self, request: Request) -> Outcome:
        """Write one request and wait for its reply."""
        began = time.monotonic()
        self._sent += 1
        number, waiter = self._sent, asyncio.get_running_loop().create_future()
        self._waiting[number] = waiter
        self._write({"number": number, "path": request.path.partition("#")[0]}, request.body)
        try:
            outcome = await waiter
        except asyncio.CancelledError:
            self._write({"cancel": number}, b"")
            raise
        finally:
            del self._waiting[number]
        return outcome._replace(seconds=time.monotonic() - began)

    def heard(self, data: bytes) -> None:
        """Hand out the replies that are whole."""
        self._heard += data
        while (end := self._heard.find(b"\n")) >= 0:
            head = orjson.loads(self._heard[:end])
            whole = end + 1 + head["length"]
            if len(self._heard) < whole:
                return
            body = bytes(self._heard[end + 1 : whole])
            del self._heard[:whole]
            self._is_ready = self._is_ready or "ready" in head
            waiter = self._waiting.get(head.get("number", 0))
            if waiter is not None and not waiter.done():
                waiter.set_result(Outcome(head["status"], body))

    def lost(self, detail: str) -> None:
        """Nobody answers any more."""
        for waiter in self._waiting.values():
            if not waiter.done():
                waiter.set_result(Outcome(0, error="reset", detail=detail))

    def _write(self, head: dict[str, int | str], body: bytes) -> None:
        if not self._pipe.is_closing():
            self._pipe.write(b"%b\n%b" % (orjson.dumps({**head, "length": len(body)}), body))
