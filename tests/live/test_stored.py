"""A run that cannot be asked is told from its store, and one that was killed says so and when."""

from __future__ import annotations

import io
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import synth as library
from synth.backends.practice.faults import NO_FAULTS
from synth.console.live import snapshot_line
from synth.console.panel import panel
from synth.live.control import SOCKET
from synth.live.snapshot import Snapshot
from synth.live.stored import stored
from tests.served import served

ROOT = Path(__file__).parents[2]
PRICED = "price: {input_usd: 1.0, output_usd: 4.0}"
SLOW = NO_FAULTS.model_copy(update={"latency_s": 1.0})
IN_PYTHON = "import sys, synth; synth.run(sys.argv[1], folder='走行', quiet=True, budget_usd=2)"


@pytest.fixture
def in_python(write_recipe: Any, tmp_path: Path) -> Generator[subprocess.Popen[bytes]]:
    """A run in 走行 that a script does, and that has no socket, with something stored."""
    with served(SLOW) as base_url:
        recipe = write_recipe(base_url, endpoint=PRICED, in_flight=2)
        process = subprocess.Popen(
            [sys.executable, "-c", IN_PYTHON, str(recipe)], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        until = time.monotonic() + 60
        while _count(tmp_path / "走行" / "run.db", "reply") < 2:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)
        assert not (tmp_path / "走行" / SOCKET).exists()
        yield process
        process.kill()
        process.wait()


def _count(path: Path, table: str) -> int:
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


@pytest.fixture
def watching(begin: Any) -> Any:
    return partial(begin, "watch", "走行", stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_run_without_a_socket_is_watched_by_its_store_until_it_is_killed(
    in_python: subprocess.Popen[bytes], synth: Any, watching: Any
) -> None:
    watch = watching("--json")
    assert watch.stdout is not None
    first = Snapshot.model_validate_json(watch.stdout.readline())
    assert (first.recipe, first.state, first.rows, first.seeds_done) == ("small", "running", None, None)
    assert first.replies_per_s is not None
    assert (first.replies_per_s > 0, first.spent_microusd > 0, first.caps.usd) == (True, True, 2.0)
    assert first.last_commit is not None
    assert datetime.now(UTC) - datetime.fromisoformat(first.last_commit) < timedelta(minutes=2)
    assert [(one.name, one.kept) for one in first.stages][:1] in ([("write", None)], [("answer", None)])
    status = synth("status", "走行").stdout.splitlines()[0]
    assert re.fullmatch(r"small  running \(process \d+ on .+\), last written \d+ s ago, \d in flight", status)
    in_python.kill()
    in_python.wait()
    rest, _ = watch.communicate(timeout=60)
    assert Snapshot.model_validate_json(rest.splitlines()[-1]).state == "cut_off"
    assert watch.returncode == 0


def test_a_killed_run_says_so_with_the_time_of_its_last_commit(
    in_python: subprocess.Popen[bytes], write_recipe: Any, synth: Any, tmp_path: Path
) -> None:
    in_python.kill()
    in_python.wait()
    told = json.loads(synth("status", "走行", "--json").stdout)
    assert told["state"] == "cut_off"
    at = datetime.fromisoformat(told["last_commit"])
    assert 1 <= told["in_flight"] <= 4  # those that are about to be sent are on disk already
    status = synth("status", "走行").stdout.splitlines()[0]
    assert re.fullmatch(rf"small  cut off, last written \d+ s ago, {told['in_flight']} in flight then", status)
    watch = synth("watch", "走行")
    assert (watch.returncode, watch.stderr) == (
        5,
        f"Nothing runs in 走行: what ran there was cut off, last written at {at:%H:%M:%S on %Y-%m-%d} (UTC); "
        "`synth status 走行` says what is there.\n",
    )
    library.run(write_recipe("practice:", endpoint=PRICED), folder=tmp_path / "走行", accept_change=True)
    assert json.loads(synth("status", "走行", "--json").stdout)["state"] in ("complete", "partial")
    assert stored(tmp_path / "走行").state == "ended"


def test_the_panel_and_the_plain_line_leave_out_what_only_the_run_knows(write_recipe: Any, tmp_path: Path) -> None:
    library.run(write_recipe(endpoint=PRICED), folder=tmp_path / "run", limit=1)
    now = stored(tmp_path / "run")
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(panel(now, console))
    text = console.export_text()
    assert max(len(line) for line in text.splitlines()) <= 80
    line = snapshot_line(now)
    for words in ("0 in flight", "spent"):
        assert words in text
        assert words in line
    assert "read from its store" in text
    assert "replies/s" in line
    assert "last written" in line
    assert "answer:score" in text
    for words in ("accepted", "seeds ", "kept", "None"):
        assert words not in text
        assert words not in line


def test_plain_lines_end_with_what_the_killed_run_left(in_python: subprocess.Popen[bytes], watching: Any) -> None:
    watch = watching()
    assert watch.stdout is not None
    line = watch.stdout.readline()
    assert line.startswith("small: ")
    assert "in flight" in line
    in_python.kill()
    rest, _ = watch.communicate(timeout=60)
    assert "cut off" in rest


def test_a_reply_that_is_kept_and_not_yet_read_is_not_in_flight(write_recipe: Any, synth: Any, tmp_path: Path) -> None:
    library.run(write_recipe("practice:faultless"), folder=tmp_path / "走行", limit=1, quiet=True)
    with closing(sqlite3.connect(tmp_path / "走行" / "run.db")) as connection, connection:
        last = [number for (number,) in connection.execute("SELECT id FROM attempt ORDER BY id DESC LIMIT 3")]
        connection.executemany("DELETE FROM settled WHERE attempt = ?", [(number,) for number in last])
        connection.execute("DELETE FROM reply WHERE attempt = ?", last[:1])
    said = json.loads(synth("status", "走行", "--json").stdout)
    attempts = {line["failure"]: line["attempts"] for line in said["ledger"] if line["failure"] in ("open", "kept")}
    assert (said["in_flight"], attempts) == (1, {"open": 1, "kept": 2})
    assert "kept, not yet read" in synth("status", "走行").stdout
