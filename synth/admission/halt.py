"""Whether the run still sends. One switch for a spent budget, a refused key, Ctrl-C and enough rows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from synth.errors import Fatal


class Halt:
    """Thrown at most once: the first reason counts. What is in flight ends; what waits wakes up and sees why."""

    def __init__(self) -> None:
        self.error: Fatal | None = None
        self._thrown = asyncio.Event()
        self._told: list[Callable[[Fatal], None]] = []

    def tell(self, call: Callable[[Fatal], None]) -> None:
        """Call this with the reason when the switch is thrown."""
        self._told.append(call)

    def throw(self, error: Fatal) -> None:
        """Stop sending, for this reason."""
        if self.error is None:
            self.error = error
            self._thrown.set()
            for call in self._told:
                call(error)

    def check(self) -> None:
        """Raise the reason when the run no longer sends."""
        if self.error is not None:
            raise self.error.with_traceback(None)

    async def sleep(self, seconds: float) -> None:
        """Sleep, unless the run stops sending meanwhile: then raise the reason at once."""
        try:
            async with asyncio.timeout(seconds):
                await self._thrown.wait()
        except TimeoutError:
            return
        self.check()
