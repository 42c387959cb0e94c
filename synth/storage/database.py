"""The file `run.db`: its schema, how it is made and opened, and what others may read from it."""

from __future__ import annotations

import os
import secrets
import sqlite3
import sys
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import zstandard

from synth.errors import FolderError
from synth.types import Spend

APPLICATION_ID = 0x53594E54
SCHEMA_VERSION = 6
PAGE_BYTES = 8192
CHECKPOINT_PAGES = 4000

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE attempt (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL, stage TEXT NOT NULL, unit TEXT NOT NULL, teacher TEXT NOT NULL,
    model TEXT NOT NULL, draw INTEGER NOT NULL, started_ns INTEGER NOT NULL, reserved_microusd INTEGER NOT NULL,
    reserved_tokens INTEGER NOT NULL, price INTEGER, body BLOB NOT NULL
);
CREATE INDEX attempt_key ON attempt (key);
CREATE TABLE reply (
    attempt INTEGER PRIMARY KEY REFERENCES attempt, status INTEGER NOT NULL, headers TEXT NOT NULL,
    error TEXT NOT NULL, detail TEXT NOT NULL, written INTEGER NOT NULL, seconds REAL NOT NULL, raw BLOB NOT NULL
);
CREATE TABLE settled (
    attempt INTEGER PRIMARY KEY REFERENCES attempt, failure TEXT NOT NULL, cost_microusd INTEGER NOT NULL,
    prompt_tokens INTEGER, completion_tokens INTEGER, cached_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL, usage_unknown INTEGER NOT NULL
);
CREATE TABLE passed_over (
    stage TEXT NOT NULL, unit TEXT NOT NULL, run INTEGER NOT NULL, failure TEXT NOT NULL, detail TEXT NOT NULL,
    PRIMARY KEY (stage, unit)
) WITHOUT ROWID;
CREATE TABLE lot (
    attempt INTEGER PRIMARY KEY REFERENCES attempt, first INTEGER NOT NULL, place INTEGER NOT NULL,
    draws INTEGER NOT NULL
);
CREATE TABLE batched (attempt INTEGER PRIMARY KEY REFERENCES attempt, batch INTEGER NOT NULL, place INTEGER NOT NULL);
CREATE TABLE batch_step (
    id INTEGER PRIMARY KEY, batch INTEGER NOT NULL, teacher TEXT NOT NULL, step TEXT NOT NULL, at_ns INTEGER NOT NULL,
    said TEXT NOT NULL
);
"""
COLUMNS = {
    "attempt": 12,
    "reply": 8,
    "settled": 9,
    "passed_over": 5,
    "meta": 2,
    "lot": 4,
    "batched": 3,
    "batch_step": 6,
}
BLOBS = ("attempt", "reply")
"""Tables whose last column is compressed, with a checksum."""

DAMAGED = (sqlite3.DatabaseError, zstandard.ZstdError, orjson.JSONDecodeError)
"""What reading a damaged file raises."""
CROWDED = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")
"""How SQLite says that a disk takes nothing more."""

RAW = "coalesce(whole.raw, reply.raw)"
LOTS = "LEFT JOIN lot ON lot.attempt = attempt.id LEFT JOIN reply AS whole ON whole.attempt = lot.first "
"""The body of an attempt's reply, and where it lies for draws that were asked for together: with the first of them."""

BEYOND = (
    "CASE coalesce(lot.place, 0) WHEN 0 THEN max(0, CASE WHEN lot.place IS NULL "
    "THEN coalesce(cost_microusd, 0) - reserved_microusd "
    "ELSE (SELECT sum(coalesce(part.cost_microusd, 0) - own.reserved_microusd) FROM attempt AS own "
    "LEFT JOIN settled AS part ON part.attempt = own.id "
    "WHERE own.id BETWEEN lot.first AND lot.first + lot.draws - 1) END) ELSE 0 END"
)
"""What an attempt cost beyond what was set aside; of draws asked for together the first tells it for all of them, as
one may bear what was set aside for another."""


CHARGED_TOKENS = (
    "CASE WHEN coalesce(usage_unknown, 1) THEN reserved_tokens ELSE coalesce(prompt_tokens + completion_tokens, 0) END"
)


def compressor() -> zstandard.ZstdCompressor:
    """What packs the last column of the tables in `BLOBS`."""
    return zstandard.ZstdCompressor(level=3, write_checksum=True)


