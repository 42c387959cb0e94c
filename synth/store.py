"""Attempts, raw replies and ledger in one SQLite file per run, written by one thread with group commit.

An attempt is journalled, with its reservation, before its request is sent; the raw reply is committed before anything
reads it; what it was and what it cost follows. Rows are only ever added. A crash can therefore cost at most the
attempts without a reply, and those are known: the next run marks them `lost` and leaves them charged.

Durability: WAL with synchronous=FULL, so a commit survives power loss (https://www.sqlite.org/pragma.html).
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import json
import os
import socket
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from synth.errors import FolderError
from synth.types import Outcome, Request, Usage

APPLICATION_ID = 0x53594E54
SCHEMA_VERSION = 2
GROUP_S = 0.005
ROWS_AT_ONCE = 64
"""Rows of one INSERT: each statement run gives the interpreter lock up and has to win it back."""
SEEN_BITS = 1 << 27
SEEN_PROBES = 4

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE attempt (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL, stage TEXT NOT NULL, unit TEXT NOT NULL, teacher TEXT NOT NULL,
    model TEXT NOT NULL, draw INTEGER NOT NULL, started_ns INTEGER NOT NULL, reserved_microusd INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX attempt_key ON attempt (key);
CREATE TABLE reply (
    attempt INTEGER PRIMARY KEY REFERENCES attempt, status INTEGER NOT NULL, headers TEXT NOT NULL,
    error TEXT NOT NULL, detail TEXT NOT NULL, written INTEGER NOT NULL, seconds REAL NOT NULL, raw BLOB NOT NULL
);
CREATE TABLE settled (
    attempt INTEGER PRIMARY KEY REFERENCES attempt, failure TEXT NOT NULL, cost_microusd INTEGER NOT NULL,
    prompt_tokens INTEGER, completion_tokens INTEGER, cached_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL
);
CREATE TABLE passed_over (
    stage TEXT NOT NULL, unit TEXT NOT NULL, run INTEGER NOT NULL, failure TEXT NOT NULL, detail TEXT NOT NULL,
    PRIMARY KEY (stage, unit)
) WITHOUT ROWID;
"""
COLUMNS = {"attempt": 10, "reply": 8, "settled": 7, "passed_over": 5, "meta": 2}
BLOBS = ("attempt", "reply")
"""Tables whose last column the writer compresses."""
FINDING = (
    "SELECT reply.attempt, status, headers, error, detail, written, seconds, raw, reserved_microusd, failure, teacher "
    "FROM attempt JOIN reply ON reply.attempt = attempt.id LEFT JOIN settled ON settled.attempt = attempt.id "
)


