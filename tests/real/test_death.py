"""A real vLLM that is killed in mid-run: the run goes on, or ends in a sentence, and nothing is bought twice."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

import synth
from tests.real.exercises import recipe
from tests.real.started import NEEDS_VLLM

pytestmark = [*NEEDS_VLLM, pytest.mark.usefixtures("surroundings")]
ROOT = Path(__file__).parents[2]
ENGINE, SERVER, PIPED = "VLLM::EngineCore", "vllm serve", "child.py"


def started(folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "said").open("wb") as said:
        return subprocess.Popen(
            [sys.executable, "-c", "from synth.cli import main; main()", "run", "recipe", "--out", "run"],
            cwd=folder,
            env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(ROOT)},
            stdout=said,
            stderr=said,
        )


def below(pid: int) -> list[int]:
    """All processes that a process has started, and those that they have."""
    found = []
    for one in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, one.read_text().split()):
            found += [child, *below(child)]
    return found


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def replies(run: Path) -> dict[int, bytes]:
    """The attempts that brought an answer, with their requests' keys."""
    try:
        with closing(sqlite3.connect(f"{(run / 'run.db').as_uri()}?mode=ro", uri=True)) as database:
            asked = "SELECT attempt.id, key FROM attempt JOIN reply ON reply.attempt = attempt.id WHERE status = 200"
            return dict(database.execute(asked).fetchall())
    except sqlite3.OperationalError:
        return {}


def killed(process: subprocess.Popen[bytes], run: Path, name: str, after: int) -> list[int]:
    """Kill what is called so of the run's vLLM once so many replies are stored; gives all its processes."""
    while len(replies(run)) < after:
        assert process.poll() is None, (run.parent / "said").read_text(encoding="utf-8")
        time.sleep(0.01)
    every = below(process.pid)
    [victim] = [pid for pid in every if name in command(pid) and "keeper.py" not in command(pid)]
    os.kill(victim, signal.SIGKILL)
    return every


@pytest.mark.parametrize(("way", "victims"), [("serve:", (ENGINE, SERVER)), ("vllm:", (PIPED, ENGINE))])
def test_vllm_killed_twice_in_mid_run_ends_it_in_a_sentence_and_another_server_makes_the_same_rows(
    way, victims, tmp_path, models, exercises, rows, servers
):
    recipe(tmp_path / "recipe", exercises, f"{way}{models / 'teacher'}", in_flight=2)
    run, process = tmp_path / "run", started(tmp_path)
    try:
        ours = [pid for place, name in enumerate(victims) for pid in killed(process, run, name, 8 + 12 * place)]
        code = process.wait(120)
    finally:
        process.kill()
    said = (tmp_path / "said").read_text(encoding="utf-8")
    assert (code, said.count("while it served tiny; starting it again.")) == (7, 1), said
    told = said[said.index("vLLM does not serve tiny: ") :]
    assert "a second time. Its log run/vllm-main.log says\n" in told
    assert "nanobind" not in told
    assert {state(pid) for pid in ours} <= {"", "Z"}
    before = replies(run)
    assert len(before) >= 20
    recipe(tmp_path / "recipe", exercises, servers["taught"], own=False)
    result = synth.run(tmp_path / "recipe", folder=run)
    assert (result.exit_code, result.message) == (0, "")
    assert (run / "rows.jsonl").read_bytes() == rows
    after = replies(run)
    assert before.items() <= after.items()
    assert set(Counter(after.values()).values()) == {1}
    assert len(after) == len(exercises)