@dataclass(frozen=True, slots=True)
class Ledger:
    """What a group of attempts came to. Money in micro-dollars."""

    stage: str
    teacher: str
    failure: str
    attempts: int
    """Draws that were asked for in one request count one by one."""
    cost_microusd: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cache_write_tokens: int = 0
    overshoot_microusd: int = 0
    """What replies cost beyond their reservations."""
    usage_unknown: int = 0
    """Attempts charged with the worst case, as nothing usable said what they used."""
    batched: int = 0
    """Attempts that were sent, or are to be, as part of a batch."""
    batched_microusd: int = 0
    """What those cost."""
    along: int = 0
    """Attempts that went in the request of another one."""
    charged_tokens: int = 0
    """What counts against a budget of tokens: where nothing usable said what was used, all that was set aside."""

    @property
    def sends(self) -> int:
        """How many requests the attempts were."""
        return self.attempts - self.along


def connect(path: Path, *, write: bool = False, beside: bool = False) -> sqlite3.Connection:
    """Open a run's database, read-only unless `write`. Who reads it leaves nothing there, but `beside` a writer, who
    takes the log away or lets it lie.

    Raises FolderError when it is not a synth database, is of another version, or is damaged.
    """
    try:
        size = path.stat().st_size
    except PermissionError as error:
        raise FolderError(f"{path} cannot be read ({error}); ask whose it is.") from error
    except OSError:
        raise FolderError(f"There is no run in {path.parent}: run.db is missing.") from None
    if size == 0:
        raise FolderError(f"{path} is empty, so it is no run; move it away or restore it.")
    with readable(path):
        log = path.with_name(path.name + "-wal")
        mode = "rw" if write else "ro"
        if not (write or beside or (log.exists() and log.stat().st_size)):
            # SQLite makes a log to read beside, which only who could write takes away again
            mode = "rw" if os.access(path.parent, os.W_OK) else "ro&immutable=1"
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
        )
        _set_up(connection, write=write)
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        connection.close()
        raise FolderError(f"{path} is not a synth run; choose another run folder.")
    if version != SCHEMA_VERSION:
        connection.close()
        what = "a newer synth; update synth" if version > SCHEMA_VERSION else "an older synth; choose another folder"
        raise FolderError(f"{path} was written by {what} to go on.")
    return connection


@contextmanager
def readable(path: Path) -> Generator[None]:
    """Turn what reading a damaged file raises into a FolderError."""
    try:
        yield
    except DAMAGED as error:
        raise FolderError(damage(path, error)) from error


def damage(path: Path, error: object) -> str:
    """The sentence on a damaged database, or on a disk that has no room for what SQLite makes beside one."""
    if str(getattr(error, "sqlite_errorname", "")).startswith(CROWDED):
        return f"{path} cannot be opened ({error}): its disk is full. Free space, and try again."
    return (
        f"{path} is damaged ({error}); restore it, or let `synth doctor --repair {path.parent}` save what can be read."
    )


@dataclass(frozen=True, slots=True)
class Findings:
    """What an examination of a store found."""

    problem: str
    """Empty when it is sound."""
    attempts: int
    lost: int
    """Attempts that were open when a run was killed."""


def examine(path: Path) -> Findings:
    """Check every page and every reply. Raises FolderError when it cannot even be opened."""
    decompress = zstandard.ZstdDecompressor().decompress
    with readable(path):
        connection = connect(path)
        problems = [row[0] for row in connection.execute("PRAGMA integrity_check(5)").fetchall() if row[0] != "ok"]
        for attempt, raw in connection.execute("SELECT attempt, raw FROM reply"):
            try:
                decompress(raw)
            except (zstandard.ZstdError, MemoryError) as error:  # as of a length that a flipped bit made
                problems.append(f"the reply to attempt {attempt} is damaged ({error})")
        attempts = connection.execute("SELECT count(*) FROM attempt").fetchone()[0]
        lost = connection.execute("SELECT count(*) FROM settled WHERE failure = 'lost'").fetchone()[0]
        connection.close()
    return Findings("; ".join(problems[:5]), attempts, lost)


def create(path: Path) -> None:
    """Make an empty database, unless one is there. It takes its name when it is whole.

    Raises FolderError when what is left of another one lies there.
    """
    if path.exists():
        return
    wal = path.with_name(path.name + "-wal")
    if wal.exists() and wal.stat().st_size > 0:
        raise FolderError(f"{wal} lies there without its run.db; restore that, or move the file away.")
    if damaged := sorted(path.parent.glob(f"{path.name}.damaged-*")):
        raise FolderError(
            f"{path.parent} holds {damaged[-1].name} and no run.db, as a repair was cut short; let "
            f"`synth doctor --repair {path.parent}` end it, or move the file away."
        )
    new = path.with_name(path.name + ".new")
    fill(new)
    new.replace(path)
    sync_folder(path.parent)


