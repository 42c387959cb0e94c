"""vLLM as a server of this run's own: `vllm serve` on a port that only this machine reaches."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from synth.backends import Backend
from synth.types import Outcome, Request

KEEPER = Path(__file__).parent / "keeper.py"
HEALTH_S = 10.0
HOST = "127.0.0.1"


class Served:
    """Starts it under a keeper, which ends it when synth is gone, however synth went."""

    def __init__(self, vllm: Path, options: Sequence[str], port: int, wire: Backend) -> None:
        serve = [str(vllm), "serve", *options, "--host", HOST, "--port", str(port), "--disable-uvicorn-access-log"]
        self.command = [sys.executable, "-I", str(KEEPER), *serve]
        self.speaks = False
        self._port = port
        self._wire = wire

    async def is_ready(self) -> bool:
        """Whether it says that it is well: a model is loaded, and its engine lives."""
        try:
            async with asyncio.timeout(HEALTH_S):
                reader, writer = await asyncio.open_connection(HOST, self._port)
                writer.write(b"GET /health HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % HOST.encode())
                said = await reader.readline()
                writer.close()
        except (OSError, TimeoutError):
            return False
        return said.split()[1:2] == [b"200"]

    async def send(self, request: Request) -> Outcome:
        """Post it, as to any other server."""
        return await self._wire.send(request)

    def began(self, requests: asyncio.WriteTransport) -> None:
        """Nothing is asked over the pipe: its end is what tells the keeper that synth is gone."""

    def heard(self, data: bytes) -> None:
        """What it prints goes into its log."""

    def lost(self, detail: str) -> None:
        """Whoever waits for a reply sees its connection end."""


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        return taken.getsockname()[1]
