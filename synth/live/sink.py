"""Where events go: whole lines to a file, a pipe or standard output."""

from __future__ import annotations

import os
import queue
import select
import stat
import sys
import threading
from pathlib import Path

from synth.errors import RecipeError

STDOUT = "-"
MOST_WAITING = 1000
"""Lines; a reader that stands still for so long gets no more."""
CLOSING_S = 5.0
"""How long a slow reader is waited for at the end."""
TAIL_BYTES = 1 << 20
BEGINS = b'{"v":'


class Sink:
    """Lines written by a thread of their own: a reader that stands still, or goes, holds nothing up."""

    def __init__(self, where: str) -> None:
        """Open a path for appending, or standard output for `-`. What a kill left of a last line is cut off first.

        Raises RecipeError when it cannot be written.
        """
        self.problem = ""
        """Why nothing more is written; a sentence, or empty. A reader that has gone is none."""
        self._where = where
        self._handle = _standard_output() if where == STDOUT else _opened(where)
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._stopped = False
        self._thread = threading.Thread(target=self._write, name="synth-events", daemon=True)
        self._thread.start()

    def add(self, line: str) -> None:
        """Have a line written."""
        if self._lines.qsize() < MOST_WAITING:
            self._lines.put(line.encode() + b"\n")
        else:
            self._left_out()

    def close(self) -> None:
        """Write what is left, and close."""
        self._lines.put(None)
        self._thread.join(CLOSING_S)
        if self._thread.is_alive():
            self._left_out()
        elif self._where != STDOUT:
            os.close(self._handle)

    def _left_out(self) -> None:
        self.problem = self.problem or f"Who reads the events from {self._where} stands still; some were left out."

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            while line and not self._stopped:
                try:
                    line = line[os.write(self._handle, line) :]
                except BlockingIOError:  # a pipe that others made so
                    select.select((), (self._handle,), ())
                except BrokenPipeError:
                    self._stopped = True
                except OSError as error:
                    self._stopped = True
                    self.problem = f"Events could not be written to {self._where} any more ({error.strerror})."


def _standard_output() -> int:
    if not sys.stdout:  # Python's word for a closed one; its number may be the database's by now
        raise RecipeError("Events cannot be printed, as standard output is closed; give --events a path.")
    return sys.stdout.fileno()


def _opened(where: str) -> int:
    try:
        # a pipe that nobody reads is an error at once, and not a run that waits for ever
        handle = os.open(where, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
    except OSError as error:
        why = "nobody reads from this pipe yet" if _is_pipe(where) else str(error.strerror)
        raise RecipeError(
            f"Events cannot be written to {where} ({why}); give another path, or - for standard output."
        ) from error
    os.set_blocking(handle, True)
    if stat.S_ISREG(os.fstat(handle).st_mode):
        _mend(Path(where), handle)
    return handle


def _is_pipe(where: str) -> bool:
    try:
        return stat.S_ISFIFO(Path(where).stat().st_mode)
    except OSError:
        return False


def _mend(path: Path, handle: int) -> None:
    """Cut off half a line of ours at a file's end; what is somebody else's gets its end of line. Nothing of a file that
    may only be written to."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            tail = file.read().rpartition(b"\n")[2]
    except PermissionError:
        return
    if tail and tail[: len(BEGINS)] == BEGINS[: len(tail)]:
        os.ftruncate(handle, size - len(tail))
    elif tail:
        os.write(handle, b"\n")
