"""Admission: how many requests may be on their way to one endpoint, and how fast they may start."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from synth.endpoint import Limits

CUT = 0.85
START = 16
GROWTH = 1.03
BURST_S = 5.0
LONGEST_GATE_S = 3600.0


class Bucket:
    """A token bucket that refills continuously; its debt is what the next one waits for.

    Holding at most five seconds' worth keeps bursts inside the short windows some hosts judge by.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._rate = 0.95 * per_minute / 60
        self._room = self._rate * BURST_S
        self._level = self._room
        self._clock = clock
        self._then = clock()

    def wait_s(self, amount: float) -> float:
        """Seconds until `amount` may be taken."""
        now = self._clock()
        self._level = min(self._room, self._level + (now - self._then) * self._rate)
        self._then = now
        # an amount larger than the bucket may go when the bucket is full; it leaves a debt
        return max(0.0, (min(amount, self._room) - self._level) / self._rate)

    def take(self, amount: float) -> None:
        """Debit `amount`; the level may become negative."""
        self._level -= amount


class Admission:
    """Adaptive concurrency for one endpoint: additive increase, multiplicative decrease on rate signals only.

    It starts at 16 in flight, doubles each clean round until the first rate signal, then grows by 3 % a round, and is
    cut by 15 % at most once per episode: only a request sent after the last cut can cut again. A `turn` comes before
    the durable journal entry, a `slot` after it, so that the wire never waits for the disk: turns exceed slots by an
    eighth.
    Waiting for either is in order of priority, later stages first.
    """

    def __init__(
        self,
        limits: Limits,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: random.Random | None = None,
    ) -> None:
        self.max_in_flight = limits.max_in_flight
        self.limit = float(min(START, self.max_in_flight))
        self.in_flight = 0
        self._turns = 0
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter or random.Random(0)  # noqa: S311 (spreads retries, guards nothing)
        self._not_before = 0.0
        self._last_cut = float("-inf")
        self._signalled = False
        self._round_done = 0
        self._round_peak = 0
        self._buckets = [
            (Bucket(per_minute, clock), by_tokens)
            for per_minute, by_tokens in ((limits.requests_per_minute, False), (limits.tokens_per_minute, True))
            if per_minute is not None
        ]
        self._waiting_turn: list[tuple[int, int, asyncio.Future[None]]] = []
        self._waiting_slot: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    @asynccontextmanager
    async def turn(self, priority: int) -> AsyncGenerator[None]:
        """Permission to journal and then send one request; lower `priority` goes first."""
        while self._turns >= self._turn_limit():
            await self._wait(self._waiting_turn, priority)
        self._turns += 1
        try:
            yield
        finally:
            self._turns -= 1
            self._wake(self._waiting_turn, self._turn_limit() - self._turns)

    @asynccontextmanager
    async def slot(self, tokens: int, priority: int) -> AsyncGenerator[None]:
        """A place on the wire, held from the first byte out to the last byte in."""
        while True:
            while self.in_flight >= int(self.limit):
                await self._wait(self._waiting_slot, priority)
            waits = [bucket.wait_s(tokens if by_tokens else 1) for bucket, by_tokens in self._buckets]
            pause = max([self._not_before - self._clock(), *waits])
            if pause <= 0:
                break
            try:
                await self._sleep(pause)
            except BaseException:
                self._wake(self._waiting_slot, 1)  # the place that was offered goes to the next in line
                raise
        for bucket, by_tokens in self._buckets:
            bucket.take(tokens if by_tokens else 1)
        self.in_flight += 1
        self._round_peak = max(self._round_peak, self.in_flight)
        try:
            yield
        finally:
            self.in_flight -= 1
            self._wake(self._waiting_slot, int(self.limit) - self.in_flight)

    def hold(self, seconds: float) -> None:
        """Start nothing for this long: a Retry-After the whole endpoint shares."""
        spread = 1 + 0.1 * self._jitter.random()
        self._not_before = max(self._not_before, self._clock() + min(seconds, LONGEST_GATE_S) * spread)

    def accepted(self) -> None:
        """A request came through; after a full round of them that used the limit, the limit grows."""
        self._round_done += 1
        if self._round_done < max(int(self.limit), 4):
            return
        if self._round_peak >= 0.8 * self.limit:
            growth = GROWTH if self._signalled else 2.0
            self.limit = min(self.max_in_flight, max(self.limit * growth, self.limit + self._signalled))
            self._wake(self._waiting_slot, int(self.limit) - self.in_flight)
            self._wake(self._waiting_turn, self._turn_limit() - self._turns)
        self._round_done = 0
        self._round_peak = self.in_flight

    def refused(self, sent_at: float) -> None:
        """A request sent at `sent_at` met a rate limit."""
        self._signalled = True
        if sent_at > self._last_cut:
            self._last_cut = self._clock()
            self.limit = max(1.0, self.limit * CUT)
        self._round_done = 0
        self._round_peak = self.in_flight

    def _turn_limit(self) -> int:
        return int(self.limit * 1.125) + 8

    async def _wait(self, line: list[tuple[int, int, asyncio.Future[None]]], priority: int) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(line, (priority, next(self._order), future))
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._wake(line, 1)  # the place offered to a cancelled task goes to the next in line
            raise

    @staticmethod
    def _wake(line: list[tuple[int, int, asyncio.Future[None]]], places: int) -> None:
        while line and places > 0:
            future = heapq.heappop(line)[2]
            if not future.done():
                future.set_result(None)
                places -= 1
