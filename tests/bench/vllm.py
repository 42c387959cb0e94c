"""The controller against a real vLLM server: fixed numbers of requests at once, then the controller free up to the most.

    vllm serve MODEL --port 8000 &
    PYTHONPATH=. .venv/bin/python tests/bench/vllm.py http://127.0.0.1:8000/v1 MODEL [--seconds 40]

Prints the answers per second and the median latency of each in the second half of its time. `--in-flight 0` stands for
the controller, heeding /metrics and then without it.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

import orjson

from synth.backends.online import online
from synth.backends.wire import Wire
from synth.endpoint import Endpoint, Limits
from synth.gauges import watch
from synth.limits import Admission
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


async def play(ask: Ask, at_once: int, seconds: float) -> tuple[float, float]:
    """Answers per second and median latency from so many workers, in the second half of the time."""
    began = time.monotonic()
    done: list[tuple[float, float]] = []
    numbers = iter(range(10**9))

    async def work() -> None:
        while time.monotonic() - began < seconds:
            took_s = await ask(next(numbers))
            done.append((time.monotonic() - began, took_s))

    await asyncio.gather(*(work() for _ in range(at_once)))
    late = [took_s for ended, took_s in done if seconds / 2 <= ended < seconds]
    return len(late) / (seconds / 2), statistics.median(late)


async def fixed(endpoint: Endpoint, at_once: int, seconds: float) -> tuple[float, float]:
    """Always as many."""
    async with online(endpoint, endpoint.base_url) as backend:
        return await play(lambda number: _ask(backend, endpoint.model, number), at_once, seconds)


async def controlled(endpoint: Endpoint, seconds: float, *, heeding: bool) -> tuple[float, float, float]:
    """As many as the controller lets through, and its limit at the end."""
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

        watching = asyncio.create_task(watch(endpoint, admission.lanes[0], asyncio.sleep)) if heeding else None
        found = await play(ask, most, seconds)
        if watching is not None:
            watching.cancel()
        return *found, admission.limit


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
    parser.add_argument("--most", type=int, default=256)
    asked = parser.parse_args()
    endpoint = Endpoint(model=asked.model, base_url=asked.url, limits=Limits(max_in_flight=asked.most))
    print(f"{'at once':>24} {'answers/s':>10} {'p50 s':>7}")
    for at_once in asked.in_flight:
        if at_once:
            rate, p50 = asyncio.run(fixed(endpoint, at_once, asked.seconds))
            print(f"{at_once:>24} {rate:>10.1f} {p50:>7.2f}", flush=True)
            continue
        for name, heeding in (("controller", True), ("without /metrics", False)):
            rate, p50, limit = asyncio.run(controlled(endpoint, asked.seconds, heeding=heeding))
            print(f"{name:>17} {limit:>6.0f} {rate:>10.1f} {p50:>7.2f}", flush=True)


if __name__ == "__main__":
    main()
