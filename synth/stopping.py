"""Ctrl-C in the command, from its first line on. Imports next to nothing, so that this line comes early."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

CODE = 130
IMPORTS = "<frozen importlib."


def heed() -> None:
    """From now on Ctrl-C ends the process with a word, unless it is ignored or heeded otherwise."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _heard)


@contextmanager
def doing(work: Callable[[FrameType | None], object]) -> Generator[None]:
    """In the block Ctrl-C does this, given where the program is; a second one ends the process."""
    global _work
    before, _work = _work, work
    try:
        yield
    finally:
        if _work is work:
            _work = before


def interrupt(frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt; but end the process while something is imported, which may take what is raised in its
    middle for an error of its own, or for none."""
    outer = frame
    while outer is not None:
        if outer.f_code.co_filename.startswith(IMPORTS):
            end(frame)
        outer = outer.f_back
    raise KeyboardInterrupt


def end(_frame: FrameType | None) -> None:
    """End the process with a word, whatever it does."""
    try:
        os.write(2, b"\nStopped.\n")
    finally:
        os._exit(CODE)


_work: Callable[[FrameType | None], object] = end


def _heard(_number: int, frame: FrameType | None) -> None:
    global _work
    work, _work = _work, end
    work(frame)
