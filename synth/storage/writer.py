"""The one thread that writes a run's database: rows gather on the event loop and are committed in groups.

When the disk refuses, nothing is written to the database again, least of all a failed fsync tried once more
(https://www.usenix.org/system/files/atc20-rebello.pdf): replies that still come go to the emergency file.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import zstandard

from synth.errors import StoreStopped
from synth.storage.database import BLOBS, COLUMNS, compressor, connect
from synth.storage.disk import free_bytes, megabytes, shortage
from synth.storage.emergency import KEPT, Emergency

GROUP_S = 0.02
"""Between the groups. The first row after a quiet time does not wait for others, nor do those that come one by one."""
ROWS_AT_ONCE = 32
"""Rows of one INSERT: each statement run gives the interpreter lock up and has to win it back. As few as let the
statements for every number of rows, of three tables, stay prepared (sqlite3 keeps 128)."""
WOKEN_AT_ONCE = 32
"""Of those whose rows are on disk: each may then work for a millisecond, and a commit has hundreds."""
LOOK_EVERY_S = 1.0
WAL_BYTES = 64 * 1024 * 1024
"""A write-ahead log beyond this is emptied as soon as no reader stands in the way."""
WAIT_FOR_READERS_MS = 200

Row = tuple[str, tuple[Any, ...], "asyncio.Future[None] | None"]
"""A row to add: its table, its values, and who waits until it is on disk."""


class Writer:
    """Commits rows in groups, off the loop. All methods belong to the loop's thread, but for those of the thread."""

    def __init__(self, path: Path, identity: str, commits: int, committed: Callable[[int], None]) -> None:
        """Start the thread; `committed` is told in it the number of commits so far, `commits` at first."""
        self.trouble: StoreStopped | None = None
        """Why nothing more may be begun."""
        self.on_trouble: Callable[[StoreStopped], None] | None = None
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._identity = identity
        self._commits = commits
        self._committed = committed
        self._rows: list[Row] = []
        self._scheduled = False
        self._handed_over = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._batches: queue.SimpleQueue[list[Row] | None] = queue.SimpleQueue()
        self._looked = 0.0
        self._connection: sqlite3.Connection | None = None
        self._emergency: Emergency | None = None
        self._look()
        self._thread = threading.Thread(target=self._guarded, name="synth-store", daemon=True)
        self._thread.start()

    def add(self, table: str, values: tuple[Any, ...]) -> None:
        """Have a row written with the next group."""
        self._rows.append((table, values, None))
        if not self._scheduled:
            with suppress(RuntimeError):  # without a loop the row waits for the next group, or for the end
                self._schedule(asyncio.get_running_loop())

    def durable(self, table: str, values: tuple[Any, ...]) -> asyncio.Future[None]:
        """Have a row written; the result resolves when it is on disk."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._rows.append((table, values, done))
        if not self._scheduled or loop is not self._loop:
            self._schedule(loop)
        return done

    def close(self, reader: sqlite3.Connection) -> None:
        """Write what has gathered, end the thread and close the file, as its reader does. An interrupt is heeded only
        then."""
        self._hand_over()
        self._batches.put(None)
        interrupt: KeyboardInterrupt | None = None
        while self._thread.is_alive():
            try:
                self._thread.join()
            except KeyboardInterrupt as error:
                interrupt = error
        # who may write and closes last empties the log and takes its two files away: not where the disk refused
        for connection in (reader, self._connection) if self._emergency is None else (self._connection, reader):
            if connection is not None:
                connection.close()
        if interrupt is not None:
            raise interrupt

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._scheduled = True
        loop.call_later(max(0.0, self._handed_over + GROUP_S - time.monotonic()), self._hand_over)

    def _hand_over(self) -> None:
        self._scheduled = False
        if len(self._rows) > 1:
            self._handed_over = time.monotonic()
        if self._rows:
            self._batches.put(self._rows)
            self._rows = []

    def _guarded(self) -> None:
        """The thread; whatever breaks it, nobody waits for ever."""
        self._current: list[Row] = []
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 (a bug here must stop the run, not hang it)
            self._stop(StoreStopped(f"{self._path} can be written no more ({type(error).__name__}: {error})."))
            batch: list[Row] | None = self._current
            while batch is not None:
                self._acknowledge([done for _, _, done in batch if done is not None], self.trouble)
                batch = self._batches.get()

    def _work(self) -> None:
        """One transaction for each batch; batches that came meanwhile make one."""
        self._connection = connection = connect(self._path, write=True)
        compress = compressor()
        while (batch := self._batches.get()) is not None:
            with suppress(queue.Empty):
                while True:
                    more = self._batches.get_nowait()
                    if more is None:
                        self._batches.put(None)
                        break
                    batch += more
            self._current = batch
            self._write(connection, compress, batch)
            if time.monotonic() - self._looked > LOOK_EVERY_S:
                self._look()
                self._empty_log(connection, WAL_BYTES)
        self._empty_log(connection, 0)

    def _write(self, connection: sqlite3.Connection, compress: zstandard.ZstdCompressor, batch: list[Row]) -> None:
        if self._emergency is None:
            try:
                _commit(connection, compress, batch, self._commits + 1)
            except sqlite3.Error as error:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                self._emergency = Emergency(self._path, self._identity)
                self._stop(self._refusal(error))
            else:
                self._commits += 1
                self._committed(self._commits)
                self._acknowledge([done for _, _, done in batch if done is not None], None)
                return
        kept = self._emergency.keep([(table, values) for table, values, _ in batch if table in KEPT])
        saved = [done for table, _, done in batch if done is not None and table in KEPT and kept]
        refused = [done for table, _, done in batch if done is not None and not (table in KEPT and kept)]
        self._acknowledge(saved, None)
        self._acknowledge(refused, self.trouble)

    def _refusal(self, error: sqlite3.Error) -> StoreStopped:
        where = self._emergency.path if self._emergency is not None else None
        later = (
            f"replies still on their way are kept in {where}, and the next run takes them in"
            if where
            else "no other place could be written either, so replies still on their way are lost"
        )
        with suppress(OSError):
            return StoreStopped(
                f"{self._path} could not be written ({error}; {megabytes(free_bytes(self._path.parent))} free); "
                f"{later}. Free space or mend the disk, and run again."
            )
        return StoreStopped(f"{self._path} could not be written ({error}); {later}. Mend the disk, and run again.")

    def _look(self) -> None:
        """Stop sending before the disk is full: what is in flight still has to find room."""
        self._looked = time.monotonic()
        with suppress(OSError):
            short = shortage(self._path.parent)
            if short and self.trouble is None:
                self._stop(
                    StoreStopped(f"Nothing more is sent, as {short}; what came is kept. Free space and run again.")
                )

    def stop(self, why: str) -> StoreStopped:
        """Let nothing more be begun, for a reason that others found. Returns it as an error to raise."""
        self._stop(StoreStopped(why))
        return StoreStopped(why)

    def _stop(self, trouble: StoreStopped) -> None:
        if self.trouble is None:
            self.trouble = trouble
            if self.on_trouble is not None and self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self.on_trouble, trouble)

    def _empty_log(self, connection: sqlite3.Connection, beyond_bytes: int) -> None:
        """Move what the log holds into the database, which overlapping readers had put off. The next look tries again
        when a reader stands in the way."""
        with suppress(OSError, sqlite3.Error):
            if self._emergency is None and self._log.stat().st_size > beyond_bytes:
                connection.execute(f"PRAGMA busy_timeout = {WAIT_FOR_READERS_MS}")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _acknowledge(self, waiting: list[asyncio.Future[None]], error: StoreStopped | None) -> None:
        if waiting and self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed, so nobody waits
                self._loop.call_soon_threadsafe(_resolve, waiting, error)


def _commit(connection: sqlite3.Connection, compress: zstandard.ZstdCompressor, batch: list[Row], number: int) -> None:
    """Add the rows of a batch in one transaction, many rows to a statement; it is the commit of that number."""
    connection.execute("BEGIN IMMEDIATE")
    for table in COLUMNS:
        rows: list[tuple[Any, ...]] = [values for name, values, _ in batch if name == table]
        if rows and table in BLOBS:
            packed: Any = compress.multi_compress_to_buffer([values[-1] or b" " for values in rows])
            # sqlite3 first asks of bytes whether they can be adapted, which takes longer than a copy
            rows = [(*values[:-1], bytearray(packed[place])) for place, values in enumerate(rows)]
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[start : start + ROWS_AT_ONCE]
            connection.execute(_insert(table, len(some)), list(itertools.chain.from_iterable(some)))
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('commits', ?)", (str(number),))
    connection.execute("COMMIT")


def _insert(table: str, rows: int) -> str:
    verb = "INSERT OR REPLACE" if table in ("meta", "passed_over") else "INSERT"
    one = f"({','.join('?' * COLUMNS[table])})"
    return f"{verb} INTO {table} VALUES {','.join([one] * rows)}"


def _resolve(waiting: list[asyncio.Future[None]], error: StoreStopped | None) -> None:
    """Wake those who wait, a few at a time: between them the loop sees to its sockets and clocks."""
    if len(waiting) > WOKEN_AT_ONCE:
        asyncio.get_running_loop().call_soon(_resolve, waiting[WOKEN_AT_ONCE:], error)
    for future in waiting[:WOKEN_AT_ONCE]:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error.with_traceback(None))
