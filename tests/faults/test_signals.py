"""Signals to a real process: what is in flight ends and is kept, every further Ctrl-C is quicker, and a killed one holds
nothing."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from synth import api
from synth.storage.database import connect
from tests.forked import end

ROOT = Path(__file__).parent.parent.parent
MAIN = "from synth.cli import main; main()"


@pytest.fixture
def start(tmp_path, begin):
    """Start `synth run` in a process of its own."""
    processes = []

    def start(recipe: Path, code: str = MAIN, env: dict[str, str] | None = None, **how):
        if code == MAIN and not how:
            return begin("run", recipe, "--out", "run", env=env, stderr=subprocess.PIPE)
        process = subprocess.Popen(
            [sys.executable, "-c", code, "run", recipe, "--out", "run"],
            cwd=tmp_path,
            env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(ROOT), **(env or {})},
            text=True,
            **{"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, **how},
        )
        processes.append(process)
        return process

    yield start
    end(*processes)


def until(true, process) -> None:
    while not true():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)


def held(folder: Path) -> tuple[int, int]:
    """Replies that a run holds, and attempts without one."""
    connection = connect(folder / "run.db")
    replies = connection.execute("SELECT count(*) FROM reply WHERE status = 200 AND error = ''").fetchone()[0]
    open_ = connection.execute(
        "SELECT count(*) FROM attempt WHERE id NOT IN (SELECT attempt FROM reply) AND id NOT IN (SELECT attempt FROM settled)"
    ).fetchone()[0]
    connection.close()
    return replies, open_


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_fault_45_a_signal_ends_what_is_in_flight_and_keeps_it(number, write_recipe, server, start, tmp_path):
    book = f"slow1-{number.name}"
    recipe = write_recipe(server.url(book))
    process = start(recipe)
    until(lambda: server.arrived(book) >= 6, process)
    process.send_signal(number)
    assert process.wait(60) == 130
    said = process.stderr.read()
    assert "run again to go on" in said
    assert "Traceback" not in said
    paid = server.paid(book)
    assert sum(paid.values()) >= 5
    assert held(tmp_path / "run") == (sum(paid.values()), 0)
    assert max(paid.values()) == 1


def test_fault_45_a_second_ctrl_c_does_not_wait_for_the_replies(write_recipe, server, start, tmp_path):
    recipe = write_recipe(server.url("slow90-twice"))
    process = start(recipe)
    until(lambda: server.arrived("slow90-twice") >= 6, process)
    process.send_signal(signal.SIGINT)
    assert "Ctrl-C again" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(15) == 130, "the replies come after a minute and a half"
    assert "what had come is kept" in process.stderr.read()
    assert server.paid("slow90-twice").total() == 0, "it waited"
    replies, open_ = held(tmp_path / "run")
    assert replies == 0
    assert open_ == 6
    ledger = api.run(write_recipe("practice:faultless"), folder=tmp_path / "run").manifest.ledger
    assert sum(line.attempts for line in ledger if line.failure == "lost") == 6


def test_fault_45_a_third_ctrl_c_ends_the_process_even_when_the_disk_hangs(write_recipe, server, start, shim, tmp_path):
    env = {"LD_PRELOAD": str(shim), "SHIM_NAME": "run.db-wal", "SHIM_CALL": "sync", "SHIM_SLEEP_MS": "100000"}
    process = start(write_recipe(server.url("slow9-thrice")), env={**env, "SHIM_GATE": str(tmp_path / "hang")})
    until(lambda: server.arrived("slow9-thrice") >= 1, process)
    (tmp_path / "hang").touch()
    process.send_signal(signal.SIGINT)
    assert "Ctrl-C again" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130


def test_fault_45_what_is_in_flight_has_a_minute_to_end(write_recipe, server, start, tmp_path):
    recipe = write_recipe(server.url("slow9-drain"))
    process = start(recipe, f"from synth.console import live; live.DRAIN_S = 0.2; {MAIN}")
    until(lambda: server.arrived("slow9-drain") >= 6, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130
    assert server.paid("slow9-drain").total() == 0, "it waited"
    assert held(tmp_path / "run") == (0, 6)


def test_fault_45_a_run_goes_on_when_nobody_reads_what_it_says(write_recipe, server, start, tmp_path):
    recipe = write_recipe(server.url("pipe"))
    code = f"from synth.console import live; live.PLAIN_EVERY_S = 0.01; {MAIN}"
    process = start(recipe, code, stdout=subprocess.PIPE)
    process.stdout.close()
    process.stderr.close()
    assert process.wait(60) == 0
    process.stdout = process.stderr = None
    assert (tmp_path / "run" / "rows.jsonl").read_bytes().count(b"\n") > 5
    with sqlite3.connect(tmp_path / "run" / "run.db") as connection:
        assert connection.execute("SELECT count(*) FROM meta WHERE name = 'finished'").fetchone() == (1,)
    connection.close()


def test_fault_45_a_run_survives_the_end_of_its_terminal(write_recipe, server, start, tmp_path):
    recipe = write_recipe(server.url("slow1-pty"))
    ours, theirs = os.openpty()
    process = start(recipe, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    while server.arrived("slow1-pty") < 6:
        time.sleep(0.02)
    os.close(ours)
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 130
    assert held(tmp_path / "run") == (server.paid("slow1-pty").total(), 0)


def test_fault_46_a_process_that_was_stopped_beyond_its_deadlines_takes_none_of_them_for_missed(
    write_recipe, server, start, tmp_path
):
    book = "slow1-stopped"
    recipe = write_recipe(server.url(book), in_flight=12)
    path = recipe / "recipe.yaml"
    path.write_text(
        path.read_text()
        .replace("max_in_flight: 12", "max_in_flight: 12, deadline_s: 4")
        .replace("shopping, travel, cooking", "shopping")
    )
    process = start(recipe)
    until(lambda: server.arrived(book) >= 2, process)
    process.send_signal(signal.SIGSTOP)
    time.sleep(6)
    process.send_signal(signal.SIGCONT)
    assert process.wait(100) == 0, process.stderr.read()
    connection = connect(tmp_path / "run" / "run.db")
    failures = dict(connection.execute("SELECT failure, count(*) FROM settled GROUP BY failure"))
    late = connection.execute("SELECT count(*) FROM reply WHERE seconds > 4").fetchone()[0]
    connection.close()
    assert late >= 2, "the deadline of nobody came while the process was stopped"
    assert max(server.paid(book).values()) == 1, "an answer that lay there was bought again"
    assert failures.keys() <= {"ok", "rate", "ambiguous"}
    assert failures.get("ambiguous", 0) <= server.arrived(book) - server.paid(book).total() - failures.get("rate", 0)


def test_fault_51_a_second_process_hears_who_has_the_folder_and_the_next_takes_over_what_a_killed_one_held(
    write_recipe, server, start, synth, tmp_path
):
    book = "slow90-held"
    recipe = write_recipe(server.url(book))
    first = start(recipe)
    until(lambda: server.arrived(book) >= 6, first)
    second = start(write_recipe(server.url("held-second")))
    assert second.wait(60) == 5
    said = second.stderr.read()
    assert f"in use by process {first.pid} on {socket.gethostname()}" in said
    assert "Traceback" not in said
    assert server.arrived("held-second") == 0
    assert first.poll() is None, "the first goes on"
    first.kill()
    first.wait()
    lock = (tmp_path / "run" / "run.lock").read_text()
    assert lock.startswith(f"process {first.pid} on "), "its lock lies there still"
    third = synth("run", write_recipe(server.url("held-third")), "--out", "run")
    assert third.returncode == 0, third.stderr
    assert held(tmp_path / "run") == (server.paid("held-third").total(), 0)
