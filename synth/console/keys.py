"""Keys that steer a run from its own terminal."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
import tty
from collections.abc import Generator
from contextlib import contextmanager

from synth.console.screen import ERR
from synth.live.control import Refused, Steering

KEYS = {
    "running": "p pause   l limit   b budget   d drain   Ctrl-C stop",
    "paused": "p go on   l limit   b budget   d drain   Ctrl-C stop",
    "ending": "Ctrl-C stop at once",
}
"""What may be typed, by the state of the run."""
ASKED = {"l": ("limit", "at most in flight"), "b": ("budget", "budget in dollars")}
ENTER, ESCAPE, ERASE = "\r\n", "\x1b", "\x7f\x08"


class Keys:
    """What was typed so far, and what the line below the panel says."""

    def __init__(self, steering: Steering) -> None:
        self._steering = steering
        self._asking: str = ""
        self._typed = ""
        self._said = ""
        self._said_while = ""

    @property
    def line(self) -> str:
        """What may be typed, what is being typed, or what came of it."""
        if self._asking:
            return f"{ASKED[self._asking][1]}: {self._typed}_   (Enter, or Esc)"
        state = self._steering.now().state
        said = self._said if self._said_while == state else ""
        return f"{said}\n{KEYS[state]}".strip()

    async def press(self, key: str) -> None:
        """Heed one key."""
        if self._asking:
            await self._answer(key)
        elif key == "p":
            await self._do("resume" if self._steering.now().state == "paused" else "pause")
        elif key in ("d", "q"):
            await self._do("drain")
        elif key in ASKED:
            self._asking, self._typed, self._said = key, "", ""

    async def _answer(self, key: str) -> None:
        if key in ENTER:
            command, self._asking = ASKED[self._asking][0], ""
            if self._typed:
                await self._do(command, self._typed)
        elif key == ESCAPE:
            self._asking = ""
        elif key in ERASE:
            self._typed = self._typed[:-1]
        elif key.isdigit() or key == ".":
            self._typed += key

    async def _do(self, command: str, value: str = "") -> None:
        try:
            self._said = await self._steering.do(command, value)
        except Refused as error:
            self._said = str(error)
        self._said_while = self._steering.now().state


@contextmanager
def listening(keys: Keys) -> Generator[bool]:
    """Heed keys while the block runs, where a person sits before it; gives whether one does.

    A process in the background must not touch the terminal: it would be stopped.
    """
    if not (ERR.is_screen and sys.stdin.isatty() and _in_front()):
        yield False
        return
    loop, tasks, handle = asyncio.get_running_loop(), set[asyncio.Task[None]](), sys.stdin.fileno()
    line: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        if _in_front():
            for key in os.read(handle, 100).decode("utf-8", "ignore"):
                line.put_nowait(key)

    async def heed() -> None:
        while True:
            await keys.press(await line.get())

    before = termios.tcgetattr(handle)
    tty.setcbreak(handle)
    loop.add_reader(handle, read)
    tasks.add(loop.create_task(heed()))
    try:
        yield True
    finally:
        loop.remove_reader(handle)
        for task in tasks:
            task.cancel()
        termios.tcsetattr(handle, termios.TCSADRAIN, before)


def _in_front() -> bool:
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:
        return False
