"""Admission with its controller against a mock server over loopback sockets; the columns of `controller.py`.

    PYTHONPATH=. .venv/bin/python tests/bench/controller_live.py [--seconds 60] [--only queue]

A hundred times faster than a hosted model: the median answer takes 0.15 s, and the pauses between two trials of another
limit are as much shorter. Goodput is the share of what an oracle would get that knows the limit. The breaker is not
played here: its pauses of half a minute do not scale.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from synth.admission import queueing
from synth.admission.admission import Admission
from synth.protocol.endpoint import Limits

FASTER = 100
MEDIAN_S = 0.15
SPREAD = 0.5
MEAN_S = MEDIAN_S * math.exp(SPREAD**2 / 2)
TOKENS = 100


@dataclass
class Mock:
    """One endpoint. Each limit is optional."""

    cap: Callable[[float], float] = lambda _: math.inf
    ambient: float = 0.0
    tokens_per_s: float = math.inf
    burst_s: float = 5.0
    slots: int | None = None

    def __post_init__(self) -> None:
        self.rng = random.Random(1)
        self.busy = self.forced = 0
        self.began = self.then = time.monotonic()
        self.level = self.tokens_per_s * self.burst_s
        self.places = asyncio.Semaphore(self.slots or 10**9)

    async def answer(self, request: web.Request) -> web.Response:
        """One completion, or 429."""
        await request.read()
        now = time.monotonic()
        if self.busy >= self.cap(now - self.began) or self._empty(now):
            return web.Response(status=429)
        if self.rng.random() < self.ambient:
            self.forced += 1
            return web.Response(status=429)
        self.busy += 1
        try:
            async with self.places:
                await asyncio.sleep(MEDIAN_S * math.exp(self.rng.gauss(0, SPREAD)))
        finally:
            self.busy -= 1
        return web.Response(text="x" * 400)

    def _empty(self, now: float) -> bool:
        if math.isinf(self.tokens_per_s):
            return False
        self.level = min(self.tokens_per_s * self.burst_s, self.level + (now - self.then) * self.tokens_per_s)
        self.then = now
        if self.level < TOKENS:
            return True
        self.level -= TOKENS
        return False


@dataclass(frozen=True)
class Scenario:
    """An endpoint and what an oracle would get from it in a second."""

    mock: Callable[[], Mock]
    per_s: Callable[[float], float]
    queues_silently: bool = False


async def play(scenario: Scenario, seconds: float, most: int) -> tuple[int, int, int, float, float]:
    """Answers, requests without one, requests, median latency over the unloaded one, and the limit at the end."""
    mock = scenario.mock()
    app = web.Application()
    app.router.add_post("/", mock.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    limits = Limits(max_in_flight=most)
    admission = Admission(limits, time.monotonic, queues_silently=scenario.queues_silently)
    done = bad = sent = 0
    latencies: list[float] = []
    ends = time.monotonic() + seconds

    async def work(session: aiohttp.ClientSession) -> None:
        nonlocal done, bad, sent
        while time.monotonic() < ends:
            place = await admission.board(TOKENS, 0)
            sent_at = time.monotonic()
            sent += 1
            try:
                async with session.post(url, data=b"{}") as response:
                    await response.read()
            finally:
                admission.land(place)
            if response.status == 200:
                done += time.monotonic() < ends
                latencies.append(time.monotonic() - sent_at)
                admission.accepted(place, TOKENS)
            else:
                bad += 1
                place.lane.refused(place, 0.01)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        workers = [asyncio.create_task(work(session)) for _ in range(most)]
        await asyncio.sleep(seconds)
        await asyncio.wait(workers, timeout=1)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    await runner.cleanup()
    p50 = statistics.median(latencies[len(latencies) // 2 :]) / MEDIAN_S
    return done, bad - mock.forced, sent, p50, admission.limit


def dropping(now: float) -> float:
    """200, then 40 for a third of a minute."""
    return 40 if 20 <= now < 40 else 200


SCENARIOS: dict[str, Scenario] = {
    "cap 16": Scenario(lambda: Mock(cap=lambda _: 16), lambda _: 16 / MEAN_S),
    "cap 64": Scenario(lambda: Mock(cap=lambda _: 64), lambda _: 64 / MEAN_S),
    "cap 64, 5 % refused at any load": Scenario(lambda: Mock(cap=lambda _: 64, ambient=0.05), lambda _: 64 / MEAN_S),
    "cap 200, then 40, then 200": Scenario(lambda: Mock(cap=dropping), lambda now: dropping(now) / MEAN_S),
    "30,000 tokens a second": Scenario(lambda: Mock(tokens_per_s=30_000), lambda now: 600 if now < 5 else 300),
    "queue of 64 slots": Scenario(lambda: Mock(slots=64), lambda _: 64 / MEAN_S, queues_silently=True),
}


def main() -> None:
    """Print one line for each scenario."""
    parser = argparse.ArgumentParser(description="The controller against a mock server over sockets.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--most", type=int, default=256)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    queueing.TRIAL_EVERY_S /= FASTER
    queueing.MEASURED_EVERY_S /= FASTER
    print(f"{asked.seconds:g} s each, at most {asked.most} at once")
    print(f"{'endpoint':<38} {'goodput':>8} {'refused':>8} {'p50':>6} {'limit':>6} {'sent':>7}")
    for name, scenario in SCENARIOS.items():
        if asked.only in name:
            done, bad, sent, p50, limit = asyncio.run(play(scenario, asked.seconds, asked.most))
            oracle = sum(scenario.per_s(tenth / 10) / 10 for tenth in range(int(asked.seconds * 10)))
            print(
                f"{name:<38} {done / oracle:>8.1%} {bad / sent:>8.2%} {p50:>6.2f} {limit:>6.0f} {sent:>7}", flush=True
            )


if __name__ == "__main__":
    main()
