"""The life of a vLLM process of this run's own, whichever way it is asked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, cast

from synth.admission.halt import Halt
from synth.admission.scheduler import beside
from synth.errors import EngineStopped, Fatal
from synth.patterns import lazy
from synth.protocol.endpoint import Endpoint
from synth.types import Outcome, Request

LOOK_S = 0.25
SAY_EVERY_S = 15.0
SILENT_S = 1800.0
"""A process that has printed nothing for so long is not loading any more: a download shows its progress."""
STOP_S = 30.0
DYING_S = 8.0
SOUND_S = 900.0
"""A process that has served for so long may die once more: what kills it is not what it is asked."""
LAST_LINES = 15
LAST_CHARS = 4000
FAULT = lazy(r"\b(?:error|fatal|died|killed)\b|[a-z]Error\b|Exception\b", re.IGNORECASE)
"""A line of its log that says what went wrong; libraries may say much more while they are unloaded."""


class Way(Protocol):
    """How a vLLM process is asked."""

    @property
    def command(self) -> Sequence[str]:
        """What starts it."""
        ...

    @property
    def speaks(self) -> bool:
        """Whether its standard output is for us; else it goes into the log."""
        ...

    async def is_ready(self) -> bool:
        """Whether it has come to serve."""
        ...

    async def send(self, request: Request) -> Outcome:
        """Obtain a reply from a process that is ready."""
        ...

    def began(self, requests: asyncio.WriteTransport) -> None:
        """A process has been started; `requests` is its standard input."""
        ...

    def heard(self, data: bytes) -> None:
        """It wrote something to its standard output."""
        ...

    def lost(self, detail: str) -> None:
        """It has ended: whoever waits for a reply is told."""
        ...


class Life:
    """A backend that waits while its process starts again."""

    def __init__(self, way: Way, endpoint: Endpoint, log: Path, halt: Halt, say: Callable[[str], None]) -> None:
        self.endpoint = endpoint
        """Where it is asked, as far as it has an address."""
        self._way = way
        self._model = endpoint.model
        self._deadline_s = endpoint.limits.deadline_s
        self._log = log
        self._halt = halt
        self._say = say
        self._process: _Process | None = None
        self._is_up = False
        self._began_at = 0
        """Where in the log the words of this process begin."""
        self._turned = asyncio.Event()
        """Set where there is nothing to wait for: the process is up, or will never be."""

    @asynccontextmanager
    async def lived(self) -> AsyncGenerator[Life]:
        """Start it, keep it alive beside the body, and end it.

        Raises EngineStopped when it does not come to serve, and what stops the run meanwhile.
        """
        self._log.unlink(missing_ok=True)
        self._halt.tell(lambda _: self._turned.set())
        try:
            await self._start()
            async with beside(self._kept()):
                yield self
        finally:
            await self._stop()

    async def send(self, request: Request) -> Outcome:
        """Obtain a reply once there is a process that can give one; what fell with a process is asked of the next."""
        try:
            async with asyncio.timeout(self._deadline_s):
                outcome = await self._sent(request)
                if (outcome.error or outcome.status >= 500) and await self._is_dying():
                    outcome = await self._sent(request)
                return outcome
        except TimeoutError:
            return Outcome(0, error="timeout", detail="no complete reply within the deadline", written=self._is_up)

    async def _sent(self, request: Request) -> Outcome:
        if not self._is_up:
            await self._turned.wait()
        if not self._is_up:
            return Outcome(0, error="connect", detail=f"vLLM does not serve {self._model} any more", written=False)
        return await self._way.send(request)

    async def _is_dying(self) -> bool:
        """Whether the process ends now: a server notices that its engine is dead some seconds after its requests do."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DYING_S):
                await self._ended()
        return not self._is_up

    async def _kept(self) -> None:
        """Start it again when it has died, and stop the run when it dies again before it has served for a while."""
        how = await self._ended()
        try:
            while True:
                self._say(f"vLLM {how} while it served {self._model}; starting it again.")
                await self._start()
                began = time.monotonic()
                how = await self._ended()
                if time.monotonic() - began < SOUND_S:
                    self._halt.throw(self._failed(f"{how}, a second time"))
                    return
        except Fatal as error:
            self._halt.throw(error)

    async def _ended(self) -> str:
        """Wait until the process ends; gives how."""
        assert self._process is not None
        await self._process.gone.wait()
        return self._process.ended()

    async def _start(self) -> None:
        """Start it and wait until it serves."""
        loop, began = asyncio.get_running_loop(), time.monotonic()
        with self._log.open("ab") as log:
            self._began_at = log.tell()
            transport, process = await loop.subprocess_exec(
                lambda: _Process(self._way, self._died),
                *self._way.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE if self._way.speaks else log,
                stderr=log,
                env=_environment(self._way.command),
                start_new_session=True,  # so that Ctrl-C is ours alone, and all it starts can be ended together
            )
        self._process = process
        self._way.began(cast("asyncio.WriteTransport", transport.get_pipe_transport(0)))
        said = grown = began
        written = -1
        self._say(f"Waiting for vLLM to load {self._model} (its log: {self._log}) ...")
        while not await self._way.is_ready():
            if process.gone.is_set():
                raise self._failed(process.ended())
            if (size := self._log.stat().st_size) != written:
                written, grown = size, time.monotonic()
            if time.monotonic() - grown > SILENT_S:
                raise self._failed(f"has said nothing for {SILENT_S / 60:.0f} minutes")
            if time.monotonic() - said > SAY_EVERY_S:
                said = time.monotonic()
                self._say(f"Waiting for vLLM to load {self._model}: {said - began:.0f} s ...")
            await self._halt.sleep(LOOK_S)
        self._say(f"vLLM serves {self._model} after {time.monotonic() - began:.0f} s.")
        self._is_up = True
        self._turned.set()

    def _died(self, detail: str) -> None:
        self._is_up = False
        if self._halt.error is None:
            self._turned.clear()
        self._way.lost(f"vLLM {detail}")

    async def _stop(self) -> None:
        """End the process and all that it started."""
        if self._process is None:
            return
        self._process.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self._process.gone.wait()
        self._process.kill()
        await self._process.gone.wait()

    def _failed(self, how: str) -> EngineStopped:
        text = self._log.read_bytes()[self._began_at :].decode("utf-8", "replace")
        lines = [line.rstrip()[:400] for line in text.splitlines() if line.strip()]
        last_fault = next((place for place in range(len(lines), 0, -1) if FAULT.search(lines[place - 1])), len(lines))
        said = "\n".join(lines[:last_fault])
        last = "\n".join(said[-LAST_CHARS:].splitlines()[-LAST_LINES:]) or "(nothing)"
        return EngineStopped(f"vLLM does not serve {self._model}: it {how}. Its log {self._log} says\n{last}")


