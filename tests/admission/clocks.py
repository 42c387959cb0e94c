"""Clocks that a test moves."""

from __future__ import annotations

import asyncio


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


class Sleepers:
    """A clock on which sleepers wake when it is moved."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleeping: list[tuple[float, asyncio.Future[None]]] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleeping.append((self.now + seconds, wake))
        await wake

    async def move(self, seconds: float) -> None:
        ends = self.now + seconds
        while due := [one for one in self._sleeping if one[0] <= ends]:
            first = min(due, key=lambda one: one[0])
            self._sleeping.remove(first)
            self.now = max(self.now, first[0])
            if not first[1].done():
                first[1].set_result(None)
            await settled()
        self.now = ends


async def settled() -> None:
    for _ in range(100):
        await asyncio.sleep(0)
