"""What a person may do to a run while it goes on, from its terminal or another one, and a socket to do it by.

    run.ctl     a Unix socket in the run folder while a run goes on; one line of JSON in, one line out

Only who may enter the folder can use it, and nothing that comes over it decides what a row is: a pause, a limit or a
budget change when requests are sent, and how many.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from synth.admission.halt import Halt
from synth.admission.scheduler import beside
from synth.errors import FolderError, Interrupted
from synth.live.progress import Progress
from synth.live.snapshot import ProblemNow, Snapshot, read_problems, snapshot
from synth.live.stored import last_commit
from synth.money.budget import usd
from synth.storage.lock import holder, was_cut_off

SOCKET = "run.ctl"
TELL = "tell"
COMMANDS = ("pause", "resume", "limit", "budget", "drain")
LOOK_EVERY_S = 2.0
ANSWER_S = 10.0
MOST_BYTES = 1 << 20


class Unreachable(FolderError):
    """A run goes on, and cannot be asked."""


class Refused(Exception):
    """A command that cannot be done; its text says why."""


class Steering:
    """A run in the hands of a person."""

    def __init__(self, name: str, folder: Path, progress: Progress, halt: Halt) -> None:
        self.folder = folder
        self._name = name
        self._progress = progress
        self._halt = halt
        self._paused = False
        self._problems: tuple[ProblemNow, ...] = ()
        self.done: Callable[[str, str, str], None] | None = None
        """Told of what a person did: the command, its value, and what was said of it."""

    def now(self) -> Snapshot:
        """How the run stands."""
        return snapshot(self._name, self._progress, self._halt, paused=self._paused, problems=self._problems)

    async def look(self) -> None:
        """Look for problems now and then, until cancelled."""
        while True:
            with suppress(FolderError):  # the run itself says what is wrong with its store
                self._problems = await asyncio.to_thread(read_problems, self.folder)
            await asyncio.sleep(LOOK_EVERY_S)

    async def do(self, command: str, value: str = "") -> str:
        """Do what is asked, and say what was done. Raises Refused when it cannot be."""
        if self._halt.error is not None:
            raise Refused(f"The run is ending already: {self._halt.error}")
        said = await self._do(command, value)
        if self.done is not None:
            self.done(command, value, said)
        return said

    async def _do(self, command: str, value: str) -> str:
        if command == "pause":
            return self._pause()
        if command == "resume":
            return self._resume()
        if command == "limit":
            return self._limit(_number(value))
        if command == "budget":
            return await self._budget(_number(value))
        if command == "drain":
            return self._drain()
        raise Refused(f"{command!r} is no command; there are {', '.join(COMMANDS)}.")

    def _pause(self) -> str:
        for teacher in self._progress.teachers.values():
            teacher.admission.pause()
            self._halt.tell(lambda _, admission=teacher.admission: admission.resume())
        self._paused = True
        flying = self._progress.in_flight()
        return f"Paused: nothing new is sent; what is in flight ({flying:,}) still ends, and batches go on."

    def _resume(self) -> str:
        for teacher in self._progress.teachers.values():
            teacher.admission.resume()
        self._paused = False
        return "Going on."

    def _limit(self, wanted: float) -> str:
        most = int(wanted)
        if most < 1:
            raise Refused("A limit is at least 1; `pause` sends nothing at all.")
        told: list[str] = []
        for name, teacher in self._progress.teachers.items():
            lanes = teacher.admission.lanes
            allowed = max(len(lanes), min(most, teacher.endpoint.limits.max_in_flight * len(lanes)))
            teacher.admission.limit_to(allowed)
            told.append(f"{name} {allowed:,}")
        return f"At most in flight: {', '.join(told)}."

    async def _budget(self, dollars: float) -> str:
        budget = self._progress.budget
        if budget.caps.usd is None:
            raise Refused("This run has no budget in dollars to change; run again with one.")
        used = budget.spent_microusd + budget.reserved_microusd
        if not 0 <= dollars <= 1e9 or round(dollars * 1e6) < used:
            raise Refused(f"{usd(used)} is spent or reserved already; give a larger sum.")
        await budget.raise_to(dollars)
        sum_now = usd(round(dollars * 1e6))
        return f"The budget of this run is {sum_now} now; running again goes by its own, or by one given then."

    def _drain(self) -> str:
        self._halt.throw(
            Interrupted("Drained as asked; run again to go on.", "求めにより停止しました。もう一度実行すると続きます。")
        )
        return f"Ending: what is in flight ({self._progress.in_flight():,}) still ends, then what is there is written."


def _number(text: str) -> float:
    try:
        number = float(text.replace(",", "").removeprefix("$"))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise Refused(f"{text!r} is not a number.")
    return number


@asynccontextmanager
async def reachable(steering: Steering) -> AsyncGenerator[str]:
    """Let other terminals steer the run; gives why they cannot, or an empty text."""

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, ValueError):  # who asked has gone, or said too much
            while line := await reader.readline():
                writer.write(orjson.dumps(await _answer(steering, line)) + b"\n")
                await writer.drain()
        writer.close()

    problem, server = "", None
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _bind(listening, steering.folder)
        server = await asyncio.start_unix_server(served, sock=listening, limit=MOST_BYTES)
    except OSError as error:
        listening.close()
        problem = f"`synth ctl` and `synth watch` cannot reach this run ({error})."
    try:
        async with beside(steering.look()):
            yield problem
    finally:
        if server is not None:
            server.close()
            (steering.folder / SOCKET).unlink(missing_ok=True)


def _bind(listening: socket.socket, folder: Path) -> None:
    with _address(folder) as address:
        Path(address).unlink(missing_ok=True)  # of a run that was killed: this one holds the folder
        listening.bind(address)
        Path(address).chmod(0o600)


async def _answer(steering: Steering, line: bytes) -> dict[str, Any]:
    try:
        asked = orjson.loads(line)
        command, value = str(asked["do"]), str(asked.get("value", ""))
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return {"refused": "That was no command."}
    if command == TELL:
        return {"now": steering.now().model_dump(mode="json")}
    try:
        return {"said": await steering.do(command, value)}
    except Refused as error:
        return {"refused": str(error)}


def _cut_off(folder: Path) -> str:
    if not was_cut_off(folder):
        return ""
    return f": what ran there was cut off, last written at {last_commit(folder):%H:%M:%S on %Y-%m-%d} (UTC)"


@contextmanager
def _address(folder: Path) -> Generator[str]:
    """A name for the folder's socket that is short enough, however deep the folder lies: Linux takes 108 bytes."""
    if not sys.platform.startswith("linux"):
        yield str(folder / SOCKET)
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}/{SOCKET}"
    finally:
        os.close(handle)


class Line:
    """A line to a run in another process."""

    def __init__(self, folder: Path) -> None:
        """Open it. Raises FolderError when nothing runs there, Unreachable when what runs cannot be asked."""
        running = holder(folder)
        if not running:
            raise FolderError(
                f"Nothing runs in {folder}{_cut_off(folder)}; `synth status {folder}` says what is there."
            )
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(ANSWER_S)
        try:
            with _address(folder) as address:
                self._socket.connect(address)
        except OSError as error:
            self._socket.close()
            raise Unreachable(f"{folder} is held by {running}, which cannot be reached ({error}).") from error
        self._file = self._socket.makefile("rb")

    def ask(self, command: str, value: str = "") -> dict[str, Any]:
        """Ask, and wait for the answer; empty when the run has ended. Raises FolderError when it does not answer."""
        try:
            self._socket.sendall(orjson.dumps({"do": command, "value": value}) + b"\n")
            line = self._file.readline()
        except TimeoutError as error:
            raise FolderError(f"The run did not answer in {ANSWER_S:g} seconds; try again.") from error
        except OSError:
            return {}
        return orjson.loads(line) if line.endswith(b"\n") else {}

    def close(self) -> None:
        """Close it."""
        self._file.close()
        self._socket.close()
