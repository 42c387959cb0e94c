"""The one line that tells how far a run is, while it goes on."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from collections.abc import Callable, Coroutine, Iterable
from importlib import import_module
from typing import Any, TypeVar

from synth.admission.halt import Halt
from synth.language.text import visible
from synth.live.status import Status

T = TypeVar("T")
LOOK_EVERY_S = 0.25
PLAIN_EVERY_S = 30.0
"""Where a line cannot be written anew, as in the log of a job."""
Observe = Callable[[Callable[[], Status], Halt], None]
"""Told how to find out how far a run is, and of the switch that stops it, before its first request."""
Work = Callable[[Observe], Coroutine[Any, Any, T]]


class ProgressLine:
    """One line that is written anew: in a notebook's output and on a terminal; elsewhere one now and then."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._display = None if quiet else _notebook_display()
        self._handle: Any = None
        self._told = time.monotonic()

    def show(self, text: str) -> None:
        """Write the line as it is now."""
        if self._quiet:
            return
        if self._display is not None:
            self._in_notebook(text)
        elif sys.stderr.isatty():
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\x1b[K{text[:width]}")
            sys.stderr.flush()
        elif time.monotonic() - self._told >= PLAIN_EVERY_S:
            self._told = time.monotonic()
            sys.stderr.write(f"{text}\n")

    def end(self, text: str, *, is_problem: bool) -> None:
        """Write the line for the last time; where it was not shown, only what went wrong is said."""
        if self._quiet:
            return
        if self._display is not None:
            self._in_notebook(text)
        elif sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{text}\n")
        elif is_problem:
            sys.stderr.write(f"{text}\n")

    def _in_notebook(self, text: str) -> None:
        bundle = {"text/plain": text}
        if self._handle is None:
            self._handle = self._display(bundle, raw=True, display_id=True) if self._display else None
        else:
            self._handle.update(bundle, raw=True)


def _notebook_display() -> Any:
    """What shows something below a notebook's cell; None outside of notebooks."""
    found = sys.modules.get("IPython")
    shell = None if found is None else found.get_ipython()
    return import_module("IPython.display").display if hasattr(shell, "kernel") else None


def tell(notes: Iterable[str], *, quiet: bool) -> None:
    """Say on standard error what the user should know before anything is asked."""
    if not quiet:
        sys.stderr.writelines(f"{visible(note)}\n" for note in notes)


async def followed(work: Work[T], tell: Callable[[Status], None], begun: Callable[[Halt], None] | None = None) -> T:
    """Do the work on the loop that is running, and tell again and again how far it is."""
    following: list[asyncio.Task[None]] = []

    async def follow(status: Callable[[], Status]) -> None:
        while True:
            tell(status())
            await asyncio.sleep(LOOK_EVERY_S)

    def observe(status: Callable[[], Status], halt: Halt) -> None:
        following.append(asyncio.get_running_loop().create_task(follow(status)))
        if begun is not None:
            begun(halt)

    try:
        return await work(observe)
    finally:
        for one in following:
            one.cancel()
        await asyncio.gather(*following, return_exceptions=True)


async def shown(work: Work[T], ending: Callable[[T], Status], *, quiet: bool) -> T:
    """Do the work with its progress shown."""
    line = ProgressLine(quiet=quiet)
    result = await followed(work, lambda status: line.show(str(status)))
    last = ending(result)
    line.end(str(last), is_problem=bool(last.message))
    return result
