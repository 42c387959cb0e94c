"""A fault server with books of its own, and a synth process whose disk is in trouble."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.played import Plays
from tests.forked import end

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


class Books:
    """The server of tests/crash, in a process of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, HERE.parent / "crash" / "server.py"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.address = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def url(self, book: str = "book") -> str:
        return f"{self.address}/{book}/v1"

    def paid(self, book: str = "book") -> Counter[str]:
        """By the SHA-256 of the body, how often it was answered in full."""
        with urllib.request.urlopen(f"{self.address}/{book}") as reply:
            return Counter(json.load(reply))

    def arrived(self, book: str = "book") -> int:
        with urllib.request.urlopen(f"{self.address}/{book}/arrived") as reply:
            return sum(json.load(reply).values())

    def close(self) -> None:
        end(self._process)


@pytest.fixture(scope="session")
def server() -> Iterator[Books]:
    server = Books()
    yield server
    server.close()


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled disk_shim.c; skips where there is no compiler, or no LD_PRELOAD."""
    gcc = shutil.which("gcc")
    if gcc is None or not sys.platform.startswith("linux"):
        pytest.skip("disk faults need Linux and gcc")
    library = tmp_path_factory.mktemp("shim") / "disk_shim.so"
    subprocess.run([gcc, "-shared", "-fPIC", "-O1", "-o", library, HERE / "disk_shim.c", "-ldl"], check=True)
    return library


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plays:
    """Run a small recipe on a teacher that a function plays, without waiting before a request is sent again."""
    monkeypatch.setattr("synth.sending.BACKOFF_S", 0.0)
    return Plays(tmp_path, monkeypatch)
