"""Saving what can be read of a damaged `run.db`: page by page, trusting nothing that points at a page.

A row lies in a cell of a leaf page, whole or with the rest of it in a chain of overflow pages, so each leaf can be read
without the pages above it, the header or the schema (https://www.sqlite.org/fileformat2.html). Rows are only ever
added, hence an older image of a page holds nothing wrong, only less. The write-ahead log is read in the same way.
"""

from __future__ import annotations

import mmap
import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import zstandard

from synth.errors import FolderError
from synth.storage.database import APPLICATION_ID, PAGE_BYTES, SCHEMA_VERSION, connect, fill, sync_folder
from synth.storage.lock import Lock

LEAF, INDEX_LEAF, INDEX = 13, 10, 2
FRAME_BYTES = PAGE_BYTES + 24
INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
NUMBER = (int, float)
COUNT = (int, type(None))
TYPES: dict[str, tuple[Any, ...]] = {
    "attempt": (int, bytes, str, str, str, str, int, int, int, int, COUNT, bytes),
    "reply": (int, int, str, str, str, int, NUMBER, bytes),
    "settled": (int, str, int, COUNT, COUNT, int, int, int, int),
    "passed_over": (str, str, int, str, str),
    "meta": (str, str),
    "lot": (int, int, int, int),
    "batched": (int, int, int),
    "batch_step": (int, int, str, str, int, str),
}
NUMBERED = {"attempt": "id", "batch_step": "id", **dict.fromkeys(("reply", "settled", "lot", "batched"), "attempt")}
"""Tables whose rows have a number, and its column."""
TABLES = {len(types): table for table, types in TYPES.items()}
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Salvage:
    """What came of a repair."""

    attempts: int
    replies: int
    settled: int
    missing_attempts: int
    missing_replies: int
    kept: Path | None
    """Where the damaged file is now; None when nothing was wrong, and nothing was changed."""


def repair(folder: Path) -> Salvage:
    """Put a fresh run.db with every readable row in place of the damaged one, which stays beside it.

    Raises FolderError when the folder is in use, or holds nothing of synth's.
    """
    path = folder / "run.db"
    if not folder.is_dir():
        raise FolderError(f"There is no folder {folder}.")
    lock = Lock(folder)
    try:
        earlier = sorted(folder.glob("run.db.damaged-*[0-9]"), key=lambda one: int(one.name.rpartition("-")[2]))
        source = path if path.exists() or not earlier else earlier[-1]
        _refuse_foreign(source)
        fresh = path.with_name("run.db.salvaged")
        fill(fresh)
        whole = _fill_from(fresh, source, lock)
        found = _counted(fresh)
        if source == path and whole and not (found.missing_attempts or found.missing_replies):
            fresh.unlink()
            return found
        number = 1 + int(earlier[-1].name.rpartition("-")[2]) if earlier else 1
        kept = source if source != path else path.with_name(f"run.db.damaged-{number}")
        for ending in ("", "-wal"):
            if source == path and (old := path.with_name(path.name + ending)).exists():
                old.replace(kept.with_name(kept.name + ending))
        path.with_name("run.db-shm").unlink(missing_ok=True)
        fresh.replace(path)
        sync_folder(folder)
    except OSError as error:
        raise FolderError(f"{path} cannot be repaired ({error}); it is left as it was.") from error
    finally:
        lock.release()
    return Salvage(found.attempts, found.replies, found.settled, found.missing_attempts, found.missing_replies, kept)


def _refuse_foreign(source: Path) -> None:
    if not source.exists():
        raise FolderError(f"There is no run in {source.parent}: run.db is missing.")
    with source.open("rb") as file:
        head = file.read(100)
    if head[:16] != b"SQLite format 3\0" or len(head) < 100:
        return  # damaged, or of another tool: the rows will tell
    version, application = int.from_bytes(head[60:64], "big"), int.from_bytes(head[68:72], "big")
    if application != APPLICATION_ID and application != 0:
        raise FolderError(f"{source} is not a synth run; it is left as it was.")
    if application == APPLICATION_ID and version != SCHEMA_VERSION:
        raise FolderError(f"{source} was written by another version of synth; repair it with that one.")


