"""Fault 52: somebody reads the store for hours while a run writes it: nobody waits, and the log is emptied again."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import time
from pathlib import Path

import pytest

from synth.console import status
from synth.storage import database, writer
from synth.storage.database import connect
from synth.storage.store import Store

sys.path.insert(0, str(Path(__file__).parent))
import power

LOG_BYTES = 200_000
PATIENCE_S = 0.02


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(writer, "WAL_BYTES", LOG_BYTES)
    monkeypatch.setattr(writer, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(writer, "WAIT_FOR_READERS_MS", int(1000 * PATIENCE_S))
    monkeypatch.setattr(database, "CHECKPOINT_PAGES", 10)


async def fill(store: Store, numbers: range) -> None:
    notes = os.open(os.devnull, os.O_WRONLY)
    await power.fill(store, numbers, notes)
    os.close(notes)


def found(folder: Path, rows: int = 400) -> set[int]:
    store = Store(folder)
    numbers = {
        number
        for number in range(rows)
        for stored in store.find(power.request(number).key)
        if stored.outcome == power.outcome(number)
    }
    store.close()
    return numbers


def log_bytes(folder: Path) -> int:
    return (folder / "run.db-wal").stat().st_size


def reading(folder: Path) -> sqlite3.Connection:
    """A notebook that has begun to read and not ended."""
    connection = connect(folder / "run.db")
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM reply").fetchone()
    return connection


def count(connection: sqlite3.Connection) -> int:
    return connection.execute("SELECT count(*) FROM reply").fetchone()[0]


async def emptied(store: Store) -> int:
    """The size of the log, given the time of a few looks."""
    end = time.monotonic() + 10
    while (size := log_bytes(store.folder)) > LOG_BYTES and time.monotonic() < end:
        await store.note("tick", str(time.monotonic()))
    return size


def test_fault_52_a_reader_blocks_nobody_and_the_log_is_emptied_when_it_ends(tmp_path, capsys):
    async def main() -> None:
        store = Store(tmp_path / "run")
        try:
            await fill(store, range(40))
            notebook = reading(store.folder)
            await fill(store, range(40, 400))
            assert count(notebook) == 40, "a reader sees what it saw at first"
            held = log_bytes(store.folder)
            assert held > 3 * LOG_BYTES, "the reader stood in nobody's way, so nothing is tested"
            await asyncio.to_thread(status.status, store.folder, as_json=True)
            ledger = json.loads(capsys.readouterr().out)["ledger"]
            assert sum(line["attempts"] for line in ledger) == 400, "another reader sees what is new"
            notebook.close()
            assert await emptied(store) <= LOG_BYTES < held
        finally:
            store.close()

    asyncio.run(main())
    assert found(tmp_path / "run") == set(range(400))


def test_fault_52_the_log_that_grew_under_overlapping_readers_is_emptied_in_their_first_pause(tmp_path):
    async def main() -> None:
        store = Store(tmp_path / "run")
        sizes = []
        try:
            await fill(store, range(40))
            readers = [reading(store.folder)]
            for start in range(40, 400, 40):  # at every moment one of them reads, and each but the last one ends
                readers.append(reading(store.folder))
                await fill(store, range(start, start + 40))
                readers.pop(0).close()
                sizes.append(log_bytes(store.folder))
            assert max(sizes) > LOG_BYTES
            readers.pop().close()
            assert await emptied(store) <= LOG_BYTES
        finally:
            store.close()

    asyncio.run(main())
    assert found(tmp_path / "run") == set(range(400))


def test_fault_52_a_run_ends_while_somebody_reads_and_the_reader_reads_on(tmp_path):
    store = Store(tmp_path / "run")
    asyncio.run(fill(store, range(80)))
    notebook = reading(store.folder)
    asyncio.run(fill(store, range(80, 120)))
    began = time.monotonic()
    store.close()
    assert time.monotonic() - began < 10, "closing waited for the reader"
    assert count(notebook) == 80
    assert found(tmp_path / "run", 120) == set(range(120))
    assert count(notebook) == 80
    notebook.close()
    Store(tmp_path / "run").close()
    wal = tmp_path / "run" / "run.db-wal"
    assert not wal.exists() or wal.stat().st_size == 0
