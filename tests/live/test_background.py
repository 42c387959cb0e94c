"""A run in the background: followed, stopped, interrupted, and left when the process ends."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import synth
from synth.errors import Interrupted
from synth.live import background
from synth.live.background import ProgressLine, Running, Status
from synth.report.words import ENGLISH, JAPANESE

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
    monkeypatch.setattr(background, "_notebook_display", lambda: lambda bundle, **_: shown.append(bundle["text/plain"]))

    async def work(observe):
        observe(lambda: Status("作業", seeds_done=2, seeds=4), background.Halt())
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
        halt = background.Halt()
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


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_line_is_written_anew_on_a_terminal_and_elsewhere_only_trouble_is(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    line = ProgressLine()
    line.show("種 1")
    line.show("種 2")
    line.end("終わり", is_problem=False)
    assert terminal.getvalue() == "\r\x1b[K種 1\r\x1b[K種 2\r\x1b[K終わり\n"
    plain = io.StringIO()
    monkeypatch.setattr(sys, "stderr", plain)
    line = ProgressLine()
    line.show("1")
    line.end("fine", is_problem=False)
    line.end("wrong key", is_problem=True)
    assert plain.getvalue() == "wrong key\n"
    ProgressLine(quiet=True).end("nothing", is_problem=True)
    assert plain.getvalue() == "wrong key\n"


def test_a_notebook_gets_one_output_that_changes(monkeypatch):
    shown = []

    class Handle:
        def update(self, bundle, raw):
            shown.append(("update", bundle["text/plain"], raw))

    def display(bundle, *, raw, display_id):
        shown.append(("display", bundle["text/plain"], raw and display_id))
        return Handle()

    monkeypatch.setattr(background, "_notebook_display", lambda: display)
    line = ProgressLine()
    line.show("一")
    line.show("二")
    line.end("三", is_problem=False)
    assert shown == [("display", "一", True), ("update", "二", True), ("update", "三", True)]


def test_a_terminal_ipython_is_no_notebook(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: object()))
    assert background._notebook_display() is None


def test_a_status_is_one_line_and_a_small_page_in_the_recipes_language():
    status = Status("名前\x1b[31m", seeds_done=3, seeds=12, rows=2, rejected={"refusal": 1}, words=JAPANESE, left_s=200)
    assert str(status) == "名前<U+001B>[31m：シード 3/12、2 行、不採用 1、送信中 0、$0.0000、0 秒、残り約 3 分"
    assert str(replace(status, words=ENGLISH)) == (
        "名前<U+001B>[31m: 3 of 12 seeds, 2 rows, 1 refused, 0 in flight, $0.0000, 0 s, about 3 min left"
    )
    one = replace(status, seeds_done=0, seeds=1, rows=1, words=ENGLISH, left_s=None)
    assert str(one) == "名前<U+001B>[31m: 0 of 1 seed, 1 row, 1 refused, 0 in flight, $0.0000, 0 s"
    assert "0 of ? seeds, 1 row" in str(replace(one, seeds=None))
    assert "シード 0/1、1 行" in str(replace(one, words=JAPANESE))
    ended = replace(status, state="interrupted", message="止めました。", of="prompts")
    assert str(ended) == "名前<U+001B>[31m 中断：プロンプト 3/12、2 行、不採用 1、$0.0000、0 秒。止めました。"
    page = status._repr_html_()
    assert 'lang="ja"' in page
    assert "実行中" in page
    assert f"<td>{JAPANESE.reasons['refusal']}</td><td>1</td>" in page
    assert "width:25.0%" in page
    assert "\x1b" not in page


def test_an_error_in_a_notebook_is_one_sentence():
    assert synth.RecipeError("名前 \x1b[31m")._render_traceback_() == ["RecipeError: 名前 <U+001B>[31m"]


def test_signals_are_left_to_the_caller(write_recipe, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    synth.start(write_recipe("practice:faultless"), folder=tmp_path / "run", limit=1).wait(quiet=True)
    assert signal.getsignal(signal.SIGINT) is before
    assert not [one for one in threading.enumerate() if one.name == "synth-run"]


def test_the_line_says_which_server_is_gone_and_how_long_it_is_waited_for():
    gone = {"先生": (65.0, 21_535.0)}
    told = str(Status("作業", silent=gone))
    assert "先生 has been out of reach for 65 s and is waited for 6.0 h more" in told
    assert "先生 に 65 秒 つながらず、あと 6.0 時間 待ちます" in str(Status("作業", silent=gone, words=JAPANESE))
