"""How late the event loop is while 500 requests are in flight: a bare loop's, and that of `synth run`.

    PYTHONPATH=. .venv/bin/python tests/bench/lag.py [--rows 100000] [--in-flight 500] [--latency-ms 0 200]

Every ten milliseconds something is due; how much later it comes is what a reply waits that arrives then, and so is
counted for each of the moments that pass meanwhile. Of `synth run` the time is looked at in which it asks. The server is
a process of its own, on the other core.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import time

import uvloop
from throughput import bare, gated, in_process, ours, serve

DUE_S = 0.01
CLIENTS = {"bare": bare, "synth": ours, "with gates": gated}


def late(name: str, base_url: str, rows: int, in_flight: int, pipe) -> None:
    """Have a client ask, and print how late its loop was."""
    from synth import pipeline

    lags: list[float] = []
    asking, run = pipeline.in_turns, uvloop.run

    async def looked_at(work):
        looking = asyncio.create_task(look(lags))
        try:
            return await work
        finally:
            looking.cancel()

    if name == "bare":
        uvloop.run = lambda work: run(looked_at(work))
    else:
        pipeline.in_turns = lambda *arguments, **named: looked_at(asking(*arguments, **named))
    CLIENTS[name](base_url, rows, in_flight, pipe)
    ms = [1000 * lag for lag in lags]
    print(
        f"{name:>22} {statistics.median(ms):>8.1f} {statistics.quantiles(ms, n=100)[-1]:>8.1f} {max(ms):>8.1f}", end=""
    )


async def look(lags: list[float]) -> None:
    """Note how late each moment is come to."""
    due = time.perf_counter() + DUE_S
    while True:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        now = time.perf_counter()
        while due <= now:
            lags.append(now - due)
            due += DUE_S


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--in-flight", type=int, default=500)
    parser.add_argument("--latency-ms", type=int, nargs="+", default=[0, 200])
    asked = parser.parse_args()
    multiprocessing.set_start_method("spawn")
    print(f"{asked.rows} rows, {asked.in_flight} in flight")
    print(f"{'latency':>8} {'client':>13} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8} {'rows/s':>8}")
    for latency_ms in asked.latency_ms:
        server, base_url = in_process(serve, latency_ms / 1000)
        for name in CLIENTS:
            process, figures = in_process(late, name, base_url, asked.rows, asked.in_flight)
            process.join()
            print(f" {figures[0]:>8.0f}   ({latency_ms} ms)", flush=True)
        server.terminate()
        server.join()


if __name__ == "__main__":
    main()
