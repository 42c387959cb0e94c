"""Checks of the user's own, called in a process apart: the loop never waits for one, and one that hangs is ended.

The process begins with the first sample that is looked at, and is replaced once it had to be ended. It is given copies,
so what a check changes in them is seen by nobody.
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from synth.admission.halt import Halt
from synth.boundary import Boundary, told
from synth.errors import Interrupted, Rejected
from synth.own import OwnValidator, class_of
from synth.types import Sample

CHECK_S = 10.0
"""How long a check may take over a sample."""
FIRST_S = 30.0
"""How long it may take over the first in its process, for which it may load a model."""
START_S = 120.0
"""How long the process may take to begin, in which the files are run."""
LONG_S = 4.0
"""After so long it is told."""
MOST_LOST = 2
"""When so many processes were lost with a check that never came to an end the run stops: each may take all its time."""
GRACE_S = 5.0
"""After so much more the process ends by itself, as when there is no synth left to end it."""
COMMAND = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from synth.apart import serve; serve()"
SIZE = 8
"""Bytes that tell the length of a message."""


class Apart:
    """The process in which some checks are called, for one sample after the other.

    Lives on the event loop.
    """

    def __init__(self, checks: Sequence[OwnValidator], folder: Path, boundary: Boundary, halt: Halt) -> None:
        self._checks, self._folder = checks, folder
        self._boundary, self._halt = boundary, halt
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._warm: set[int] = set()
        """Places of checks that have come to an end in this process."""
        self._proven: set[int] = set()
        """Of those that have in any."""
        self._lost: Counter[int] = Counter()
        """Of each, how many processes were lost with it."""
        self._under_way: tuple[str, float, float] | None = None
        """The kind of the check that is called, since when, and how long that may take."""
        self._is_broken = False
        """Whether it had to be replaced, or could not begin."""

    async def check(self, check: OwnValidator, sample: Sample) -> None:
        """Raise Rejected as the check does for a copy of the sample, and for whatever else became of it.

        Raises Fatal where the process was lost before and the run was stopped by a person, or for plug-ins that fail:
        what still waits is left undone, as it may be lost with each.
        """
        async with self._turn:
            if self._is_broken and (self._boundary.is_over or isinstance(self._halt.error, Interrupted)):
                self._halt.check()
            place = next(place for place, one in enumerate(self._checks) if one is check)
            verdict, *said = await self._verdict(check.kind, place, sample)
            is_lost = verdict == "failed" and self._process is None
        if verdict == "refused":
            raise Rejected(*said)
        if verdict == "failed":
            self._lost[place] += is_lost
            is_hopeless = place not in self._proven and self._lost[place] >= MOST_LOST
            raise self._boundary.failed(check.kind, *said, is_hopeless=is_hopeless)

    async def _verdict(self, kind: str, place: int, sample: Sample) -> list[str]:
        """What the process says, or what became of it."""
        if self._process is None:
            started = await self._begin(kind)
            if started[0] != "passed":
                await self._lose()
                return started
        limit_s = CHECK_S if place in self._warm else FIRST_S
        self._under_way = kind, time.monotonic(), limit_s
        said = await self._said(f"{kind}, given a sample,", limit_s, (place, limit_s, sample))
        self._under_way = None
        if self._process is not None:
            self._warm.add(place)
            self._proven.add(place)
        return said

    async def _begin(self, kind: str) -> list[str]:
        """Begin the process; what it says when its files have been run."""
        self._warm.clear()
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", COMMAND, json.dumps(sys.path)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the run
        )
        held = [(one.kind, one.source[1], one.model_dump_json(by_alias=True)) for one in self._checks]
        return await self._said(f"{kind}, whose file was run again,", START_S, (str(self._folder), held))

    async def _said(self, what: str, limit_s: float, message: Any) -> list[str]:
        """Send a message and give the answer; the process is over where none comes in time."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        raw = pickle.dumps(message)
        try:
            async with asyncio.timeout(limit_s):
                process.stdin.write(len(raw).to_bytes(SIZE) + raw)
                await process.stdin.drain()
                size = int.from_bytes(await process.stdout.readexactly(SIZE))
                return json.loads(await process.stdout.readexactly(size))
        except TimeoutError:
            await self._lose()
            return ["failed", f"{what} took longer than {limit_s:g} s and was ended", ""]
        except (OSError, EOFError, RuntimeError):  # uvloop's word for a process that has ended already
            code = await self._lose()
            return ["failed", f"{what} ended its process (exit code {code})", ""]
        except asyncio.CancelledError:
            await self.end()
            raise

    def slow(self) -> list[str]:
        """What takes long over a sample just now, a sentence."""
        if self._under_way is None:
            return []
        kind, since, limit_s = self._under_way
        took_s = time.monotonic() - since
        said = f"{kind} has taken {took_s:.0f} s over a sample, and is ended after {limit_s:g} s"
        return [said] if took_s >= LONG_S else []

    async def _lose(self) -> int | None:
        self._is_broken = True
        return await self.end()

    async def end(self) -> int | None:
        """End the process and what it started; its exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        assert process.stdin is not None
        process.stdin.close()
        with suppress(TimeoutError):  # one that died by itself says how
            async with asyncio.timeout(0.1):
                await process.wait()
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
        return await process.wait()


def serve() -> None:
    """Be the process: what comes on standard input is checked. What the checks print goes to standard error."""
    gone = suppress(BrokenPipeError)  # of whoever asked, before an answer
    with gone, os.fdopen(os.dup(0), "rb") as asked, os.fdopen(os.dup(1), "wb") as answers:
        with Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(2, 1)
        checks: list[OwnValidator] = []
        while (message := _next(asked)) is not None:
            if checks:
                place, limit_s, sample = message
                _end_after(limit_s + GRACE_S)
                said = _looked(checks, place, sample)
                _end_after(0)
            else:
                said = _held(checks, *message)
            raw = json.dumps(said).encode()
            answers.write(len(raw).to_bytes(SIZE) + raw)
            answers.flush()


def _next(asked: BinaryIO) -> Any:
    size = asked.read(SIZE)
    return pickle.loads(asked.read(int.from_bytes(size))) if size else None  # noqa: S301 (from synth itself)


def _held(checks: list[OwnValidator], folder: str, held: Sequence[tuple[str, bytes, str]]) -> list[str]:
    try:
        for kind, raw, options in held:
            checks.append(class_of(kind, Path(folder), OwnValidator, raw).model_validate_json(options, strict=True))
    except BaseException as error:  # noqa: BLE001 (the boundary around plug-in code)
        return ["failed", *told(error)]
    return ["passed"]


def _looked(checks: Sequence[OwnValidator], place: int, sample: Sample) -> list[str]:
    try:
        checks[place].check(sample)
    except Rejected as error:
        return ["refused", str(error.reason), str(error.detail)]
    except BaseException as error:  # noqa: BLE001 (the boundary around plug-in code)
        return ["failed", *told(error)]
    return ["passed"]


def _end_after(seconds: float) -> None:
    """Have the system end this process, whatever it does then; 0 takes that back."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)