class _Process(asyncio.SubprocessProtocol):
    """One process: what it says is handed on, and that it ended is told."""

    def __init__(self, way: Way, died: Callable[[str], None]) -> None:
        self.gone = asyncio.Event()
        self._way = way
        self._died = died
        self._transport: asyncio.SubprocessTransport | None = None
        self._code = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self._pid = self._transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002
        """Called by the loop."""
        self._way.heard(data)

    def process_exited(self) -> None:
        """Called by the loop; what it had still said comes after this."""
        assert self._transport is not None
        self._code = self._transport.get_returncode() or 0
        self.kill()
        self.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Called by the loop: it has ended, and nothing more comes."""
        assert self._transport is not None
        self._transport.close()
        self.gone.set()
        self._died(self.ended())

    def ended(self) -> str:
        """How it ended, for people."""
        number = -self._code if self._code < 0 else self._code - 128
        if number in set(signal.Signals):
            return f"was ended by {signal.Signals(number).name}"
        return f"ended with exit code {self._code}"

    def close(self) -> None:
        """Tell it that it is not needed any more."""
        assert self._transport is not None
        pipe = self._transport.get_pipe_transport(0)
        if pipe is not None:
            pipe.close()

    def kill(self) -> None:
        """End what is left of it and of what it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)


def _environment(command: Sequence[str]) -> dict[str, str]:
    """The environment, with the commands beside vLLM on the path: it may build kernels with them. A key for vLLM's own
    door stays out of it, as nobody but synth is let in here."""
    beside_it = [str(Path(one).parent) for one in command if Path(one).is_absolute() and Path(one).name == "vllm"]
    kept = {name: value for name, value in os.environ.items() if name != "VLLM_API_KEY"}
    return {**kept, "PATH": os.pathsep.join([*beside_it, os.environ.get("PATH", os.defpath)])}
