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
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import IO, Any, TextIO

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
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as error:
            code = self.start(words, folder, environment, out, error).wait()
            if code == -signal.SIGALRM:
                raise subprocess.TimeoutExpired(words, LIMIT_S)
            out.seek(0)
            error.seek(0)
            return subprocess.CompletedProcess(words, code, out.read(), error.read())

    def start(
        self,
        words: list[str],
        folder: Path,
        environment: Mapping[str, str],
        stdout: int | IO[Any],
        stderr: int | IO[Any],
    ) -> Started:
        """Start the command in a folder; what it prints goes where a `subprocess.Popen` would send it.

        It is killed when it takes too long.
        """
        wanted = json.dumps([words, str(folder), dict(environment)]).encode()
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.ExitStack() as opened:
            opened.callback(theirs.close)
            files, read = zip(*(_printed(where, opened) for where in (stdout, stderr)), strict=True)
            socket.send_fds(self._line, [wanted], [*files, theirs.fileno()])
        return Started(words, mine, *read)

    def close(self) -> None:
        self._line.close()
        self._server.wait()


def _printed(where: int | IO[Any], opened: contextlib.ExitStack) -> tuple[int, TextIO | None]:
    """The file that a process prints to, and what its test reads of it."""
    if where == subprocess.PIPE:
        mine, theirs = os.pipe()
        opened.callback(os.close, theirs)
        return theirs, os.fdopen(mine, encoding="utf-8")
    if where == subprocess.DEVNULL:
        return opened.enter_context(Path(os.devnull).open("w")).fileno(), None
    return where if isinstance(where, int) else where.fileno(), None


class Started:
    """A command that goes on beside the test: what is asked of a `subprocess.Popen` whose output is text."""

    def __init__(self, words: list[str], line: socket.socket, stdout: TextIO | None, stderr: TextIO | None) -> None:
        self._words, self._line = words, line
        self.pid, self.returncode = int(line.recv(16)), None
        self.stdout, self.stderr = stdout, stderr

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._line], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self._words, timeout or 0)
            self.returncode = int(self._line.recv(16))
            self._line.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str | None, str | None]:
        with ThreadPoolExecutor() as pool:
            read = [pool.submit(stream.read) if stream else None for stream in (self.stdout, self.stderr)]
            self.wait(timeout)
            out, error = (one and one.result() for one in read)
        for stream in (self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        return out, error

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def end(*processes: Started | subprocess.Popen[Any]) -> None:
    """Kill what goes on still, and close what goes to it and what comes of it."""
    for process in processes:
        process.kill()
        process.wait()
        for name in ("stdin", "stdout", "stderr"):
            if (stream := getattr(process, name, None)) is not None:
                stream.close()


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
                with contextlib.suppress(BrokenPipeError):
                    os.write(files[2], str(pid).encode())
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
    for name, number in (("stdout", 1), ("stderr", 2)):  # a pipe is not written to as the file before it was
        before = getattr(sys, name)
        setattr(
            sys, name, os.fdopen(number, "w", 1 if number == 2 else -1, before.encoding, before.errors, closefd=False)
        )
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["-c", *words]
