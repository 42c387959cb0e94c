"""The controller against a real vLLM server: fixed numbers of requests at once, then the controller free up to the most.

    vllm serve MODEL --port 8000 &
    PYTHONPATH=. .venv/bin/python tests/bench/vllm.py http://127.0.0.1:8000/v1 MODEL [--server PID] [--seconds 40]

Prints the answers per second and the median latency of each in the second half of its time; with `--server` also the
answers per second of CPU of that process and its children, which other work on the machine changes less. `--in-flight 0`
stands for the controller, heeding /metrics and then without it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import orjson

from synth.admission.admission import Admission
from synth.admission.gauges import watch
from synth.backends.online import online
from synth.backends.wire import Wire
from synth.protocol.endpoint import Endpoint, Limits
from synth.types import Request

TOKENS = 16
Ask = Callable[[int], Awaitable[float]]


def request(model: str, number: int) -> Request:
    """One that no other equals; as many tokens as asked for come back."""
    messages = [{"role": "user", "content": f"Question {number}: what is {number} times {number % 97}, and why?"}]
    body = orjson.dumps(
        {"model": model, "messages": messages, "max_tokens": TOKENS, "ignore_eos": True, "temperature": 1.0}
    )
    return Request(b"", "bench", model, body, 0, len(body), TOKENS)


class Found(NamedTuple):
    """What came of it."""

    per_s: float
    p50_s: float
    per_cpu_s: float
    limit: float

    def __str__(self) -> str:
        return f"{self.limit:>6.0f} {self.per_s:>10.1f} {self.p50_s:>7.2f} {self.per_cpu_s:>14.1f}"


def cpu_s(server: int) -> float:
    """Seconds of CPU that a process and its children have used; 0 for none."""
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(fields[1])
        used[int(path.parent.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    total = 0.0
    for one in used:
        above = one
        while above not in (server, 0):
            above = parents.get(above, 0)
        total += used[one] * (above == server != 0)
    return total


async def play(ask: Ask, at_once: int, seconds: float, server: int, limit: Callable[[], float]) -> Found:
    """What so many workers find in the second half of the time."""
    began = time.monotonic()
    half = cpu_s(server)

    def at_half() -> None:
        nonlocal half
        half = cpu_s(server)

    asyncio.get_running_loop().call_later(seconds / 2, at_half)
    done: list[tuple[float, float]] = []
    numbers = iter(range(10**9))

    async def work() -> None:
        while time.monotonic() - began < seconds:
            took_s = await ask(next(numbers))
            done.append((time.monotonic() - began, took_s))

    await asyncio.gather(*(work() for _ in range(at_once)))
    late = [took_s for ended, took_s in done if seconds / 2 <= ended]
    cpu = cpu_s(server) - half
    per_s = sum(ended < seconds for ended, _ in done if ended >= seconds / 2) / (seconds / 2)
    return Found(per_s, statistics.median(late), len(late) / cpu if cpu else 0.0, limit())


async def fixed(endpoint: Endpoint, at_once: int, seconds: float, server: int) -> Found:
    """Always as many."""
    async with online(endpoint, endpoint.base_url) as backend:
        return await play(
            lambda number: _ask(backend, endpoint.model, number), at_once, seconds, server, lambda: at_once
        )


async def controlled(endpoint: Endpoint, seconds: float, server: int, *, heeding: bool) -> Found:
    """As many as the controller lets through."""
    most = endpoint.limits.max_in_flight
    admission = Admission(endpoint.limits, time.monotonic, queues_silently=True)
    async with online(endpoint, endpoint.base_url) as backend:

        async def ask(number: int) -> float:
            place = await admission.board(TOKENS, 0)
            try:
                took_s = await _ask(backend, endpoint.model, number)
            finally:
                admission.land(place)
            admission.accepted(place, TOKENS)
            return took_s

        watching = (
            asyncio.create_task(watch(endpoint, partial(admission.told, admission.lanes[0]), asyncio.sleep))
            if heeding
            else None
        )
        found = await play(ask, most, seconds, server, lambda: admission.limit)
        if watching is not None:
            watching.cancel()
        return found


async def _ask(backend: Wire, model: str, number: int) -> float:
    outcome = await backend.send(request(model, number))
    assert outcome.status == 200, outcome
    return outcome.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description="The controller against a real vLLM server.")
    parser.add_argument("url")
    parser.add_argument("model")
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[4, 8, 16, 32, 64, 128, 256, 0])
    parser.add_argument("--server", type=int, default=0)
    parser.add_argument("--most", type=int, default=256)
    asked = parser.parse_args()
    endpoint = Endpoint(model=asked.model, base_url=asked.url, limits=Limits(max_in_flight=asked.most))
    print(f"{'at once':>24} {'answers/s':>10} {'p50 s':>7} {'answers/CPU s':>14}")
    for at_once in asked.in_flight:
        if at_once:
            print(f"{'fixed':>17} {asyncio.run(fixed(endpoint, at_once, asked.seconds, asked.server))}", flush=True)
            continue
        for name, heeding in (("controller", True), ("without /metrics", False)):
            found = asyncio.run(controlled(endpoint, asked.seconds, asked.server, heeding=heeding))
            print(f"{name:>17} {found}", flush=True)


if __name__ == "__main__":
    main()
