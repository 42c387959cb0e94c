"""synth against a bare aiohttp loop, on the same cheap mock server, in one run.

    .venv/bin/python tests/bench/throughput.py [--rows 4000] [--in-flight 256] [--latency-ms 0 200]

Prints rows/s, CPU milliseconds per row and peak memory of each client, and their ratio. Each client and the server is a
process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import aiohttp
import orjson
from aiohttp import web

RECIPE = """\
name: throughput
language: en
seeds: {{kind: jsonl, path: seeds.jsonl}}
teachers:
  main: {{model: mock, base_url: "{base_url}", sampling: {{max_tokens: 64}}, limits: {{max_in_flight: {in_flight}}}}}
stages:
  - name: answer
    generator: {{kind: answer, prompt: ask.md.j2}}
    validators: []
"""
REPLY = orjson.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "model": "mock",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "An answer. " * 30}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 20, "completion_tokens": 90, "total_tokens": 110},
    }
)


def serve(latency_s: float, pipe) -> None:
    async def chat(request: web.Request) -> web.Response:
        await request.read()
        if latency_s:
            await asyncio.sleep(latency_s)
        return web.Response(body=REPLY, content_type="application/json")

    async def main() -> None:
        application = web.Application()
        application.router.add_post("/v1/chat/completions", chat)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        pipe.send(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
        await asyncio.Event().wait()

    asyncio.run(main())


def bare(base_url: str, rows: int, in_flight: int, pipe) -> None:
    """The least a client can do: send, read, parse."""

    async def main() -> None:
        slots = asyncio.Semaphore(in_flight)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def one(number: int) -> None:
                body = orjson.dumps({"model": "mock", "messages": [{"role": "user", "content": question(number)}]})
                async with slots, session.post(f"{base_url}/chat/completions", data=body) as response:
                    orjson.loads(await response.read())

            async with asyncio.TaskGroup() as group:
                for number in range(rows):
                    group.create_task(one(number))

    measured(lambda: asyncio.run(main()), rows, pipe)


def ours(base_url: str, rows: int, in_flight: int, pipe) -> None:
    """The whole of `synth run`: stored, checked, written."""
    import uvloop

    from synth import pipeline
    from synth.recipe import load

    folder = Path(tempfile.mkdtemp())
    (folder / "recipe.yaml").write_text(RECIPE.format(base_url=base_url, in_flight=in_flight))
    (folder / "ask.md.j2").write_text("{{ q }}")
    (folder / "seeds.jsonl").write_text("".join(json.dumps({"q": question(number)}) + "\n" for number in range(rows)))
    loaded = load(folder)

    def work() -> None:
        result = uvloop.run(pipeline.run(loaded, pipeline.Options(folder / "run")))
        assert result.manifest.row_count == rows

    measured(work, rows, pipe)


def question(number: int) -> str:
    return f"Question {number}: what is {number} times {number % 97}, and why? " + "Think of it step by step. " * 8


def measured(work, rows: int, pipe) -> None:
    began, cpu = time.perf_counter(), time.process_time()
    work()
    seconds, spent = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    pipe.send((rows / seconds, 1000 * spent / rows, peak))


def in_process(function, *arguments):
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=function, args=(*arguments, there), daemon=True)
    process.start()
    return process, here.recv()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--latency-ms", type=int, nargs="+", default=[0, 200])
    asked = parser.parse_args()
    multiprocessing.set_start_method("spawn")
    print(f"{asked.rows} rows, {asked.in_flight} in flight")
    print(f"{'latency':>8} {'client':>8} {'rows/s':>8} {'CPU ms/row':>11} {'peak MiB':>9}")
    for latency_ms in asked.latency_ms:
        server, base_url = in_process(serve, latency_ms / 1000)
        figures = {}
        for name, client in (("bare", bare), ("synth", ours)):
            process, figures[name] = in_process(client, base_url, asked.rows, asked.in_flight)
            process.join()
            rate, cpu, peak = figures[name]
            print(f"{latency_ms:>5} ms {name:>8} {rate:>8.0f} {cpu:>11.2f} {peak:>9.0f}")
        ratios = [ours / theirs for ours, theirs in zip(figures["synth"], figures["bare"], strict=True)]
        print(f"{latency_ms:>5} ms {'ratio':>8} {ratios[0]:>8.2f} {ratios[1]:>11.2f} {ratios[2]:>9.2f}", flush=True)
        server.terminate()


if __name__ == "__main__":
    main()