@dataclass(frozen=True, slots=True)
class Stored:
    """A kept reply and the attempt that brought it."""

    attempt: int
    outcome: Outcome
    reserved_microusd: int = 0
    failure: str | None = None
    """What it was found to be; None when that was not yet written down."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """What a group of attempts came to. Money in micro-dollars."""

    stage: str
    teacher: str
    failure: str
    attempts: int
    cost_microusd: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    reasoning_tokens: int


Pending = tuple[str, tuple[Any, ...], "asyncio.Future[None] | None"]
"""A row to add: its table, its values, and who waits until it is on disk."""


class Store:
    """One run's `run.db`. Reads happen on the caller's thread, writes in the writer thread."""

    def __init__(self, folder: Path) -> None:
        """Open or create the store of a run folder and lock the folder.

        Raises FolderError when another process holds it, or the file is not synth's or is damaged.
        """
        self.folder = folder
        self._path = folder / "run.db"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _lock(folder)
            _create(self._path)
        except (OSError, sqlite3.Error) as error:
            raise FolderError(f"{folder} cannot be a run folder ({error}); choose another with --out.") from error
        self._reader = connect(self._path)
        self._decompress = zstandard.ZstdDecompressor().decompress
        self._next_attempt = self._one("SELECT coalesce(max(id), 0) FROM attempt") + 1
        self._seen = _Seen(key for (key,) in self._reader.execute("SELECT key FROM attempt"))
        self.forgiven = int(self.meta("forgiven") or 0)
        """The last attempt whose failure no longer counts as final."""
        self._pending: deque[Pending] = deque()
        self._work = threading.Event()
        self._closing = False
        self._broken: FolderError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writer = threading.Thread(target=self._write, name="synth-store", daemon=True)
        self._writer.start()

    def find(self, key: bytes) -> Iterable[Stored]:
        """The kept replies to a request, newest first."""
        if not self._seen.has(key):
            return ()
        rows = self._reader.execute(f"{FINDING} WHERE key = ? ORDER BY attempt.id DESC", (key,))
        return [self._stored(row) for row in rows.fetchall()]

    def unsettled(self) -> list[tuple[str, Stored]]:
        """Replies whose cost was not yet worked out when the run stopped, each with its teacher's name."""
        rows = self._reader.execute(f"{FINDING} WHERE settled.attempt IS NULL")
        return [(row[-1], self._stored(row)) for row in rows.fetchall()]

    async def begin(self, request: Request, stage: str, unit: str, reserved_microusd: int) -> int:
        """Journal an attempt and its reservation; return its number once that is on disk."""
        attempt = self._next_attempt
        self._next_attempt += 1
        self._seen.add(request.key)
        await self._durable(
            "attempt",
            (
                *(attempt, request.key, stage, unit, request.teacher, request.model, request.draw),
                *(time.time_ns(), reserved_microusd, request.body),
            ),
        )
        return attempt

    async def keep(self, attempt: int, outcome: Outcome) -> None:
        """Commit what came back, whatever it was; return once it is on disk."""
        headers = json.dumps(dict(outcome.headers)) if outcome.headers else "{}"
        await self._durable(
            "reply",
            (
                *(attempt, outcome.status, headers, outcome.error, outcome.detail, outcome.written),
                *(outcome.seconds, outcome.body),
            ),
        )

    def settle(self, attempt: int, failure: str, usage: Usage, cost_microusd: int) -> None:
        """Record what an attempt was (`ok` or a failure class) and what it cost."""
        self._submit(
            "settled",
            (
                *(attempt, failure, cost_microusd, usage.prompt_tokens, usage.completion_tokens),
                *(usage.cached_tokens, usage.reasoning_tokens),
            ),
        )

    def release(self, attempt: int) -> None:
        """Close an attempt that was journalled and never sent."""
        self.settle(attempt, "unsent", Usage(), 0)

    def pass_over(self, stage: str, unit: str, failure: str, detail: str) -> None:
        """Journal that the gate went on without this unit; when it comes later, it comes after those let through."""
        self._submit("passed_over", (stage, unit, int(self.meta("runs") or 0), failure, detail))

    def passed_over(self, stage: str) -> dict[str, int]:
        """Units of a stage that an earlier run went on without, each with that run's number."""
        rows = self._reader.execute("SELECT unit, run FROM passed_over WHERE stage = ?", (stage,))
        return dict(rows.fetchall())

    def meta(self, name: str) -> str | None:
        """A note about the run; None when it was never made."""
        row = self._reader.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    async def note(self, name: str, value: str) -> None:
        """Make a note about the run."""
        await self._durable("meta", (name, value))

    async def forgive(self) -> None:
        """Let requests be asked again whose failures so far were taken for final."""
        self.forgiven = self._next_attempt - 1
        await self.note("forgiven", str(self.forgiven))

    async def open_run(self) -> int:
        """Count this run and mark attempts that an earlier one left open as `lost`: they may have been paid.

        Returns how many were lost.
        """
        lost = self._reader.execute(
            "SELECT id, reserved_microusd FROM attempt WHERE id NOT IN (SELECT attempt FROM reply) "
            "AND id NOT IN (SELECT attempt FROM settled)"
        ).fetchall()
        for attempt, reserved in lost:
            self.settle(attempt, "lost", Usage(), reserved)
        await self.note("runs", str(int(self.meta("runs") or 0) + 1))
        return len(lost)

    def spent_microusd(self) -> int:
        """Everything charged so far; replies not yet settled count with their reservation."""
        return self._one(
            "SELECT coalesce(sum(coalesce(cost_microusd, reserved_microusd)), 0) "
            "FROM attempt LEFT JOIN settled ON settled.attempt = attempt.id"
        )

    def ledger(self) -> list[Ledger]:
        """Attempts, money and tokens by stage, teacher and class."""
        return read_ledger(self._reader)

    def close(self) -> None:
        """Write what is queued, close the file and unlock the folder.

        Raises FolderError when something queued could not be written.
        """
        self._closing = True
        self._work.set()
        self._writer.join()
        self._reader.close()
        os.close(self._lock)
        if self._broken is not None:
            raise self._broken

    def _one(self, sql: str) -> int:
        return int(self._reader.execute(sql).fetchone()[0])

    def _stored(self, row: tuple[Any, ...]) -> Stored:
        attempt, status, headers, error, detail, written, seconds, raw, reserved, failure, _ = row
        body = self._decompress(raw)
        outcome = Outcome(status, body, json.loads(headers), error, detail, bool(written), seconds)
        return Stored(attempt, outcome, reserved, failure)

    def _submit(self, table: str, values: tuple[Any, ...], done: asyncio.Future[None] | None = None) -> None:
        self._pending.append((table, values, done))
        if not self._work.is_set():
            self._work.set()

    def _durable(self, table: str, values: tuple[Any, ...]) -> asyncio.Future[None]:
        """Resolves when the row is on disk."""
        if self._broken is not None:
            raise self._broken
        self._loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = self._loop.create_future()
        self._submit(table, values, done)
        return done

    def _write(self) -> None:
        connection = connect(self._path, write=True)
        compressor = zstandard.ZstdCompressor(level=3)
        while not (self._closing and not self._pending):
            self._work.wait()
            if not self._closing:
                time.sleep(GROUP_S)  # gathers what arrives meanwhile into one commit
            self._work.clear()
            batch = [self._pending.popleft() for _ in range(len(self._pending))]
            try:
                if self._broken is None and batch:  # never again on a disk that once refused
                    _commit(connection, compressor, batch)
            except sqlite3.Error as error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                self._broken = FolderError(f"{self._path} could not be written ({error}); free space or mend the disk.")
            self._acknowledge([done for _, _, done in batch if done is not None])
        connection.close()

    def _acknowledge(self, waiting: list[asyncio.Future[None]]) -> None:
        if not waiting or self._loop is None or self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(_resolve, waiting, self._broken)


