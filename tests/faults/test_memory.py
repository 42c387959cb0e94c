"""Fault 54: the memory ends. Killed for it, or refused more of it, a run loses what a SIGKILL loses: nothing stored.

A control group with a limit needs rights over the machine that a test has not. The system's own answer to its limit is
SIGKILL, so one process watches the resident memory of another here, and kills it at a size; and RLIMIT_AS makes the
allocations themselves fail, which no control group does.
"""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import zstandard

from synth import api
from synth.storage.database import connect

ROOT = Path(__file__).parent.parent.parent
PAGE = resource.getpagesize()
MIB = 1 << 20

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


RUN = "from synth.cli import main; main()"
REFUSED = """
import resource, sys
from pathlib import Path
from synth.storage import store
replies, more_bytes = int(sys.argv.pop()), int(sys.argv.pop())
keep, kept = store.Store.keep, 0
async def counted(self, *arguments):
    global kept
    kept += 1
    if kept == replies:
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + more_bytes, size + more_bytes))
    await keep(self, *arguments)
store.Store.keep = counted
from synth.cli import main
main()
"""
"""After so many replies, only so much more memory is given."""


class Watched:
    """A `synth run` whose memory is watched."""

    def __init__(self, recipe: Path, folder: Path, *more: object, code: str = RUN) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, "run", recipe, "--out", folder, *map(str, more)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.most_resident = 0

    def end(self, killed_at_bytes: int = 1 << 60) -> int:
        """The exit status; the run is killed when so much of it is resident."""
        end = time.monotonic() + 100
        while self._process.poll() is None:
            resident = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * PAGE
            self.most_resident = max(self.most_resident, resident)
            if resident >= killed_at_bytes or time.monotonic() > end:
                self._process.send_signal(signal.SIGKILL)
                self._process.wait()
                assert time.monotonic() < end, "the run hangs"
            time.sleep(0.002)
        return self._process.returncode


@pytest.fixture
def recipe(write_recipe, server):
    def write(book: str) -> Path:
        return write_recipe(server.url(book), endpoint="price: {input_usd: 1, output_usd: 2}")

    return write


def stored(folder: Path) -> Counter[str]:
    unpack = zstandard.ZstdDecompressor().decompress
    connection = connect(folder / "run.db")
    rows = connection.execute("SELECT body FROM attempt JOIN reply ON attempt = id WHERE status = 200 AND error = ''")
    bodies = Counter(hashlib.sha256(unpack(body)).hexdigest() for (body,) in rows)
    connection.close()
    return bodies


def assert_as_after_a_kill(recipe: Path, run: Path, server, book: str, rows: bytes) -> None:
    """Nothing stored is lost, nothing but what was in flight is bought twice, and the rows are the same."""
    before = stored(run) if (run / "run.db").exists() else Counter[str]()
    result = api.run(recipe, folder=run)
    assert result.exit_code == 0, result.message
    paid, after = server.paid(book), stored(run)
    connection = connect(run / "run.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    assert before <= after
    assert set(after) == set(paid)
    assert paid.total() - len(paid) <= result.manifest.lost_attempts
    assert (run / "rows.jsonl").read_bytes() == rows


@pytest.fixture
def clean(recipe, tmp_path):
    run = Watched(recipe("memory-clean"), tmp_path / "clean")
    assert run.end() == 0
    return run, (tmp_path / "clean" / "rows.jsonl").read_bytes()


def test_fault_54_killed_for_its_memory_a_run_goes_on_as_after_any_kill(recipe, clean, server, tmp_path):
    whole, rows = clean
    killed = replies = 0
    for turn, share in enumerate((0.7, 0.8, 0.9, 0.97)):
        book, run = f"memory-{turn}", tmp_path / f"killed-{turn}"
        code = Watched(recipe(book), run).end(int(share * whole.most_resident))
        killed += code == -signal.SIGKILL
        replies += stored(run).total() if (run / "run.db").exists() else 0
        assert_as_after_a_kill(recipe(book), run, server, book, rows)
    assert killed >= 3
    assert replies > 0, "every kill came before the first reply"


def test_fault_54_refused_memory_a_run_ends_and_goes_on_as_after_any_kill(recipe, clean, server, tmp_path):
    _, rows = clean
    failed = 0
    for turn, (more_bytes, replies) in enumerate(((0, 1), (0, 15), (MIB // 4, 5), (MIB, 30), (4 * MIB, 2))):
        book, run = f"refused-{turn}", tmp_path / f"refused-{turn}"
        failed += Watched(recipe(book), run, more_bytes, replies, code=REFUSED).end() != 0
        assert_as_after_a_kill(recipe(book), run, server, book, rows)
    assert failed >= 3