def _fill_from(fresh: Path, source: Path, lock: Lock) -> bool:
    """Write every readable row; says whether nothing at all was wrong. Raises FolderError when there is no row."""
    pages = _Pages(source)
    decompress = zstandard.ZstdDecompressor().decompress
    connection = connect(fresh, write=True)
    connection.execute("BEGIN")
    disputed: set[tuple[str, int]] = set()
    for table, row in pages.rows():
        if not _is_sound(table, row, decompress):
            pages.damaged += 1
        elif not _added(connection, table, row):
            disputed.add((table, row[0]))
    for table, number in disputed:  # a reply is found by its number, and would answer another question
        connection.execute(f"DELETE FROM {table} WHERE {NUMBERED[table]} = ?", (number,))  # noqa: S608 (ours)
    pages.damaged += len(disputed)
    if not connection.execute("SELECT count(*) FROM attempt").fetchone()[0]:
        connection.close()
        fresh.unlink()
        raise FolderError(f"Nothing in {source} can be read as a run of synth; it is left as it was.")
    for table in ("reply", "lot", "batched"):
        connection.execute(f"DELETE FROM {table} WHERE attempt NOT IN (SELECT id FROM attempt)")  # noqa: S608 (ours)
    connection.execute(  # draws whose choices stood in a reply that is gone
        "DELETE FROM reply WHERE attempt IN "
        "(SELECT attempt FROM lot WHERE place > 0 AND first NOT IN (SELECT attempt FROM reply))"
    )
    connection.execute("DELETE FROM meta WHERE name = 'whole'")  # what is missing is to be asked again
    meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
    known, commits = lock.store()
    if known and meta["commits"] == "0":  # not among what was read; an emergency file goes by the old name
        connection.execute("UPDATE meta SET value = ? WHERE name = 'identity'", (known,))
    most = max(commits, int(meta["commits"]))
    connection.execute("UPDATE meta SET value = ? WHERE name = 'commits'", (str(most),))
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return not pages.damaged and _passes(source, most)


def _added(connection: sqlite3.Connection, table: str, row: Row) -> bool:
    """Add a row; false where its number has another one already: rows never change, so one of the two is damaged."""
    verb = "REPLACE" if table == "meta" else "IGNORE"
    added = connection.execute(f"INSERT OR {verb} INTO {table} VALUES ({','.join('?' * len(row))})", row)  # noqa: S608
    if added.rowcount or table not in NUMBERED:
        return True
    known = connection.execute(f"SELECT * FROM {table} WHERE {NUMBERED[table]} = ?", row[:1]).fetchone()  # noqa: S608
    return known == row


def _passes(source: Path, commits: int) -> bool:
    """Whether SQLite itself finds nothing wrong, and all that was ever committed."""
    try:
        connection = connect(source)
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        last = connection.execute("SELECT value FROM meta WHERE name = 'commits'").fetchone()
        connection.close()
    except (FolderError, sqlite3.Error):
        return False
    return found == "ok" and last == (str(commits),)


def _counted(fresh: Path) -> Salvage:
    """Count what was saved and what must have been there; charges whose attempt is gone stay charged."""
    connection = connect(fresh, write=True)

    def one(sql: str) -> int:
        return int(connection.execute(sql).fetchone()[0] or 0)

    attempts = one("SELECT count(*) FROM attempt")
    last = max(one("SELECT max(id) FROM attempt"), one("SELECT max(attempt) FROM settled"))
    replies = one("SELECT count(*) FROM reply")
    missing_replies = one(
        "SELECT count(*) FROM settled WHERE failure NOT IN ('lost', 'unsent') "
        "AND attempt NOT IN (SELECT attempt FROM reply)"
    )
    connection.execute(
        "INSERT INTO attempt SELECT attempt, zeroblob(32), '', '', '', '', 0, 0, cost_microusd, 0, NULL, "
        "(SELECT body FROM attempt LIMIT 1) FROM settled WHERE attempt NOT IN (SELECT id FROM attempt)"
    )
    settled = one("SELECT count(*) FROM settled")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return Salvage(attempts, replies, settled, last - attempts, missing_replies, None)


def _is_sound(table: str, row: Row, decompress: Any) -> bool:
    if not all(isinstance(value, type_) for value, type_ in zip(row, TYPES[table], strict=True)):
        return False
    if table not in ("attempt", "reply"):
        return True
    try:
        decompress(row[-1])
        return isinstance(orjson.loads(row[2]), dict) if table == "reply" else len(row[1]) == 32
    except (zstandard.ZstdError, orjson.JSONDecodeError, MemoryError):  # the last of a length that a flipped bit made
        return False


