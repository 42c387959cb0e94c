"""What faults cost: synth on a clean server against the same server with faults that do not depend on load.

    .venv/bin/python tests/bench/faults.py [--rows 20000] [--in-flight 256] [--latency-ms 200]

Prints rows, requests (and how many of them met a planted fault), and the time over that of the clean run: for plain
answers with 5 % 429 (Retry-After 1 s), 2 % 500 and 1 % dropped connections, and for JSON of which 5 % is cut short.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import tempfile
import time
from pathlib import Path

import orjson
import uvloop
from throughput import CLIENT_CORE, SERVER_CORE, Mock, in_process, keep_to, question

RECIPE = """\
name: faults
language: en
seeds: {{kind: jsonl, path: seeds.jsonl}}
teachers:
  main: {{model: mock, base_url: "{base_url}", sampling: {{max_tokens: 64}}, limits: {{max_in_flight: {in_flight}}}}}
stages:
  - name: {stage}
    generator: {generator}
    validators: []
"""
STAGES = {
    "answer": "{kind: answer, prompt: ask.md.j2}",
    "write": "{kind: self_instruct, prompt: ask.md.j2, count: 1}",
}
RATES = {"clean": {}, "faults": {"rate": 0.05, "error": 0.02, "drop": 0.01}, "invalid JSON": {"invalid": 0.05}}


class Faulty(Mock):
    """Answers with a list of one instruction, or with a fault."""

    rates: dict[str, float] = {}
    rng = random.Random(0)
    requests = 0
    planted = 0

    def answer(self) -> None:
        Faulty.requests += 1
        draw = self.rng.random()
        for fault, rate in self.rates.items():
            if draw < rate:
                Faulty.planted += 1
                getattr(self, fault)()
                return
            draw -= rate
        self.say(f'{{"instructions": ["Instruction {Faulty.requests}: {"explain it. " * 25}"]}}')

    def say(self, text: str, status: str = "200 OK", *headers: str) -> None:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 20, "completion_tokens": 90, "total_tokens": 110}
        self.send(orjson.dumps({"model": "mock", "choices": [choice], "usage": usage}), status, *headers)

    def send(self, body: bytes, status: str, *headers: str) -> None:
        lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
        self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def rate(self) -> None:
        self.send(b'{"error": {"message": "slow down"}}', "429 Too Many Requests", "Retry-After: 1")

    def error(self) -> None:
        self.send(b'{"error": {"message": "oops"}}', "500 Internal Server Error")

    def drop(self) -> None:
        self.transport.abort()

    def invalid(self) -> None:
        self.say('{"instructions": ["Instruction that is cut sho')


def serve(latency_s: float, rates: dict[str, float], pipe) -> None:
    async def main() -> None:
        Faulty.rates = rates
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Faulty(latency_s), "127.0.0.1", 0, backlog=4096)
        pipe.send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        while not pipe.poll():
            await asyncio.sleep(0.05)
        pipe.send((Faulty.requests, Faulty.planted))

    keep_to(SERVER_CORE)
    uvloop.run(main())


def client(base_url: str, stage: str, rows: int, in_flight: int, pipe) -> None:
    from synth import pipeline
    from synth.recipes.loading import load

    folder = Path(tempfile.mkdtemp())
    text = RECIPE.format(base_url=base_url, in_flight=in_flight, stage=stage, generator=STAGES[stage])
    (folder / "recipe.yaml").write_text(text)
    (folder / "ask.md.j2").write_text("{{ q }}")
    (folder / "seeds.jsonl").write_text("".join(json.dumps({"q": question(number)}) + "\n" for number in range(rows)))
    loaded = load(folder)
    keep_to(CLIENT_CORE)
    began = time.perf_counter()
    result = uvloop.run(pipeline.run(loaded, pipeline.Options(folder / "run")))
    pipe.send((result.manifest.row_count, time.perf_counter() - began))


def one(stage: str, rates: dict[str, float], rows: int, in_flight: int, latency_ms: int) -> tuple[int, int, int, float]:
    here, there = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(latency_ms / 1000, rates, there), daemon=True)
    server.start()
    process, (made, seconds) = in_process(client, here.recv(), stage, rows, in_flight)
    process.join()
    here.send("end")
    requests, planted = here.recv()
    server.join()
    return made, requests, planted, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20000)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--latency-ms", type=int, default=200)
    asked = parser.parse_args()
    multiprocessing.set_start_method("spawn")
    print(f"{asked.rows} rows, {asked.in_flight} in flight, {asked.latency_ms} ms")
    print(f"{'stage':>8} {'server':>13} {'rows':>7} {'requests':>9} {'planted':>8} {'seconds':>8} {'over clean':>11}")
    for stage, fault in (("answer", "faults"), ("write", "invalid JSON")):
        clean_s = 0.0
        for server in ("clean", fault):
            made, requests, planted, seconds = one(stage, RATES[server], asked.rows, asked.in_flight, asked.latency_ms)
            clean_s = clean_s or seconds
            print(
                f"{stage:>8} {server:>13} {made:>7} {requests:>9} {planted:>8} {seconds:>8.2f} {seconds / clean_s:>11.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
