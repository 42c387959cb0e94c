"""What became of every sample, on disk and in id order.

It follows from the store, and a run makes it anew. That of a whole run stays in its folder, as long as all that
decides it stays the same (`results/up_to_date.py`): what is then only selected, split or written otherwise needs no
sample made again.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import TypeAdapter

from synth.datasets.rows import line, row
from synth.errors import FolderError, StoreStopped
from synth.types import Fields, Rejection, Sample

SCHEMA = """
CREATE TABLE accepted (id TEXT PRIMARY KEY, seed TEXT NOT NULL, line BLOB NOT NULL, rest BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE rejected (
    id TEXT, stage TEXT, reason TEXT, twin TEXT, rejection BLOB NOT NULL, PRIMARY KEY (id, stage)
) WITHOUT ROWID;
CREATE TABLE record (manifest BLOB NOT NULL);
"""
NAME = "outcomes.db"

ROWS_AT_ONCE, BYTES_AT_ONCE = 128, 4 * 1024 * 1024
"""What gathers before it is written, whichever comes first: a few answers may be as long as all others together."""
SAMPLES = TypeAdapter(Sample)
REJECTIONS = TypeAdapter(Rejection)


class Kept(NamedTuple):
    """An accepted sample with its row, finished while others are still asked for, so that writing it is copying."""

    seed_id: str
    line: bytes
    """The row as JSON."""
    rest: bytes | Sample
    """What of the sample the row does not hold, as JSON, or all of it."""

    def sample(self) -> Sample:
        """The sample, read anew from its two parts unless it is there."""
        if isinstance(self.rest, Sample):
            return self.rest
        return SAMPLES.validate_json(b"%b,%b" % (self.line[:-1], self.rest[1:]))


class Outcomes:
    """Accepted samples and rejections of one pass, bounded in memory however many they are."""

    def __init__(
        self,
        path: Path,
        models: Mapping[str, str],
        stop: Callable[[StoreStopped], None] = lambda _: None,
        *,
        kept: bool = False,
    ) -> None:
        """Start an empty record in a file, replacing what an earlier pass left; or open what one has `kept`.

        `models` are those that answer in each stage. `stop` is called when the disk refuses: the replies that are on
        their way then still have to be stored, so nothing is raised before the outcomes are read.

        Raises FolderError when the file cannot be made, or opened.
        """
        self._path = path
        self.models = models
        self._stop = stop
        self._broken: StoreStopped | None = None
        self._is_kept = kept
        with self._sound():
            for left in () if kept else (path, path.with_name(f"{path.name}-journal")):
                left.unlink(missing_ok=True)
            self._connection = sqlite3.connect(path, isolation_level=None)
            # a crash loses nothing that the next pass does not write again; large pages take few writes
            self._connection.execute("PRAGMA page_size = 65536")
            self._connection.execute("PRAGMA synchronous = OFF")
            self._connection.execute("PRAGMA cache_size = -512")  # it is written and read from one end to the other
            if not kept:
                self._connection.execute("PRAGMA journal_mode = OFF")
                self._connection.executescript(SCHEMA)
            self._connection.execute("BEGIN")
        self._accepted: list[tuple[str | bytearray, ...]] = []
        self._rejected: list[tuple[str | bytes | None, ...]] = []
        self._bytes = 0

    def accept(self, sample: Sample) -> None:
        """Record a sample that passed the last stage."""
        rest: Fields = {
            "parent_id": sample.parent_id,
            "stage": sample.stage,
            "draw": sample.draw,
            "fields": sample.fields,
            "finish_reason": sample.finish_reason,
            "model": sample.model,
        }
        finished, beside = line(row(sample, self.models)), line(rest)
        self._accepted.append((sample.id, sample.seed_id, bytearray(finished), bytearray(beside)))  # quicker than bytes
        self._bytes += len(finished) + len(beside)
        if len(self._accepted) >= ROWS_AT_ONCE or self._bytes >= BYTES_AT_ONCE:
            self._flush()

    def reject(self, rejection: Rejection) -> None:
        """Record a refused sample or seed."""
        told = (rejection.id, rejection.stage, rejection.reason, rejection.twin_id)
        self._rejected.append((*told, whole := line(rejection)))
        self._bytes += len(whole)
        if len(self._rejected) >= ROWS_AT_ONCE or self._bytes >= BYTES_AT_ONCE:
            self._flush()

    def settle(self) -> None:
        """All that stages decide is there: what selection refuses from here on lasts until `close`."""
        self._flush()
        try:
            self._connection.execute("COMMIT")
            self._connection.execute("PRAGMA journal_mode = DELETE")
            self._connection.execute("BEGIN")
        except sqlite3.Error as error:
            self._break(error)

    def keep(self, manifest: bytes) -> None:
        """Let `close` leave what was settled, with the manifest of what was made of it, as JSON.

        Where the disk refuses that, it is not kept: all that costs is time.
        """
        with suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")
            self._connection.execute("INSERT INTO record VALUES (?)", (manifest,))
            self._is_kept = True

    def manifest(self) -> bytes:
        """That of the run which kept these outcomes."""
        with self._sound():
            return bytes(self._connection.execute("SELECT manifest FROM record").fetchone()[0])

    def kept(self) -> Iterator[Kept]:
        """The accepted samples in id order, as they lie on disk."""
        with self._sound():
            yield from map(Kept._make, self._found("SELECT seed, line, rest FROM accepted ORDER BY id"))

    def accepted(self) -> Iterator[Sample]:
        """The accepted samples in id order."""
        return (kept.sample() for kept in self.kept())

    def with_row(self, sample: Sample) -> Kept:
        """A sample that selection may have changed, with its row."""
        return Kept(sample.seed_id, line(row(sample, self.models)), sample)

    def rejected(self) -> Iterator[Rejection]:
        """The rejections in id order."""
        with self._sound():
            for (text,) in self._found("SELECT rejection FROM rejected ORDER BY id, stage"):
                yield REJECTIONS.validate_json(text)

    def known_as(self, id: str) -> Sample | None:  # noqa: A002 (the word of the design)
        """The accepted sample with this id, or the first that was made from it; None when there is none."""
        sql = "SELECT id, seed, line, rest FROM accepted WHERE id >= ? ORDER BY id LIMIT 1"
        name, *kept = self._found(sql, id).fetchone() or ("",)
        return Kept._make(kept).sample() if name == id or name.startswith(f"{id}/") else None

    def accepted_one(self, id: str) -> Sample | None:  # noqa: A002
        """The accepted sample with exactly this id; None when there is none."""
        found = self._found("SELECT seed, line, rest FROM accepted WHERE id = ?", id).fetchone()
        return Kept._make(found).sample() if found else None

    def refusal_of(self, id: str) -> Rejection | None:  # noqa: A002
        """The first rejection with exactly this id; None when there is none."""
        found = self._found("SELECT rejection FROM rejected WHERE id = ? ORDER BY stage LIMIT 1", id).fetchone()
        return REJECTIONS.validate_json(found[0]) if found else None

    def sample_of(self, id: str) -> Sample | None:  # noqa: A002
        """As `known_as`, and else a refused sample with this id or made from it."""
        sql = "SELECT rejection FROM rejected WHERE id >= ? AND id < ? ORDER BY id"  # a digit comes after a slash
        refused = (REJECTIONS.validate_json(text).sample for (text,) in self._found(sql, id, f"{id}0"))
        return self.known_as(id) or next((sample for sample in refused if sample is not None), None)

    def twins_of(self, id: str, stage: str, most: int) -> list[Rejection]:  # noqa: A002
        """The first few that a stage refused as twins of a sample."""
        sql = "SELECT rejection FROM rejected WHERE stage = ? AND twin = ? ORDER BY id LIMIT ?"
        return [REJECTIONS.validate_json(text) for (text,) in self._found(sql, stage, id, most)]

    def twins(self, stage: str, reasons: Collection[str]) -> Iterator[Rejection]:
        """What a stage refused for one of these reasons, in id order, without its texts."""
        sql = f"SELECT id, reason, twin FROM rejected WHERE stage = ? AND {_one_of(reasons)} ORDER BY id"  # noqa: S608 (our own names)
        for id_, reason, twin in self._found(sql, stage, *reasons).fetchall():
            yield Rejection(id=id_, seed_id="", stage=stage, reason=reason, twin_id=twin)

    def fate(self, id: str, but: Collection[str]) -> Literal["accepted", "rejected", ""]:  # noqa: A002
        """What became of a sample and what was made from it; rejections of its own for the reasons `but` do not count.

        Empty when nothing came of it yet.
        """
        below = "id >= ? AND id < ?"  # a digit comes after a slash
        if self._found(f"SELECT 1 FROM accepted WHERE {below} LIMIT 1", id, f"{id}0").fetchone():  # noqa: S608
            return "accepted"
        sql = f"SELECT 1 FROM rejected WHERE {below} AND NOT (id = ? AND {_one_of(but)}) LIMIT 1"  # noqa: S608
        return "rejected" if self._found(sql, id, f"{id}0", id, *but).fetchone() else ""

    def refused(self, id: str, stage: str) -> Rejection | None:  # noqa: A002
        """The rejection of a sample by a stage; None when there is none."""
        found = self._found("SELECT rejection FROM rejected WHERE id = ? AND stage = ?", id, stage).fetchone()
        return REJECTIONS.validate_json(found[0]) if found else None

    def take_back(self, id: str, stage: str, reasons: Collection[str]) -> None:  # noqa: A002
        """Forget the rejection of a sample by a stage for one of these reasons."""
        sql = f"DELETE FROM rejected WHERE id = ? AND stage = ? AND {_one_of(reasons)}"  # noqa: S608
        self._found(sql, id, stage, *reasons)

    def _found(self, sql: str, *values: str | int) -> sqlite3.Cursor:
        self._flush()
        if self._broken is not None:
            raise self._broken
        return self._connection.execute(sql, values)

    @contextmanager
    def _sound(self) -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise FolderError(f"{self._path} could not be written ({error}); free space or mend the disk.") from error

    def _flush(self) -> None:
        """Write what has gathered: one statement for all of it, as each gives the interpreter lock up."""
        for table, rows in (("accepted", self._accepted), ("rejected", self._rejected)):
            if rows and self._broken is None:
                every = ",".join([f"({','.join('?' * len(rows[0]))})"] * len(rows))
                values = list(itertools.chain.from_iterable(rows))
                try:
                    self._connection.execute(f"INSERT OR REPLACE INTO {table} VALUES {every}", values)  # noqa: S608 (our own names)
                except sqlite3.Error as error:
                    self._break(error)
            rows.clear()
        self._bytes = 0

    def _break(self, error: sqlite3.Error) -> None:
        self._broken = StoreStopped(
            f"{self._path} could not be written ({error}); what came is kept. Free space or mend the disk, and run "
            "again."
        )
        self._stop(self._broken)

    def close(self) -> None:
        """Close the file, and remove it unless it is to be kept: then nothing of it has changed since."""
        self._connection.close()
        if not self._is_kept:
            self._path.unlink(missing_ok=True)


def roll_back(path: Path) -> None:
    """Undo what a killed run had written into outcomes that were kept; as good as nothing where that cannot be."""
    if path.with_name(f"{path.name}-journal").exists():
        with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as connection:
            connection.execute("SELECT manifest FROM record").fetchone()  # by being read it is mended


def _one_of(reasons: Collection[str]) -> str:
    return f"reason IN ({', '.join('?' * len(reasons))})"
