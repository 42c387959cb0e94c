"""A run that is killed with requests in flight fetches what they brought: nothing is bought twice, not even those."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from aiohttp import web

import synth
from synth.backends.practice.faults import Faults
from synth.backends.practice.server import PracticeTeacher
from synth.errors import Fatal
from synth.storage.database import connect

ROOT = Path(__file__).parents[2]
RECIPE = """\
name: recovered
language: ja
accept_terms: [openai]
seeds: {{kind: grid, axes: {{話題: [料理, 旅行, 買い物, 天気, 学校, 音楽]}}}}
teachers:
  main:
    model: practice-1
    base_url: "{url}"
    profile: openai
    key_variable: SOME_KEY
    recover: {recover}
    price: {{input_usd: 1, output_usd: 2}}
    sampling: {{extra: {{metadata: {{owner: 田中}}}}}}
stages:
  - name: answer
    generator: {{kind: answer, prompt: ask.md.j2}}
"""


class Host:
    """The practice teacher on a loop of its own; what it was sent, and what it kept."""

    def __init__(self) -> None:
        self.teacher = PracticeTeacher(Faults(latency_s=1.5), None)
        self.bodies: list[dict] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self._ready.wait(30)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)

        async def start():
            application = self.teacher.application()
            application.middlewares.append(self._noted)
            self._runner = web.AppRunner(application, access_log=None)
            await self._runner.setup()
            await web.TCPSite(self._runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
            self._ready.set()

        self._loop.run_until_complete(start())
        self._loop.run_forever()

    @web.middleware
    async def _noted(self, request, handler):
        if request.method == "POST":
            self.bodies.append(json.loads(await request.read()))
        return await handler(request)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


@pytest.fixture
def host():
    made = Host()
    yield made
    made.close()


def until(condition):
    ends = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


def killed_in_flight(folder, host, recover):
    """Write the recipe, and kill a run of it when all six requests have arrived and none was answered."""
    (folder / "recipe.yaml").write_text(RECIPE.format(url=host.url, recover=recover), encoding="utf-8")
    (folder / "ask.md.j2").write_text("{{ 話題 }}について一文で。", encoding="utf-8")
    command = [sys.executable, "-c", "from synth.cli import main; main()", "run", folder, "--out", folder / "run"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: len(host.bodies) == 6)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(2)  # the host goes on for whom it does not know to be dead


def failures(folder):
    with connect(folder / "run" / "run.db") as connection:
        return Counter(name for (name,) in connection.execute("SELECT failure FROM settled"))


def test_what_was_in_flight_at_a_kill_is_fetched_and_not_bought_again(tmp_path, host):
    killed_in_flight(tmp_path, host, "true")
    assert all(body["store"] and body["metadata"]["owner"] == "田中" for body in host.bodies)
    assert len({body["metadata"]["synth"] for body in host.bodies}) == 6
    result = synth.run(tmp_path, folder=tmp_path / "run")
    assert (result.exit_code, result.manifest.row_count) == (0, 6)
    assert len(host.bodies) == 6
    assert failures(tmp_path) == {"ok": 6}


def test_what_the_host_did_not_keep_is_asked_for_anew_and_stays_charged(tmp_path, host):
    killed_in_flight(tmp_path, host, "true")
    del host.teacher.stored[:2]
    synth.run(tmp_path, folder=tmp_path / "run")
    assert len(host.bodies) == 8
    assert failures(tmp_path) == {"ok": 6, "lost": 2}


def test_without_it_nothing_is_kept_there_and_all_of_it_is_bought_again(tmp_path, host):
    killed_in_flight(tmp_path, host, "false")
    assert not any("store" in body or "synth" in body["metadata"] for body in host.bodies)
    synth.run(tmp_path, folder=tmp_path / "run")
    assert len(host.bodies) == 12
    assert failures(tmp_path) == {"ok": 6, "lost": 6}


def test_a_host_that_cannot_be_asked_stops_the_run_before_anything_is_bought_again(tmp_path, host):
    killed_in_flight(tmp_path, host, "true")
    text = (tmp_path / "recipe.yaml").read_text(encoding="utf-8").replace(host.url, "http://127.0.0.1:9/v1")
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(Fatal, match="cannot be asked for the replies that a crash lost"):
        synth.run(tmp_path, folder=tmp_path / "run")
    assert failures(tmp_path) == {}
