"""synth against a bare aiohttp + uvloop + orjson loop, on the same cheap mock server, in one run.

    .venv/bin/python tests/bench/throughput.py [--rows 4000] [--in-flight 256 1024] [--latency-ms 0 200] [--profile]
                                               [--gates] [--told]

Prints rows/s, CPU milliseconds per row and peak memory of each client, and their ratio. Each client and the server is a
process of its own; where the system allows it the server keeps to one core and the clients to another. The server
writes a fixed reply from its read callback, so that it costs a fraction of what any client does.

`--told` measures it with `--events` and with `--otel` too, which needs the extra.
`--profile` runs both once more in each case and looks every millisecond of CPU at what the main thread does: by module,
the innermost of aiohttp or of our own, in microseconds a row. `--gates` has what recipes usually check looked at: near
duplicates among the questions, and endings, refusals, repetition and language of the answers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import resource
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

import orjson
import uvloop

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
GATES = """\
    validators: [{{kind: finished}}, {{kind: refusal}}, {{kind: repetition}}, {{kind: language}}]
    dedupe: {{by: question}}
"""
ANSWER = """\
To multiply the two numbers, take the tens and the ones of the second one by one, and add what they give. The tens \
bring the larger part, the ones the smaller. Write both below each other so that the places agree, then add from the \
right and carry what goes beyond nine. As a check, divide the sum by one of the two: the other has to come out again."""
BODY = orjson.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "model": "mock",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 90, "total_tokens": 110},
    }
)
REPLY = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nServer: mock\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    + BODY
)
SYLLABLES = [first + last for first in "bdfgklmnprstvw" for last in ("a", "e", "i", "o", "u", "an", "er", "il", "ost")]
SERVER_CORE, CLIENT_CORE = 0, 1
LOOK_S = 0.001


class Mock(asyncio.Protocol):
    """Answers every POST with the same bytes, now or after a while."""

    def __init__(self, latency_s: float) -> None:
        self.latency_s = latency_s
        self.received = b""

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n") + 4) >= 4:
            head = self.received[:end].lower()
            if head.startswith(b"get "):  # what a server may tell of its load
                self.received = self.received[end:]
                self.transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                continue
            whole = end + int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            if len(self.received) < whole:
                return
            self.received = self.received[whole:]
            if self.latency_s:
                asyncio.get_running_loop().call_later(self.latency_s, self.answer)
            else:
                self.answer()

    def answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(REPLY)


def serve(latency_s: float, pipe) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Mock(latency_s), "127.0.0.1", 0, backlog=4096)
        pipe.send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        await asyncio.Event().wait()

    keep_to(SERVER_CORE)
    uvloop.run(main())


def bare(base_url: str, rows: int, in_flight: int, pipe, around=lambda work: work()) -> None:
    """The least a client can do: send, read, parse."""
    import aiohttp  # here only: it would count as memory of the other clients

    async def main() -> None:
        numbers = iter(range(rows))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def one_after_another() -> None:
                for number in numbers:
                    body = orjson.dumps({"model": "mock", "messages": [{"role": "user", "content": question(number)}]})
                    async with session.post(f"{base_url}/chat/completions", data=body) as response:
                        orjson.loads(await response.read())

            async with asyncio.TaskGroup() as group:
                for _ in range(in_flight):
                    group.create_task(one_after_another())

    measured(lambda: around(lambda: uvloop.run(main())), rows, pipe)


def gated(base_url: str, rows: int, in_flight: int, pipe) -> None:
    """The same, with the checks that recipes usually have."""
    ours(base_url, rows, in_flight, pipe, recipe=RECIPE.replace("    validators: []\n", GATES), asked=story)


def with_events(base_url: str, rows: int, in_flight: int, pipe) -> None:
    """The same with `--events` into a file."""
    ours(base_url, rows, in_flight, pipe, told={"events": f"{tempfile.mkdtemp()}/events.jsonl"})


def with_spans(base_url: str, rows: int, in_flight: int, pipe) -> None:
    """The same with `--otel`; another mock server takes the spans."""
    ours(base_url, rows, in_flight, pipe, told={"otel": True})


def with_sampled_spans(base_url: str, rows: int, in_flight: int, pipe) -> None:
    """The same with spans of one request in a hundred."""
    os.environ |= {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}
    with_spans(base_url, rows, in_flight, pipe)


TOLD = {"events": with_events, "otel": with_spans, "otel 1 %": with_sampled_spans}


def ours(
    base_url: str,
    rows: int,
    in_flight: int,
    pipe,
    around=lambda work: work(),
    recipe: str = RECIPE,
    asked=None,
    told=None,
) -> None:
    """The whole of `synth run`: stored, checked, written."""
    asked = asked or question
    from synth import pipeline
    from synth.console.telling import Wanted, telling
    from synth.live.control import Steering
    from synth.recipes.loading import load

    folder = Path(tempfile.mkdtemp())
    (folder / "recipe.yaml").write_text(recipe.format(base_url=base_url, in_flight=in_flight))
    (folder / "ask.md.j2").write_text("{{ q }}")
    (folder / "seeds.jsonl").write_text("".join(json.dumps({"q": asked(number)}) + "\n" for number in range(rows)))
    loaded = load(folder)

    async def watched(teller):
        watching = []

        def observe(progress, halt) -> None:
            if teller is not None:
                steering = Steering("throughput", folder / "run", progress, halt)
                teller.begin(steering, progress, halt)
                watching.extend(map(asyncio.ensure_future, (steering.look(), teller.follow(steering))))

        result = await pipeline.run(loaded, pipeline.Options(folder / "run"), observe)
        for one in watching:
            one.cancel()
        return result

    def work() -> None:
        with telling("throughput", folder / "run", loaded, Wanted(**(told or {}))) as teller:
            result = uvloop.run(watched(teller))
            if teller is not None:
                teller.end(result)
        assert result.manifest.row_count == rows

    measured(lambda: around(work), rows, pipe)


def profiled(base_url: str, rows: int, in_flight: int, pipe) -> None:
    """The same, with a line for each part of synth in which the main thread was found."""
    from synth import pipeline

    moments: list[float] = []
    asking = pipeline.in_turns

    async def noted(*arguments, **named) -> None:
        moments.append(time.process_time())
        try:
            await asking(*arguments, **named)
        finally:
            moments.append(time.process_time())

    def around(work) -> None:
        moments.append(time.process_time())
        looked_at(work, rows, "synth", 16)
        moments.append(time.process_time())

    pipeline.in_turns = noted
    ours(base_url, rows, in_flight, pipe, around)
    began, first, last, ended = moments
    parts = (("before the first request", first - began), ("while asking", last - first))
    for name, seconds in (*parts, ("after the last reply", ended - last)):
        print(f"{1e6 * seconds / rows:>12.0f} us  of all threads {name}")


def profiled_bare(base_url: str, rows: int, in_flight: int, pipe) -> None:
    """The bare loop, with a line for each part of aiohttp."""
    bare(base_url, rows, in_flight, pipe, around=lambda work: looked_at(work, rows, "aiohttp", 6))


def looked_at(work, rows: int, package: str, most: int) -> None:
    """Do the work, and say where in a package the main thread was found how long."""
    found: Counter[str] = Counter()
    signal.signal(signal.SIGPROF, lambda _, frame: found.update([_part(frame, package)]))
    signal.setitimer(signal.ITIMER_PROF, LOOK_S, LOOK_S)
    cpu, own = time.process_time(), time.thread_time()
    work()
    own, cpu = time.thread_time() - own, time.process_time() - cpu
    signal.setitimer(signal.ITIMER_PROF, 0)
    print(f"      of {1e6 * cpu / rows:.0f} us CPU a row {1e6 * own / rows:.0f} are the main thread's: where it was")
    for part, looks in found.most_common(most):
        print(f"{1e6 * own * looks / found.total() / rows:>12.0f} us  {part}")


def _part(frame, package: str) -> str:
    """The innermost module of a package in which a thread is."""
    while frame is not None:
        parts = Path(frame.f_code.co_filename).parts
        if package in parts and (package != "synth" or "site-packages" not in parts):
            return "/".join(parts[len(parts) - parts[::-1].index(package) :])
        frame = frame.f_back
    return "event loop and sockets"


def question(number: int) -> str:
    return f"Question {number}: what is {number} times {number % 97}, and why? " + "Think of it step by step. " * 8


def story(number: int) -> str:
    """A question of 50 words that is unlike the others, as `question` is not: every gate would look at them all."""
    rng = random.Random(number)
    return "What comes of " + " ".join("".join(rng.choices(SYLLABLES, k=rng.randint(1, 4))) for _ in range(50)) + "?"


def keep_to(core: int) -> None:
    """Stay on one core, where the system has such a call and there are several."""
    if hasattr(os, "sched_setaffinity") and core in os.sched_getaffinity(0) and len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {core})


def measured(work, rows: int, pipe) -> None:
    keep_to(CLIENT_CORE)
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


def compare(rows: int, in_flight: int, latency_ms: int, *, profile: bool, gates: bool, told: bool) -> None:
    server, base_url = in_process(serve, latency_ms / 1000)
    case = f"{latency_ms:>5} ms {in_flight:>9}"
    figures = {}
    for name, client in (("bare", bare), ("synth", gated if gates else ours)):
        process, figures[name] = in_process(client, base_url, rows, in_flight)
        process.join()
        rate, cpu, peak = figures[name]
        print(f"{case} {name:>8} {rate:>8.0f} {cpu:>11.2f} {peak:>9.0f}", flush=True)
    ratios = [ours / theirs for ours, theirs in zip(figures["synth"], figures["bare"], strict=True)]
    print(f"{case} {'ratio':>8} {ratios[0]:>8.2f} {ratios[1]:>11.2f} {ratios[2]:>9.2f}", flush=True)
    collector, os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = in_process(serve, 0.0)
    for name, client in TOLD.items() if told else ():
        process, found = in_process(client, base_url, rows, in_flight)
        process.join()
        of = [one / other for one, other in zip(found, figures["synth"], strict=True)]
        print(
            f"{case} {name:>8} {found[0]:>8.0f} {found[1]:>11.2f} {found[2]:>9.0f}   of synth's {of[0]:.2f}, {of[1]:.2f}"
        )
    if profile:
        for client in (profiled_bare, profiled):
            process, _ = in_process(client, base_url, rows, in_flight)
            process.join()
    for one in (server, collector):
        one.terminate()
        one.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[256])
    parser.add_argument("--latency-ms", type=int, nargs="+", default=[0, 200])
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--gates", action="store_true")
    parser.add_argument("--told", action="store_true")
    asked = parser.parse_args()
    multiprocessing.set_start_method("spawn")
    print(f"{asked.rows} rows")
    print(f"{'latency':>8} {'in flight':>9} {'client':>8} {'rows/s':>8} {'CPU ms/row':>11} {'peak MiB':>9}")
    for in_flight in asked.in_flight:
        for latency_ms in asked.latency_ms:
            compare(asked.rows, in_flight, latency_ms, profile=asked.profile, gates=asked.gates, told=asked.told)


if __name__ == "__main__":
    main()
