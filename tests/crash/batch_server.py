"""A practice server of its own process, with batches that expire and come in disorder, and with its own books.

    python tests/crash/batch_server.py

Prints its port. `POST /new` with faults as JSON starts a fresh practice server, without anything in it, and gives its
port. `GET /book` gives what that one answered in full, by the SHA-256 of the body, and the names of the batches it took.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter

import orjson
from aiohttp import web

from synth.backends.practice import server
from synth.backends.practice.faults import NO_FAULTS


class Books:
    """The practice server that stands now, and what it was paid for."""

    def __init__(self) -> None:
        self.paid: Counter[str] = Counter()
        self._runner: web.AppRunner | None = None
        self._teacher: server.PracticeTeacher | None = None
        say = server.say

        def noted(body, faults):
            self.paid[hashlib.sha256(orjson.dumps(body)).hexdigest()] += 1
            return say(body, faults)

        server.say = noted

    async def new(self, request: web.Request) -> web.Response:
        if self._runner is not None:
            await self._runner.cleanup()
        self.paid.clear()
        faults = NO_FAULTS.model_copy(update=await request.json())
        self._teacher = server.PracticeTeacher(faults, None)
        self._runner = web.AppRunner(self._teacher.application(), access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return web.json_response(self._runner.addresses[0][1])

    async def book(self, _request: web.Request) -> web.Response:
        names = [batch["metadata"]["synth"] for batch in self._teacher.batches.batches.values()]
        return web.json_response({"paid": self.paid, "batches": names})


async def main() -> None:
    books = Books()
    application = web.Application()
    application.add_routes([web.post("/new", books.new), web.get("/book", books.book)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
