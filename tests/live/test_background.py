"""A run in the background: followed, stopped, interrupted, and left when the process ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import synth
from synth.admission.halt import Halt
from synth.errors import Interrupted
from synth.live import showing
from synth.live.background import Running
from synth.live.status import Status
from synth.report.words import JAPANESE

ROOT = Path(__file__).parent.parent.parent


def test_a_run_in_the_background_gives_the_rows_of_one_that_is_waited_for(write_recipe, tmp_path):
    recipe = write_recipe("practice:faultless")
    running = synth.start(recipe, folder=tmp_path / "one")
    waited = running.wait(quiet=True)
    assert running.is_done
    assert running.status.state == "complete"
    synth.run(recipe, folder=tmp_path / "two", quiet=True)
    assert [row["id"] for row in waited.rows] == [row["id"] for row in synth.run(recipe, folder=tmp_path / "two").rows]
    assert (tmp_path / "one/rows.jsonl").read_bytes() == (tmp_path / "two/rows.jsonl").read_bytes()


def test_a_recipe_that_is_wrong_is_refused_at_once(write_recipe, tmp_path):
    with pytest.raises(synth.RecipeError, match="NAME is one of main"):
        synth.start(write_recipe(), teachers="other=practice:,m")


def test_an_error_of_the_run_reaches_who_waits_and_who_looks(write_recipe, tmp_path):
    (tmp_path / "file").write_text("")
    running = synth.start(write_recipe(), folder=tmp_path / "file")
    with pytest.raises(synth.FolderError, match="choose another one"):
        running.wait(quiet=True)
    assert running.status.state == "failed"
    assert "choose another one" in repr(running)
    assert "choose another one" in running._repr_html_()


def test_an_error_that_is_raised_is_not_also_the_line(monkeypatch):
    shown = []
    monkeypatch.setattr(showing, "_notebook_display", lambda: lambda bundle, **_: shown.append(bundle["text/plain"]))

    async def work(observe):
        observe(lambda: Status("作業", seeds_done=2, seeds=4), Halt())
        await asyncio.sleep(0.01)
        raise synth.FolderError("別の場所を選んでください")

    running = Running(work, Status("作業", words=JAPANESE), lambda made: Status("作業"))
    with pytest.raises(synth.FolderError, match="別の場所"):
        running.wait()
    assert shown
    assert not any("別の場所" in line for line in shown)
    assert running.status.seeds_done == 2  # and the line does not fall back to nothing


def held(stops):
    """Work that goes on until it is stopped, and counts how it ended."""

    async def work(observe):
        halt = Halt()
        observe(lambda: Status("作業", seeds_done=1, seeds=4), halt)
        try:
            await halt.sleep(60)
        except Interrupted:
            stops.append("stopped")
        except asyncio.CancelledError:
            stops.append("cancelled")
            raise
        return "made"

    return work


def test_stopping_ends_it_with_what_was_made():
    stops = []
    running = Running(held(stops), Status("作業"), lambda made: Status("作業", state="interrupted", rows=3))
    assert running.stop() == "made"
    assert stops == ["stopped"]
    assert running.status.rows == 3


def test_an_interrupt_of_the_waiting_leaves_the_run_alone(monkeypatch):
    stops = []
    running = Running(held(stops), Status("作業"), lambda made: Status("作業"))
    monkeypatch.setattr(running._ended, "wait", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        running.wait(quiet=True)
    monkeypatch.undo()
    assert not running.is_done
    assert running.stop() == "made"


def test_cancelling_says_that_it_was_stopped():
    stops = []
    running = Running(held(stops), Status("作業"), lambda made: Status("作業"))
    running._began.wait()
    running.cancel()
    assert stops == ["cancelled"]
    with pytest.raises(Interrupted, match="what had come is kept"):
        running.wait(quiet=True)


LEFT = """
import sys, synth, time
run = synth.start(sys.argv[1], folder=sys.argv[2])
while run.status.in_flight == 0 and not run.is_done:
    time.sleep(0.01)
print("left", flush=True)
"""


def left(recipe, folder):
    return subprocess.run(
        [sys.executable, "-c", LEFT, recipe, folder],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_process_that_ends_does_not_wait_long_for_a_run_that_it_left(write_recipe, tmp_path):
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        recipe = write_recipe(f"http://127.0.0.1:{silent.getsockname()[1]}/v1")
        finished = left(recipe, tmp_path / "run")
    assert (finished.stdout.strip(), finished.returncode) == ("left", 0)
    assert "Traceback" not in finished.stderr
    assert synth.run(write_recipe(), folder=tmp_path / "run", limit=1, accept_change=True, quiet=True).exit_code == 0


def test_what_is_in_flight_when_the_process_ends_is_kept(write_recipe, tmp_path):
    content = json.dumps({"instructions": ["一つ目の問題", "二つ目の問題"]})
    reply = json.dumps({"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(1)  # by then the process wants to end
        writer.write(head % len(reply) + reply)
        await writer.drain()
        writer.close()

    async def both():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            recipe = write_recipe(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", in_flight=2)
            return await asyncio.to_thread(left, recipe, tmp_path / "run")

    finished = asyncio.run(both())
    assert (finished.stdout.strip(), finished.returncode) == ("left", 0)
    with contextlib.closing(sqlite3.connect(tmp_path / "run" / "run.db")) as store:
        assert store.execute("SELECT count(*) FROM reply").fetchone()[0] == 2
    assert (tmp_path / "run" / "manifest.json").exists()


def test_an_error_in_a_notebook_is_one_sentence():
    assert synth.RecipeError("名前 \x1b[31m")._render_traceback_() == ["RecipeError: 名前 <U+001B>[31m"]


def test_signals_are_left_to_the_caller(write_recipe, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    synth.start(write_recipe("practice:faultless"), folder=tmp_path / "run", limit=1).wait(quiet=True)
    assert signal.getsignal(signal.SIGINT) is before
    assert not [one for one in threading.enumerate() if one.name == "synth-run"]
