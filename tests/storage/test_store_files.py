"""Which files a store leaves, and that it is read where nothing can be written."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from synth.errors import StoreStopped
from synth.storage import writer
from synth.storage.store import Store, connect, read_ledger
from synth.types import Outcome, Planned, Request, Usage


async def filled(folder: Path) -> None:
    store = Store(folder)
    await store.open_run()
    attempt = await store.begin([Planned(Request(bytes(32), "main", "m", b"{}", 0, 10, 10), "answer", "0", 7)])
    await store.keep(attempt, Outcome(200, "答え".encode()))
    store.settle(attempt, "ok", Usage(5, 6), 3)
    assert (folder / "run.db-wal").stat().st_size > 0
    store.close()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_store_that_is_closed_leaves_its_database_and_its_lock_alone(tmp_path):
    asyncio.run(filled(tmp_path / "実行"))
    assert names(tmp_path / "実行") == {"run.db", "run.lock"}


def test_the_log_of_a_store_that_the_disk_refused_stays_as_it_lies(tmp_path, monkeypatch):
    async def refused() -> None:
        store = Store(tmp_path)
        await store.open_run()

        def full(*_: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(writer, "_commit", full)
        with pytest.raises(StoreStopped):
            await store.note("題", "値")
        store.close()

    asyncio.run(refused())
    assert (tmp_path / "run.db-wal").stat().st_size > 0


def test_a_store_in_a_folder_that_nobody_can_write_to_is_read_and_nothing_is_made_there(tmp_path, monkeypatch):
    asyncio.run(filled(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (tmp_path, os.W_OK))
    with closing(connect(tmp_path / "run.db")) as connection:
        assert [(line.attempts, line.cost_microusd) for line in read_ledger(connection)] == [(1, 3)]
        assert names(tmp_path) == {"run.db", "run.lock"}


def test_an_empty_log_that_a_reader_left_is_no_reason_to_make_anything_there(tmp_path, monkeypatch):
    asyncio.run(filled(tmp_path))
    connect(tmp_path / "run.db").close()
    (tmp_path / "run.db-shm").unlink()
    assert (tmp_path / "run.db-wal").stat().st_size == 0
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (tmp_path, os.W_OK))
    with closing(connect(tmp_path / "run.db")) as connection:
        assert [(line.attempts, line.cost_microusd) for line in read_ledger(connection)] == [(1, 3)]
        assert names(tmp_path) == {"run.db", "run.db-wal", "run.lock"}
