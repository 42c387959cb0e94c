"""The seeds of a pass, read once, checked to the last one before anything is sent, and kept on disk.

From there they come in order, however many they are, with the repeated ones told; what happens to their file meanwhile
does not matter.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sqlite3
import threading
import unicodedata
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import orjson

from synth.errors import FolderError
from synth.types import Fields, Rejection, Seed

ROWS_AT_ONCE = 128
"""As few as any SQLite takes the values of in one statement; each gives the interpreter lock up."""
SEEDS_AT_ONCE = 1000
SCHEMA = "CREATE TABLE seed (position INTEGER PRIMARY KEY, id TEXT, digest BLOB, fields BLOB);"
TELL_REPEATED = """
CREATE INDEX seed_digest ON seed (digest);
CREATE TABLE repeated (position INTEGER PRIMARY KEY, first TEXT);
INSERT INTO repeated SELECT seed.position, first.id FROM seed
    JOIN (SELECT digest, min(position) AS position FROM seed GROUP BY digest HAVING count(*) > 1) AS twins
        ON twins.digest = seed.digest AND seed.position > twins.position
    JOIN seed AS first ON first.position = twins.position;
DROP INDEX seed_digest;
"""


class SeedSpool:
    """All seeds of a pass in a file of their own, which `close` removes."""

    def __init__(
        self, path: Path, seeds: Iterable[Seed], marks: Set[int] = frozenset(), limit: int | None = None
    ) -> None:
        """Read `seeds` into a new file at `path`. What reading them raises passes through.

        `marks` are positions up to which the seeds are hashed, besides the powers of two and the last. Those
        beyond `limit` are hashed and not kept.

        Raises FolderError when the disk refuses.
        """
        path.unlink(missing_ok=True)
        self._path = path
        self._reading = threading.Lock()
        """Seeds are read in a thread, for which a run that is broken off does not wait: closed under its hands, the
        file would take the process with it."""
        self.marks: dict[int, str] = {}
        """The BLAKE2 hash of the first so many seeds, by how many."""
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            # a crash loses nothing: the next pass reads the seeds again; large pages take few writes
            self._connection.execute("PRAGMA page_size = 65536")
            self._connection.execute("PRAGMA journal_mode = OFF")
            self._connection.execute("PRAGMA synchronous = OFF")
            self._connection.execute("PRAGMA cache_size = -512")  # it is written and read from one end to the other
            self._connection.executescript(SCHEMA)
            self._connection.execute("BEGIN")
            source, so_far, count = iter(seeds), hashlib.blake2b(digest_size=16), 0
            while batch := list(itertools.islice(source, ROWS_AT_ONCE)):
                rows = self._marked(batch, so_far, count, marks, limit)
                every = ",".join(["(?,?,?,?)"] * len(rows))
                if rows:
                    self._connection.execute(f"INSERT INTO seed VALUES {every}", [*itertools.chain(*rows)])  # noqa: S608
                count += len(batch)
            self.marks[count] = so_far.hexdigest()
            self._connection.executescript(TELL_REPEATED)
        except sqlite3.Error as error:
            self.close()
            raise FolderError(f"{path} could not be written ({error}); free space or mend the disk.") from error
        except BaseException:
            self.close()
            raise
        self.repeated = self._count("repeated")
        """How many say the same as an earlier one."""
        self.unique = self._count("seed") - self.repeated

    def _marked(
        self, seeds: Sequence[Seed], so_far: hashlib.blake2b, before: int, marks: Set[int], limit: int | None
    ) -> list[tuple[int, str, bytearray, bytearray]]:
        """A row for each of these seeds, which come after so many others; hashes them on the way."""
        rows: list[tuple[int, str, bytearray, bytearray]] = []
        for count, seed in enumerate(seeds, before + 1):
            try:
                packed = orjson.dumps(seed.fields)
            except TypeError:  # a blank goes before numbers that only Python's own reader takes
                packed = b" " + json.dumps(seed.fields).encode()
            so_far.update(b"%d\n%b" % (len(packed), packed))
            if count & (count - 1) == 0 or count in marks or count == limit:
                self.marks[count] = so_far.hexdigest()
            if limit is not None and count > limit:
                continue
            folded = orjson.dumps(_texts_folded(seed.fields, packed), option=orjson.OPT_SORT_KEYS)
            digest = hashlib.blake2b(folded, digest_size=16).digest()
            rows.append((count - 1, seed.id, bytearray(digest), bytearray(packed)))  # sqlite3 takes longer for bytes
        return rows

    def __iter__(self) -> Iterator[Seed | Rejection]:
        """Every seed in order; one that repeats an earlier one (after NFKC and white-space folding) as a rejection."""
        every = "SELECT id, fields, first FROM seed LEFT JOIN repeated USING (position) ORDER BY seed.position"
        for name, fields, first in itertools.chain.from_iterable(self._found(every, ROWS_AT_ONCE)):
            if first is None:
                yield Seed(id=name, fields=orjson.loads(fields) if fields[:1] != b" " else json.loads(fields))
            else:
                detail = f"it says the same as seed {first}"
                yield Rejection(
                    id=name, seed_id=name, stage="seeds", reason="repeated_seed", detail=detail, twin_id=first
                )

    def pieces(self) -> Iterator[list[Seed]]:
        """Every seed in order, but for the repeated ones, many at once."""
        single = "SELECT id, fields FROM seed WHERE position NOT IN (SELECT position FROM repeated) ORDER BY position"
        for piece in self._found(single, SEEDS_AT_ONCE):
            yield [
                Seed(id=name, fields=(json if packed[:1] == b" " else orjson).loads(packed)) for name, packed in piece
            ]

    def close(self) -> None:
        """Close and remove the file."""
        with self._reading:
            self._connection.close()
        self._path.unlink(missing_ok=True)

    def _found(self, query: str, at_once: int) -> Iterator[list[tuple[Any, ...]]]:
        """What a query finds, so many at once. Raises sqlite3.ProgrammingError when the file was closed meanwhile."""
        with self._reading:
            rows = self._connection.execute(query)
        try:
            while piece := self._next(rows, at_once):
                yield piece
        finally:
            with self._reading, suppress(sqlite3.ProgrammingError):  # it went with its file
                rows.close()

    def _next(self, rows: sqlite3.Cursor, at_once: int) -> list[tuple[Any, ...]]:
        with self._reading:
            return rows.fetchmany(at_once)

    def _count(self, table: str) -> int:
        return int(self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 (our own names)


def _texts_folded(fields: Fields, packed: bytes) -> Fields:
    """The fields, folded; where their JSON tells of texts in ASCII without blanks in a row, in a third of the time."""
    if b"  " in packed or b"\\" in packed or not packed.isascii():
        return _folded(fields)
    folded: Fields = {}
    for name, value in fields.items():
        if not isinstance(value, str):
            return _folded(fields)
        folded[name] = value.strip(" ")
    return folded


def _folded(value: Any) -> Any:
    if isinstance(value, str):
        return " ".join((value if value.isascii() else unicodedata.normalize("NFKC", value)).split())
    if isinstance(value, list):
        return [_folded(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {name: _folded(item) for name, item in cast("dict[str, Any]", value).items()}
    return str(value) if isinstance(value, int) else value