class _Seen:
    """Which keys may have been journalled: a Bloom filter (Bloom, 1970) of 16 MB, one wrong yes in 100 at 10 million.

    It spares a look into the database for requests that were never made, and fills as the run goes.
    """

    def __init__(self, keys: Iterable[bytes]) -> None:
        self._bits = bytearray(SEEN_BITS // 8)
        for key in keys:
            self.add(key)

    def add(self, key: bytes) -> None:
        for place in _places(key):
            self._bits[place >> 3] |= 1 << (place & 7)

    def has(self, key: bytes) -> bool:
        return all(self._bits[place >> 3] & 1 << (place & 7) for place in _places(key))


def _places(key: bytes) -> list[int]:
    """Four places in the filter, from four parts of a SHA-256."""
    return [int.from_bytes(key[part : part + 4], "big") % SEEN_BITS for part in range(0, 4 * SEEN_PROBES, 4)]


def _commit(connection: sqlite3.Connection, compressor: zstandard.ZstdCompressor, batch: list[Pending]) -> None:
    """Add the rows of a batch in one transaction, many rows to a statement."""
    connection.execute("BEGIN IMMEDIATE")
    for table in COLUMNS:
        rows: list[tuple[Any, ...]] = [values for name, values, _ in batch if name == table]
        if rows and table in BLOBS:
            packed: Any = compressor.multi_compress_to_buffer([values[-1] or b" " for values in rows])
            rows = [(*values[:-1], packed[place].tobytes()) for place, values in enumerate(rows)]
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = rows[start : start + ROWS_AT_ONCE]
            connection.execute(_insert(table, len(some)), list(itertools.chain.from_iterable(some)))
    connection.execute("COMMIT")


def _insert(table: str, rows: int) -> str:
    verb = {"meta": "INSERT OR REPLACE", "passed_over": "INSERT OR IGNORE"}.get(table, "INSERT")
    one = f"({','.join('?' * COLUMNS[table])})"
    return f"{verb} INTO {table} VALUES {','.join([one] * rows)}"


def _resolve(waiting: list[asyncio.Future[None]], broken: FolderError | None) -> None:
    for future in waiting:
        if future.done():
            continue
        if broken is None:
            future.set_result(None)
        else:
            future.set_exception(broken)


def connect(path: Path, *, write: bool = False) -> sqlite3.Connection:
    """Open a run's database, read-only unless `write`.

    Raises FolderError when it is not a synth database, is from a newer synth, or is damaged.
    """
    if not path.exists():
        raise FolderError(f"There is no run in {path.parent}: run.db is missing.")
    try:
        mode = "rw" if write else "ro"
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA busy_timeout = 10000")
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if write:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_autocheckpoint = 4000")
    except sqlite3.DatabaseError as error:
        raise FolderError(f"{path} cannot be read as a database ({error}); move it away or restore it.") from error
    if application != APPLICATION_ID:
        connection.close()
        raise FolderError(f"{path} is not a synth run; choose another run folder with --out.")
    if version > SCHEMA_VERSION:
        connection.close()
        raise FolderError(f"{path} was written by a newer synth; update synth to go on with it.")
    if version < SCHEMA_VERSION:
        connection.close()
        raise FolderError(f"{path} was written by an older synth; choose another run folder with --out.")
    return connection


def read_ledger(connection: sqlite3.Connection) -> list[Ledger]:
    """Attempts, money and tokens by stage, teacher and class."""
    rows = connection.execute(
        "SELECT stage, teacher, coalesce(failure, 'open'), count(*), "
        "sum(coalesce(cost_microusd, reserved_microusd)), sum(coalesce(prompt_tokens, 0)), "
        "sum(coalesce(completion_tokens, 0)), sum(coalesce(cached_tokens, 0)), sum(coalesce(reasoning_tokens, 0)) "
        "FROM attempt LEFT JOIN settled ON settled.attempt = attempt.id GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )
    return [Ledger(*row) for row in rows]


def stored_requests(connection: sqlite3.Connection) -> Iterator[tuple[str, str, bytes]]:
    """Stage, unit and JSON body of every request that was sent, each once, oldest first."""
    decompress = zstandard.ZstdDecompressor().decompress
    rows = connection.execute(
        "SELECT stage, unit, body FROM attempt WHERE id IN (SELECT min(id) FROM attempt GROUP BY key) ORDER BY id"
    )
    for stage, unit, body in rows:
        yield stage, unit, decompress(body)


def _create(path: Path) -> None:
    if path.exists() and path.stat().st_size > 0:
        return
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA page_size = 8192")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(
        f"BEGIN; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; {SCHEMA} COMMIT;"
    )
    connection.close()


def _lock(folder: Path) -> int:
    """Take the folder's lock; the system gives it back when the process ends, however it ends."""
    handle = os.open(folder / "run.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(handle, 200).decode("utf-8", "replace").strip() or "another process"
        os.close(handle)
        raise FolderError(
            f"{folder} is in use by {holder}; wait for it, or choose another folder with --out."
        ) from None
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
    return handle
