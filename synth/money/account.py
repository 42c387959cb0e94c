"""A sum of money that several runs on one machine share: a small SQLite file from which each leases.

A run may spend what it holds. It takes more as it needs it, and at its end gives back what it did not spend. What a
killed run holds stays set aside until that run goes on, or until somebody releases it. So the runs together never
spend more than the total, whatever becomes of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from synth.errors import FolderError
from synth.storage.database import connect, readable

APPLICATION_ID = 0x53594E41
SHARE = 8
"""A lease takes an eighth of what is free, so that several runs find something and the file is rarely written."""
WAIT_S = 30.0

SCHEMA = f"""
BEGIN IMMEDIATE;
PRAGMA application_id = {APPLICATION_ID};
CREATE TABLE total (only INTEGER PRIMARY KEY CHECK (only = 1), microusd INTEGER NOT NULL);
CREATE TABLE lease (
    run TEXT PRIMARY KEY, folder TEXT NOT NULL, held_microusd INTEGER NOT NULL, spent_microusd INTEGER NOT NULL
);
COMMIT;
"""


@dataclass(frozen=True, slots=True)
class Lease:
    """What one run holds of an account, and how much of that it was last known to have spent."""

    run: str
    folder: str
    held_microusd: int
    spent_microusd: int


class Account:
    """One run's part in an account file. Every call blocks for a moment; an event loop uses a thread."""

    def __init__(self, path: Path, run: str, folder: Path, spent_microusd: int) -> None:
        """Join the account, or come back to it with what was held.

        Raises FolderError when there is no account at `path`, or `folder` is a copy of a run that is in it.
        """
        self.path = path
        self._run = run
        self._others_microusd = self._total_microusd = 0
        with _changing(path) as connection:
            row = connection.execute("SELECT folder, held_microusd FROM lease WHERE run = ?", (run,)).fetchone()
            where = str(folder.absolute())
            if row is not None and row[0] != where and run_in(Path(row[0])) == run:
                raise FolderError(
                    f"{folder} is a copy of {row[0]}, whose run spends from {path}; go on there, or use another folder."
                )
            self.held_microusd = max(spent_microusd, 0 if row is None else int(row[1]))
            connection.execute(
                "INSERT OR REPLACE INTO lease VALUES (?, ?, ?, ?)", (run, where, self.held_microusd, spent_microusd)
            )
            self._look(connection)

    def lease(self, wanted_microusd: int, most_microusd: int | None, spent_microusd: int) -> int:
        """Hold `wanted_microusd` or more if there is so much, never more than `most_microusd`; return what is held.

        Raises FolderError when the file cannot be written.
        """
        with _changing(self.path) as connection:
            self._look(connection)
            free = self._total_microusd - self._others_microusd - self.held_microusd
            more = max(wanted_microusd - self.held_microusd, free // SHARE)
            held = self.held_microusd + max(0, min(more, free))
            held = max(self.held_microusd, held if most_microusd is None else min(held, most_microusd))
            self._write(connection, held, spent_microusd)
        self.held_microusd = held
        return held

    def give_back(self, spent_microusd: int) -> None:
        """Hold only what is spent or may have been. Raises FolderError when the file cannot be written."""
        with _changing(self.path) as connection:
            self._write(connection, spent_microusd, spent_microusd)
        self.held_microusd = spent_microusd

    def used_up(self) -> str:
        """The beginning of a sentence that says so."""
        return (
            f"The account {self.path} of ${self._total_microusd / 1e6:,.2f} is used up: other runs spent or hold "
            f"${self._others_microusd / 1e6:,.4f}"
        )

    def _look(self, connection: sqlite3.Connection) -> None:
        self._total_microusd = _total(connection)
        others = "SELECT coalesce(sum(held_microusd), 0) FROM lease WHERE run <> ?"
        self._others_microusd = int(connection.execute(others, (self._run,)).fetchone()[0])

    def _write(self, connection: sqlite3.Connection, held_microusd: int, spent_microusd: int) -> None:
        held = max(held_microusd, spent_microusd)  # an overshoot counts too
        connection.execute(
            "UPDATE lease SET held_microusd = ?, spent_microusd = ? WHERE run = ?", (held, spent_microusd, self._run)
        )


def run_in(folder: Path) -> str:
    """The name by which the run in a folder holds money; empty where it never did, or none can be read."""
    with suppress(FolderError), readable(folder / "run.db"), closing(connect(folder / "run.db")) as connection:
        row = connection.execute("SELECT value FROM meta WHERE name = 'account_run'").fetchone()
        return "" if row is None else str(row[0])
    return ""


def set_total(path: Path, microusd: int) -> None:
    """Make an account, or change the total of one. Raises FolderError when that cannot be."""
    if not path.exists():
        try:
            connection = sqlite3.connect(path, isolation_level=None, timeout=WAIT_S)
            connection.executescript(SCHEMA)
            connection.close()
        except sqlite3.Error as error:
            raise FolderError(f"{path} cannot be made ({error}); choose another path.") from error
    with _changing(path) as connection:
        connection.execute("INSERT OR REPLACE INTO total VALUES (1, ?)", (microusd,))


def standing(path: Path) -> tuple[int, list[Lease]]:
    """The total of an account in micro-dollars and what each run holds. Raises FolderError when there is none."""
    with _changing(path) as connection:
        rows = connection.execute("SELECT run, folder, held_microusd, spent_microusd FROM lease ORDER BY rowid")
        return _total(connection), [Lease(*row) for row in rows.fetchall()]


def release(path: Path, run: str, spent_microusd: int) -> int:
    """Give back what a dead run holds beyond what it spent; return how much that was, in micro-dollars.

    Raises FolderError when it is not in the account.
    """
    with _changing(path) as connection:
        row = connection.execute("SELECT held_microusd FROM lease WHERE run = ?", (run,)).fetchone()
        if row is None:
            raise FolderError(f"The run holds nothing of {path}.")
        connection.execute(
            "UPDATE lease SET held_microusd = ?, spent_microusd = ? WHERE run = ?",
            (spent_microusd, spent_microusd, run),
        )
        return int(row[0]) - spent_microusd


@contextmanager
def _changing(path: Path) -> Generator[sqlite3.Connection]:
    """One transaction that no other process shares, synced when it ends."""
    if not path.exists():
        raise FolderError(f"There is no account at {path}; make it with `synth account {path} --usd TOTAL`.")
    connection = None
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=WAIT_S)
        if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise FolderError(f"{path} is not an account; make one with `synth account PATH --usd TOTAL`.")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise FolderError(f"The account {path} cannot be used ({error}); mend it or leave it out.") from error
    finally:
        if connection is not None:
            connection.close()


def _total(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT microusd FROM total").fetchone()
    return 0 if row is None else int(row[0])
