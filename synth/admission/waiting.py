"""A line of those who wait until there is room."""

from __future__ import annotations

import asyncio
import heapq


class Line:
    """Those who wait for a turn, or for a place: by priority, then by their order.

    Who was called and has not come yet still counts, so that nobody takes a turn after another before their eyes.
    """

    def __init__(self) -> None:
        self.waiting = 0
        self.called = 0
        """How many of them were called and have not come yet."""
        self.gate: asyncio.Timeout | None = None
        """What ends the sleep of the one that waits for time to pass, with the others in line behind it."""
        self._futures: list[tuple[int, int, asyncio.Future[None]]] = []

    async def wait(self, priority: int, order: int) -> None:
        """Wait until called; who looks in vain and comes back keeps the place that `order` gave."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._futures, (priority, order, future))
        self.waiting += 1
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.wake()
            raise
        finally:
            self.waiting -= 1
            self.called -= not future.cancelled()

    def wake(self) -> None:
        """Let the first look again; whoever gets through wakes the next while there is room."""
        while self._futures:
            future = heapq.heappop(self._futures)[2]
            if not future.done():
                future.set_result(None)
                self.called += 1
                return
