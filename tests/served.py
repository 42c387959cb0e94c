"""The practice teacher behind HTTP, for tests that start processes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager

from synth.backends.practice.faults import NO_FAULTS, Faults
from synth.backends.practice.server import practice_server


@contextmanager
def served(faults: Faults = NO_FAULTS) -> Generator[str]:
    """The base URL of one that makes these faults, on a loop of its own."""
    loop, ready, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    found: list[str] = []

    async def serve() -> None:
        async with practice_server(faults) as base_url:
            found.append(base_url)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(20)
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
