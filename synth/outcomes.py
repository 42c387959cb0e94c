"""What became of every sample, on disk and in id order. Derived from the store, so it is rebuilt by every run."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from synth.types import Rejection, Sample

SCHEMA = """
CREATE TABLE accepted (id TEXT PRIMARY KEY, sample TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE rejected (id TEXT, stage TEXT, rejection TEXT NOT NULL, PRIMARY KEY (id, stage)) WITHOUT ROWID;
"""

ROWS_AT_ONCE = 128


class Outcomes:
    """Accepted samples and rejections of one pass, bounded in memory however many they are."""

    def __init__(self, path: Path) -> None:
        """Start an empty record in a file, replacing what an earlier pass left."""
        for left in (path, path.with_name(path.name + "-journal")):
            left.unlink(missing_ok=True)
        self._path = path
        self._connection = sqlite3.connect(path, isolation_level=None)
        # a crash loses nothing that the next pass does not write again
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.executescript(SCHEMA)
        self._connection.execute("BEGIN")
        self._accepted: list[tuple[str, ...]] = []
        self._rejected: list[tuple[str, ...]] = []

    def accept(self, sample: Sample) -> None:
        """Record a sample that passed the last stage."""
        self._add(self._accepted, (sample.id, sample.model_dump_json()))

    def reject(self, rejection: Rejection) -> None:
        """Record a refused sample or seed."""
        self._add(self._rejected, (rejection.id, rejection.stage, rejection.model_dump_json()))

    def accepted(self) -> Iterator[Sample]:
        """The accepted samples in id order."""
        self._flush()
        for (text,) in self._connection.execute("SELECT sample FROM accepted ORDER BY id"):
            yield Sample.model_validate_json(text)

    def rejected(self) -> Iterator[Rejection]:
        """The rejections in id order."""
        self._flush()
        for (text,) in self._connection.execute("SELECT rejection FROM rejected ORDER BY id, stage"):
            yield Rejection.model_validate_json(text)

    def known_as(self, id: str) -> Sample | None:  # noqa: A002 (the word of the design)
        """The accepted sample with this id, or the first that was made from it; None when there is none."""
        found = self._connection.execute("SELECT id, sample FROM accepted WHERE id >= ? ORDER BY id LIMIT 1", (id,))
        name, text = found.fetchone() or ("", "")
        return Sample.model_validate_json(text) if name == id or name.startswith(f"{id}/") else None

    def _add(self, rows: list[tuple[str, ...]], values: tuple[str, ...]) -> None:
        rows.append(values)
        if len(rows) >= ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        """Write what has gathered: one statement for all of it, as each gives the interpreter lock up."""
        for table, rows in (("accepted", self._accepted), ("rejected", self._rejected)):
            if rows:
                every = ",".join([f"({','.join('?' * len(rows[0]))})"] * len(rows))
                values = list(itertools.chain.from_iterable(rows))
                self._connection.execute(f"INSERT OR REPLACE INTO {table} VALUES {every}", values)  # noqa: S608 (our own names)
                rows.clear()

    def close(self) -> None:
        """Close and remove the file."""
        self._connection.close()
        self._path.unlink(missing_ok=True)
