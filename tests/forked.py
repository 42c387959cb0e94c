"""The synth command as a process of its own for each call, which need not import it: it is forked from one that has."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parent.parent
SERVER = "from tests.forked import serve; serve(); from synth.cli import main; main()"
IMPORTED = (
    "encodings.idna",
    "pyarrow.json",
    "pyarrow.parquet",
    "rich.live",
    "rich.table",
    "synth.api",
    "synth.backends.practice.server",
    "synth.console.telling",
    "synth.dedupe.index",
    "synth.live.background",
    "synth.live.events",
    "uvloop",
)
"""Nothing that looks at the environment while it is imported."""
AT_START = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_")
"""How variables begin that a process heeds when it starts, and a forked one not any more."""
LIMIT_S = 110


class Commands:
    """Where commands are forked from."""

    def __init__(self) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._environment = at_start(os.environ)
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-c", SERVER], stdin=theirs, env={**os.environ, "PYTHONPATH": str(ROOT)}
            )

    def can(self, environment: Mapping[str, str]) -> bool:
        """Whether nothing would be otherwise in a process that starts with this."""
        return at_start(environment) == self._environment

    def call(self, words: list[str], folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run the command in a folder, killed when it takes too long; gives what it printed and how it ended."""
        wanted = json.dumps([words, str(folder), dict(environment)]).encode()
        mine, theirs = socket.socketpair()
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as error, mine:
            with theirs:
                socket.send_fds(self._line, [wanted], [out.fileno(), error.fileno(), theirs.fileno()])
            code = int(mine.recv(8))
            if code == -signal.SIGALRM:
                raise subprocess.TimeoutExpired(words, LIMIT_S)
            out.seek(0)
            error.seek(0)
            return subprocess.CompletedProcess(words, code, out.read(), error.read())

    def close(self) -> None:
        self._line.close()
        self._server.wait()


def at_start(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that are heeded at the start, but for where modules are looked for: those of synth are there."""
    return {name: value for name, value in environment.items() if name.startswith(AT_START) and name != "PYTHONPATH"}


def serve() -> None:
    """Fork for every command that comes over the standard input; returns in the child, and exits when the input ends."""
    for name in IMPORTED:
        import_module(name)
    make_two()
    gc.freeze()
    line = socket.socket(fileno=os.dup(0))
    running: dict[int, tuple[int, int]] = {}
    while True:
        for ready in select.select([line, *running], [], [])[0]:
            if ready is line:
                wanted, files, _, _ = socket.recv_fds(line, 1 << 20, 3)
                if not wanted:
                    sys.exit()
                pid = os.fork()
                if pid == 0:
                    line.close()
                    become(*json.loads(wanted), files[:2])
                    for file in (*files, *running, *(reply for _, reply in running.values())):
                        os.close(file)
                    return
                for file in files[:2]:
                    os.close(file)
                running[os.pidfd_open(pid)] = pid, files[2]
            else:
                pid, reply = running.pop(ready)
                with contextlib.suppress(BrokenPipeError):  # a test that did not wait for it
                    os.write(reply, str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
                os.close(reply)
                os.close(ready)


def make_two() -> None:
    """Make a small dataset of each language: what a run imports and compiles is then there for all that are forked."""
    from synth import pipeline
    from synth.recipes.loading import load
    from synth.results.result import Options

    for recipe in ("quickstart-en", "quickstart-ja"):
        with tempfile.TemporaryDirectory() as folder:
            # a loop of uvloop's leaves what the end of a forked process trips over
            asyncio.run(pipeline.run(load(ROOT / "prompts" / recipe), Options(Path(folder) / "run", limit=4)))


def become(words: list[str], folder: str, environment: dict[str, str], printed: list[int]) -> None:
    """Be the process that a command is to find itself in."""
    signal.alarm(LIMIT_S)
    with Path(os.devnull).open() as nothing:
        for number, file in enumerate((nothing.fileno(), *printed)):
            os.dup2(file, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["-c", *words]
