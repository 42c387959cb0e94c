"""One folder, one process: the lock of a run folder, and what its file remembers of the store."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from pathlib import Path

from synth.errors import FolderError
from synth.storage import disk

CLOSED = "closed\n"


class Lock:
    """A folder's lock, given back by the system when the process ends, however it ends.

    Its file also says which store was written and how often, so that commits which are gone later are missed.
    """

    def __init__(self, folder: Path) -> None:
        """Take the lock. Raises FolderError when another process has it, the folder cannot be written, or where locks
        cannot be trusted."""
        kind = disk.filesystem(folder)
        if disk.is_networked(kind):
            raise FolderError(
                f"{folder} is on a network filesystem ({kind}), where a database is not safe from another machine's "
                "writes; choose a run folder on a local disk, and copy it when the run is done."
            )
        try:
            self._handle = os.open(folder / "run.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise FolderError(
                f"{folder} cannot be a run folder ({error}); mend that, or choose another one."
            ) from error
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            by = _first_line(self._handle)
            os.close(self._handle)
            raise FolderError(f"{folder} is in use by {by}; wait for it, or choose another run folder.") from None
        self._holder = f"process {os.getpid()} on {socket.gethostname()}"
        self._before = os.pread(self._handle, 1000, 0).decode("utf-8", "replace").splitlines()

    def store(self) -> tuple[str, int]:
        """The store that the last holder wrote and the number of commits it saw; empty and 0 when that is not known."""
        words = self._before[1].split() if len(self._before) > 1 else []
        whole = len(words) == 4 and words[::2] == ["store", "commits"] and words[3].isdigit()  # power may have failed
        return (words[1], int(words[3])) if whole else ("", 0)

    def mark(self, identity: str, commits: int) -> None:
        """Note who holds the lock, and how many commits the store has."""
        line = f"{self._holder}\nstore {identity} commits {commits}\n"
        with contextlib.suppress(OSError):  # a full disk shows elsewhere
            os.ftruncate(self._handle, os.pwrite(self._handle, line.encode(), 0))

    def note_end(self) -> None:
        """Note that the store was closed and not cut off."""
        with contextlib.suppress(OSError):
            os.pwrite(self._handle, CLOSED.encode(), os.fstat(self._handle).st_size)

    def release(self) -> None:
        """Give the lock back."""
        os.close(self._handle)


def was_cut_off(folder: Path) -> bool:
    """Whether nobody holds a run folder and who held it last never came to its end."""
    try:
        text = (folder / "run.lock").read_text("utf-8", "replace")
    except OSError:
        return False
    return "\nstore " in text and not text.endswith(CLOSED) and not holder(folder)


def holder(folder: Path) -> str:
    """Who holds a run folder; empty when nobody does. Raises FolderError when that cannot be seen."""
    try:
        handle = os.open(folder / "run.lock", os.O_RDONLY)
    except PermissionError as error:
        raise FolderError(f"Whether something runs in {folder} cannot be seen ({error}); ask whose it is.") from error
    except OSError:
        return ""
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _first_line(handle)
    finally:
        os.close(handle)
    return ""


def _first_line(handle: int) -> str:
    return os.pread(handle, 1000, 0).decode("utf-8", "replace").partition("\n")[0] or "another process"