def fill(path: Path) -> None:
    """Write an empty database, whatever the name held before."""
    for left in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        left.unlink(missing_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA journal_mode = WAL")
    _set_up(connection, write=True)
    connection.executescript(
        f"BEGIN; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; {SCHEMA} COMMIT;"
    )
    connection.executemany("INSERT INTO meta VALUES (?, ?)", (("identity", secrets.token_hex(8)), ("commits", "0")))
    connection.close()


def sync_folder(folder: Path) -> None:
    """Make a file's new name survive power loss."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _set_up(connection: sqlite3.Connection, *, write: bool) -> None:
    connection.execute("PRAGMA busy_timeout = 10000")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    if not write:
        connection.execute("PRAGMA query_only = ON")
        return
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    if sys.platform == "darwin":  # where fsync leaves the bytes in the drive's cache
        connection.execute("PRAGMA fullfsync = ON")
        connection.execute("PRAGMA checkpoint_fullfsync = ON")


def read_ledger(connection: sqlite3.Connection) -> list[Ledger]:
    """Attempts, money and tokens by stage, teacher and class; without one they are `open`, or `kept` with a reply."""
    rows = connection.execute(
        "SELECT stage, teacher, coalesce(failure, CASE WHEN EXISTS (SELECT 1 FROM reply "  # noqa: S608 (ours alone)
        "WHERE reply.attempt = attempt.id) THEN 'kept' ELSE 'open' END), count(*), "
        "sum(coalesce(cost_microusd, reserved_microusd)), sum(coalesce(prompt_tokens, 0)), "
        "sum(coalesce(completion_tokens, 0)), sum(coalesce(cached_tokens, 0)), sum(coalesce(reasoning_tokens, 0)), "
        f"sum(coalesce(cache_write_tokens, 0)), sum({BEYOND}), "
        "sum(coalesce(usage_unknown, 0)), count(batched.attempt), "
        "sum(CASE WHEN batched.attempt IS NULL THEN 0 ELSE coalesce(cost_microusd, reserved_microusd) END), "
        f"sum(coalesce(lot.place, 0) > 0), sum({CHARGED_TOKENS}) FROM attempt "
        "LEFT JOIN settled ON settled.attempt = attempt.id "
        "LEFT JOIN batched ON batched.attempt = attempt.id LEFT JOIN lot ON lot.attempt = attempt.id "
        "GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )
    return [Ledger(*row) for row in rows]


def read_spent(connection: sqlite3.Connection) -> Spend:
    """Everything charged so far; what is not settled, or was without known usage, counts with its reservation."""
    row = connection.execute(
        "SELECT coalesce(sum(coalesce(cost_microusd, reserved_microusd)), 0), "  # noqa: S608 (ours alone)
        f"coalesce(sum({CHARGED_TOKENS}), 0), "
        "coalesce(sum(coalesce(failure, '') NOT IN ('unsent', 'reused') AND coalesce(place, 0) = 0), 0) "
        "FROM attempt LEFT JOIN settled ON settled.attempt = attempt.id LEFT JOIN lot ON lot.attempt = attempt.id"
    ).fetchone()
    return Spend(*row)


def read_units(connection: sqlite3.Connection, stage: str, teacher: str) -> dict[str, tuple[int, int]]:
    """What a teacher's attempts in a stage cost in micro-dollars, and their completion tokens, by unit."""
    rows = connection.execute(
        "SELECT unit, sum(cost_microusd), sum(coalesce(completion_tokens, 0)) FROM attempt "
        "JOIN settled ON settled.attempt = attempt.id WHERE stage = ? AND teacher = ? GROUP BY unit",
        (stage, teacher),
    )
    return {unit: (cost, tokens) for unit, cost, tokens in rows}


def stored_requests(connection: sqlite3.Connection) -> Iterator[tuple[str, str, bytes]]:
    """Stage, unit and JSON body of every request that was sent, each once, oldest first."""
    decompress = zstandard.ZstdDecompressor().decompress
    rows = connection.execute(
        "SELECT stage, unit, body FROM attempt WHERE id IN (SELECT min(id) FROM attempt GROUP BY key) ORDER BY id"
    )
    for stage, unit, body in rows:
        yield stage, unit, decompress(body)


def recipe_of(folder: Path) -> Path:
    """Where the recipe of a run lies. Raises FolderError when the folder does not say, or it is not there."""
    with readable(folder / "run.db"), closing(connect(folder / "run.db")) as connection:
        row = connection.execute("SELECT value FROM meta WHERE name = 'path'").fetchone()
    if row is None or not Path(row[0]).exists():
        missing = "no recipe" if row is None else f"the recipe {row[0]}, which is not there"
        raise FolderError(f"{folder} names {missing}; give the recipe, and the folder with --out.")
    return Path(row[0])
