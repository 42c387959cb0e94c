"""What became of every sample, on disk and in id order. Derived from the store, so it is rebuilt by every run."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from synth.types import Rejection, Sample

SCHEMA = """
CREATE TABLE accepted (id TEXT PRIMARY KEY, sample TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE rejected (id TEXT, stage TEXT, rejection TEXT NOT NULL, PRIMARY KEY (id, stage)) WITHOUT ROWID;
"""


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

    def accept(self, sample: Sample) -> None:
        """Record a sample that passed the last stage."""
        self._connection.execute("INSERT INTO accepted VALUES (?, ?)", (sample.id, sample.model_dump_json()))

    def reject(self, rejection: Rejection) -> None:
        """Record a refused sample or seed."""
        values = (rejection.id, rejection.stage, rejection.model_dump_json())
        self._connection.execute("INSERT OR REPLACE INTO rejected VALUES (?, ?, ?)", values)

    def accepted(self) -> Iterator[Sample]:
        """The accepted samples in id order."""
        for (text,) in self._connection.execute("SELECT sample FROM accepted ORDER BY id"):
            yield Sample.model_validate_json(text)

    def rejected(self) -> Iterator[Rejection]:
        """The rejections in id order."""
        for (text,) in self._connection.execute("SELECT rejection FROM rejected ORDER BY id, stage"):
            yield Rejection.model_validate_json(text)

    def known_as(self, id: str) -> Sample | None:  # noqa: A002 (the word of the design)
        """The accepted sample with this id, or the first that was made from it; None when there is none."""
        found = self._connection.execute("SELECT id, sample FROM accepted WHERE id >= ? ORDER BY id LIMIT 1", (id,))
        name, text = found.fetchone() or ("", "")
        return Sample.model_validate_json(text) if name == id or name.startswith(f"{id}/") else None

    def close(self) -> None:
        """Close and remove the file."""
        self._connection.close()
        self._path.unlink(missing_ok=True)