class _Pages:
    """The pages of a database file and of its log."""

    def __init__(self, path: Path) -> None:
        self._main, self._log = _mapped(path), _mapped(path.with_name(path.name + "-wal"))
        salt = self._log[16:24]
        frames = range(32, len(self._log) - FRAME_BYTES + 1, FRAME_BYTES)
        current = [frame for frame in frames if self._log[frame + 8 : frame + 16] == salt] or list(frames)
        self._frames = {int.from_bytes(self._log[frame : frame + 4], "big"): frame + 24 for frame in current}
        self._images = [frame + 24 for frame in current]
        self.damaged = 0
        """Cells that could not be read."""

    def rows(self) -> Iterator[tuple[str, Row]]:
        """Every row of every image of a leaf, older images first; a row may come more than once."""
        for start in range(0, len(self._main), PAGE_BYTES):
            yield from self._leaf(self._main[start : start + PAGE_BYTES], 100 if start == 0 else 0)
        for start in self._images:
            page = self._log[start : start + PAGE_BYTES]
            yield from self._leaf(page, 100 if page[:6] == b"SQLite" else 0)

    def _leaf(self, page: bytes, head: int) -> Iterator[tuple[str, Row]]:
        kind = page[head] if len(page) == PAGE_BYTES else 0
        if kind not in (LEAF, INDEX_LEAF, INDEX):
            return
        first = head + (12 if kind == INDEX else 8)
        cells = min(int.from_bytes(page[head + 3 : head + 5], "big"), PAGE_BYTES // 4)
        for place in range(first, first + 2 * cells, 2):
            try:
                values = self._cell(page, int.from_bytes(page[place : place + 2], "big"), kind)
            except (IndexError, ValueError, struct.error):
                self.damaged += 1
                continue
            table = TABLES.get(len(values), "")
            if table and (table == "passed_over") == (kind != LEAF):
                yield table, values

    def _cell(self, page: bytes, start: int, kind: int) -> Row:
        """The values of a cell. Raises IndexError or ValueError when it makes no sense."""
        size, at = _varint(page, start + (4 if kind == INDEX else 0))
        rowid, at = _varint(page, at) if kind == LEAF else (0, at)
        most = PAGE_BYTES - 35 if kind == LEAF else (PAGE_BYTES - 12) * 64 // 255 - 23
        payload = page[at : at + size] if size <= most else self._long(page, at, size, most)
        if len(payload) != size:
            raise ValueError(size)
        values = _record(payload)
        return (rowid, *values[1:]) if kind == LEAF and values and values[0] is None else tuple(values)

    def _long(self, page: bytes, at: int, size: int, most: int) -> bytes:
        """A payload that goes on in overflow pages."""
        least = (PAGE_BYTES - 12) * 32 // 255 - 23
        local = least + (size - least) % (PAGE_BYTES - 4)
        local = local if local <= most else least
        parts, have = [page[at : at + local]], local
        number = int.from_bytes(page[at + local : at + local + 4], "big")
        while have < size and number:
            image = self._latest(number)
            parts.append(image[4 : 4 + size - have])
            have += len(parts[-1])
            number = int.from_bytes(image[:4], "big") if len(image) == PAGE_BYTES else 0
        return b"".join(parts)

    def _latest(self, number: int) -> bytes:
        if number in self._frames:
            return self._log[self._frames[number] : self._frames[number] + PAGE_BYTES]
        return self._main[(number - 1) * PAGE_BYTES : number * PAGE_BYTES]


def _mapped(path: Path) -> mmap.mmap | bytes:
    if not path.exists() or path.stat().st_size == 0:
        return b""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(at, at + 8):
        value = value << 7 | data[place] & 0x7F
        if data[place] < 0x80:
            return value, place + 1
    return value << 8 | data[at + 8], at + 9


def _record(payload: bytes) -> list[Any]:
    """The values of a record. Raises ValueError when they do not fill it exactly."""
    head, at = _varint(payload, 0)
    kinds: list[int] = []
    while at < head:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    values: list[Any] = []
    for kind in kinds:
        value, at = _value(payload, at, kind)
        values.append(value)
    if at != len(payload):
        raise ValueError(at)
    return values


def _value(payload: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind in (0, 8, 9):
        return (None, 0, 1)[max(0, kind - 7)], at
    if kind in INTEGER_BYTES:
        end = at + INTEGER_BYTES[kind]
        return int.from_bytes(payload[at:end], "big", signed=True), end
    if kind == 7:
        return struct.unpack(">d", payload[at : at + 8])[0], at + 8
    if kind < 12:
        raise ValueError(kind)
    end = at + (kind - 12) // 2
    return (payload[at:end].decode() if kind % 2 else payload[at:end]), end
