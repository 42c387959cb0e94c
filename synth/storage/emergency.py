"""Where replies go that had been paid for when the store could no longer be written.

A file of JSON lines beside the store, or in the temporary directory when the disk of the run folder takes nothing more.
The next run takes them in. Only what is known to be on its disk counts as kept.
"""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, cast

from synth.errors import FolderError
from synth.storage.database import BLOBS, COLUMNS, compressor, connect, readable

KEPT = ("reply", "settled", "passed_over")
FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
"""Never through a link that another user laid in the temporary directory."""
Row = tuple[str, tuple[Any, ...]]


def places(run_db: Path, identity: str) -> tuple[Path, Path]:
    """Where the emergency file of a run may lie, best first; by the run's name, as its folder may be moved to a larger
    disk."""
    return run_db.parent.resolve() / "run.emergency", Path(tempfile.gettempdir()) / f"synth-{identity}.emergency"


class Emergency:
    """Rows on their way to the emergency file of one run."""

    def __init__(self, run_db: Path, identity: str) -> None:
        """Find a place that can be written; `path` is None when there is none."""
        self._identity = identity
        self._left = list(places(run_db, identity))
        self.path: Path | None = None
        self.keep([])

    def keep(self, rows: Iterable[Row]) -> bool:
        """Write rows and sync them; says whether they are on a disk now."""
        lines = [_line(["synth", self._identity]), *(_line([table, *values]) for table, values in rows)]
        while self._left:
            self.path = self._left[0]
            try:
                handle = os.open(self.path, FLAGS, 0o600)
                with open(handle, "ab") as file:  # noqa: PTH123 (a handle)
                    file.write(b"".join(lines))
                    file.flush()
                    os.fsync(handle)
            except OSError:
                self._left.pop(0)  # a disk that refused once is not asked again
                continue
            return True
        self.path = None
        return False


def take_in(run_db: Path, identity: str) -> int:
    """Bring what earlier runs left in emergency files into the store, and say how many replies that were.

    The store is checked first, as it had been in trouble. Raises FolderError when it is damaged or still in trouble.
    """
    found = _files(run_db, identity)
    if not found:
        return 0
    rows = _left(run_db, identity)
    with readable(run_db):
        connection = connect(run_db, write=True)
        try:
            problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if problem != "ok":
                raise sqlite3.DatabaseError(problem)
            connection.execute("BEGIN IMMEDIATE")
            _add(connection, rows)
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise FolderError(
                f"{run_db} still cannot be written ({error}); the replies in {found[0]} wait for it."
            ) from error
        finally:
            connection.close()
    for path in found:
        path.unlink()
    return sum(table == "reply" for table, _ in rows)


def connect_whole(run_db: Path) -> sqlite3.Connection:
    """Open a run's database to read it with what emergency files hold of it. Nothing is written there: with any, it is
    a copy that is read, which SQLite keeps in a temporary file and takes away again.

    Raises FolderError as `connect` does, and when there is no room for the copy.
    """
    with ExitStack() as unless_whole, readable(run_db):
        reader = unless_whole.enter_context(closing(connect(run_db)))
        (identity,) = reader.execute("SELECT value FROM meta WHERE name = 'identity'").fetchone()
        found = _files(run_db, identity)
        if not found:
            unless_whole.pop_all()
            return reader
        rows = _left(run_db, identity)
        copy = sqlite3.connect("", check_same_thread=False)
        try:
            reader.backup(copy)
            with copy:
                _add(copy, rows)
        except sqlite3.OperationalError as error:
            copy.close()
            raise FolderError(
                f"{found[0]} holds replies of {run_db.parent} which find no room here ({error}); "
                "run in that folder first."
            ) from error
    return copy


def _files(run_db: Path, identity: str) -> list[Path]:
    return [path for path in places(run_db, identity) if path.exists() and path.stat().st_uid == os.getuid()]


def _left(run_db: Path, identity: str) -> list[Row]:
    """What the emergency files of a run hold. Raises FolderError when they are another run's."""
    return [row for path in _files(run_db, identity) for row in _rows(path, identity)]


def _add(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    for table, values in rows:
        marks = ",".join("?" * len(values))
        connection.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", values)  # noqa: S608 (our names)


def _rows(path: Path, identity: str) -> Iterator[Row]:
    pack = compressor().compress
    with path.open("rb") as file:
        for line in file:
            try:
                table, *values = cast("list[Any]", json.loads(line))
            except ValueError:
                continue  # torn when the disk ran full; the whole batch was then written elsewhere
            if table == "synth" and values != [identity]:
                raise FolderError(f"{path} holds replies of another run in this folder; restore that, or move it away.")
            if table in KEPT and len(values) == COLUMNS[table]:
                row = [_unpacked(value) for value in values]
                yield table, (*row[:-1], pack(row[-1] or b" ") if table in BLOBS else row[-1])


def _unpacked(value: Any) -> Any:
    return base64.b64decode(str(cast("list[Any]", value)[0])) if isinstance(value, list) else value


def _line(values: list[Any]) -> bytes:
    packed = [[base64.b64encode(value).decode()] if isinstance(value, bytes) else value for value in values]
    return json.dumps(packed).encode() + b"\n"
