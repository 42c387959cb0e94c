"""Runs on servers of one's own: one that tells its load, and two of which one dies and comes back."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from aiohttp import web

from synth import pipeline
from synth.console.live import snapshot_line
from synth.live.progress import Progress
from synth.live.snapshot import snapshot
from synth.recipes.loading import load
from synth.results.result import Options, Result

RECIPE = """\
name: own
language: ja
seeds: {{kind: jsonl, path: seeds.jsonl}}
teachers: {{main: {{model: m, base_url: "{url}", limits: {{max_in_flight: {most}}}, replicas: [{replicas}]}}}}
stages:
  - name: answer
    generator: {{kind: answer, system: system.md.j2, prompt: ask.md.j2}}
    validators: []
"""
LOAD = "vllm:num_requests_running {running}\nvllm:num_requests_waiting {waiting}\n"


class Server:
    """So many slots and a line without end; tells both at /metrics."""

    def __init__(self, slots: int, takes_s: float) -> None:
        self.slots, self.takes_s = asyncio.Semaphore(slots), takes_s
        self.most = slots
        self.busy = self.answered = self.looks = 0
        self.systems: set[str] = set()
        self.runner: web.AppRunner | None = None
        self.port = 0

    async def chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.systems.add(body["messages"][0]["content"])
        self.busy += 1
        try:
            async with self.slots:
                await asyncio.sleep(self.takes_s)
        finally:
            self.busy -= 1
        self.answered += 1
        choice = {"index": 0, "message": {"role": "assistant", "content": "答え"}, "finish_reason": "stop"}
        return web.json_response({"model": "m", "choices": [choice], "usage": {"completion_tokens": 2}})

    async def metrics(self, _: web.Request) -> web.Response:
        self.looks += 1
        running = min(self.busy, self.most)
        return web.Response(text=LOAD.format(running=running, waiting=self.busy - running))

    async def start(self) -> str:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_get("/metrics", self.metrics)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.0)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self.runner.addresses[0][1]
        return f"http://127.0.0.1:{self.port}/v1"

    async def die(self) -> None:
        assert self.runner is not None
        await self.runner.cleanup()


def prepared(folder: Path, urls: list[str], most: int, seeds: list[dict[str, str]]) -> Path:
    replicas = ", ".join(f'{{base_url: "{url}"}}' for url in urls[1:])
    (folder / "recipe.yaml").write_text(RECIPE.format(url=urls[0], most=most, replicas=replicas))
    (folder / "system.md.j2").write_text("{{ system }}")
    (folder / "ask.md.j2").write_text("{{ q }}")
    (folder / "seeds.jsonl").write_text("".join(json.dumps(seed, ensure_ascii=False) + "\n" for seed in seeds))
    return folder


def questions(count: int, *systems: str) -> list[dict[str, str]]:
    return [{"q": f"問{number}", "system": systems[number % len(systems)]} for number in range(count)]


def test_no_more_is_sent_than_a_server_that_tells_its_load_runs_and_a_few_more(tmp_path, monkeypatch):
    monkeypatch.setattr("synth.admission.gauges.LOOK_EVERY_S", 0.01)
    seen: list[Progress] = []

    async def main() -> tuple[Result, Server]:
        server = Server(4, 0.01)
        url = await server.start()
        folder = prepared(tmp_path, [url], 64, questions(600, "短く"))
        result = await pipeline.run(
            load(folder), Options(tmp_path / "run"), lambda progress, halt: seen.append(progress)
        )
        await server.die()
        return result, server

    result, server = asyncio.run(main())
    assert result.manifest.row_count == 600
    assert server.looks > 5
    assert seen[0].teachers["main"].admission.limit <= 16
    assert seen[0].loads()["main"][0] <= 4
    assert re.search(r"main runs [0-4], \d+ wait there", snapshot_line(snapshot("own", seen[0])))


def test_a_replica_that_dies_in_the_middle_and_comes_back_costs_no_row_and_is_used_again(tmp_path, monkeypatch):
    monkeypatch.setattr("synth.admission.breaker.BREAKER_PAUSE_S", 0.05)
    monkeypatch.setattr("synth.sending.BACKOFF_S", 0.05)

    async def main() -> tuple[Result, int]:
        steady, frail = Server(8, 0.005), Server(8, 0.005)
        urls = [await steady.start(), await frail.start()]
        folder = prepared(tmp_path, urls, 8, questions(1500, *(f"役{number}" for number in range(8))))
        asking = asyncio.create_task(pipeline.run(load(folder), Options(tmp_path / "run")))
        await reached(frail, 50)
        await frail.die()
        before = frail.answered
        await reached(steady, steady.answered + 100)
        await frail.start()
        result = await asking
        await steady.die()
        await frail.die()
        return result, frail.answered - before

    async def reached(server: Server, answered: int) -> None:
        async with asyncio.timeout(60):
            while server.answered < answered:
                await asyncio.sleep(0.005)

    result, afterwards = asyncio.run(main())
    assert result.exit_code == 0
    assert result.manifest.row_count == 1500
    assert afterwards >= 50


@pytest.mark.parametrize("systems", [("丁寧に", "くわしく"), ("be brief", "be kind")])
def test_prompts_with_the_same_system_prompt_go_to_the_same_replica_while_both_are_as_busy(tmp_path, systems):
    async def main() -> list[set[str]]:
        servers = [Server(64, 0.01), Server(64, 0.01)]
        urls = [await server.start() for server in servers]
        folder = prepared(tmp_path, urls, 64, questions(20, *systems))
        await pipeline.run(load(folder), Options(tmp_path / "run"))
        for server in servers:
            await server.die()
        return [server.systems for server in servers]

    assert sorted(asyncio.run(main()), key=sorted) == sorted([{one} for one in systems], key=sorted)
