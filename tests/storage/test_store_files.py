"""Which files a store leaves, and that it is read where nothing can be written."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from synth.console.account import state as account_state
from synth.errors import FolderError, StoreStopped
from synth.money.account import Account, set_total, standing
from synth.storage import writer
from synth.storage.database import connect, read_ledger
from synth.storage.lock import Lock, holder
from synth.storage.store import Store
from synth.types import Outcome, Planned, Request, Usage


async def filled(folder: Path) -> None:
    store = Store(folder)
    await store.open_run()
    attempt = await store.begin([Planned(Request(bytes(32), "main", "m", b"{}", 0, 10, 10), "answer", "0", 7)])
    await store.keep(attempt, Outcome(200, "答え".encode()))
    store.settle(attempt, "ok", Usage(5, 6), 3)
    assert (folder / "run.db-wal").stat().st_size > 0
    store.close()


def test_what_was_asked_is_still_found_when_the_memory_of_it_was_given_back(tmp_path):
    async def main() -> None:
        store = Store(tmp_path)
        await store.open_run()
        for number in range(3):
            request = Request(bytes([number] * 32), "main", "m", b"{}", 0, 10, 10)
            attempt = await store.begin([Planned(request, "answer", str(number), 7)])
            await store.keep(attempt, Outcome(200, f"答え {number}".encode()))
        assert not store.may_hold(bytes([9] * 32))
        store.asked()
        assert [store.find(bytes([number] * 32))[0].outcome.body.decode()[-1] for number in range(3)] == ["0", "1", "2"]
        assert store.find(bytes([9] * 32)) == []
        store.close()

    asyncio.run(main())


def test_notes_that_follow_each_other_wait_for_no_group_and_what_comes_after_several_at_once_does(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(writer, "GROUP_S", 3600.0)

    async def main() -> None:
        store = Store(tmp_path)
        async with asyncio.timeout(60):
            for number in range(3):
                await store.note(f"メモ{number}", "一つずつ")
            await asyncio.gather(store.note("a", "一緒に"), store.note("b", "一緒に"))
        later = asyncio.create_task(store.note("c", "次の組"))
        done, _ = await asyncio.wait([later], timeout=0.2)
        assert not done
        store.close()  # writes it
        await later

    asyncio.run(main())
    with closing(connect(tmp_path / "run.db")) as connection:
        notes = dict(connection.execute("SELECT name, value FROM meta").fetchall())
    assert [notes[name] for name in ("メモ2", "b", "c")] == ["一つずつ", "一緒に", "次の組"]


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


def test_who_reads_what_a_run_has_ended_leaves_the_folder_as_it_was_found(tmp_path):
    asyncio.run(filled(tmp_path))
    before = (tmp_path / "run.db").read_bytes(), (tmp_path / "run.db").stat().st_mtime_ns
    with closing(connect(tmp_path / "run.db")) as first, closing(connect(tmp_path / "run.db")) as second:
        assert read_ledger(first) == read_ledger(second) != []
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            first.execute("DELETE FROM attempt")
    assert names(tmp_path) == {"run.db", "run.lock"}
    assert ((tmp_path / "run.db").read_bytes(), (tmp_path / "run.db").stat().st_mtime_ns) == before


def test_what_a_killed_run_left_in_its_log_is_read_and_stays_there(tmp_path):
    asyncio.run(filled(tmp_path / "run"))
    with closing(connect(tmp_path / "run" / "run.db", write=True)) as other:
        other.execute("INSERT INTO meta VALUES ('題', '値')")
        killed = tmp_path / "killed"
        killed.mkdir()
        for name in ("run.db", "run.db-wal"):
            (killed / name).write_bytes((tmp_path / "run" / name).read_bytes())
    before = (killed / "run.db").read_bytes(), (killed / "run.db-wal").read_bytes()
    with closing(connect(killed / "run.db")) as connection:
        assert connection.execute("SELECT value FROM meta WHERE name = '題'").fetchone() == ("値",)
    assert ((killed / "run.db").read_bytes(), (killed / "run.db-wal").read_bytes()) == before


def test_who_reads_beside_a_run_sees_what_it_writes_later(tmp_path):
    async def beside() -> None:
        store = Store(tmp_path)
        with closing(connect(tmp_path / "run.db")) as reader:
            await store.note("題", "値")
            assert reader.execute("SELECT value FROM meta WHERE name = '題'").fetchone() == ("値",)
            store.close()
        assert names(tmp_path) == {"run.db", "run.lock"}

    asyncio.run(beside())


def test_a_store_in_a_folder_that_nobody_can_write_to_is_read_and_nothing_is_made_there(tmp_path, monkeypatch):
    asyncio.run(filled(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (tmp_path, os.W_OK))
    with closing(connect(tmp_path / "run.db")) as connection:
        assert [(line.attempts, line.cost_microusd) for line in read_ledger(connection)] == [(1, 3)]
        assert names(tmp_path) == {"run.db", "run.lock"}


def test_an_empty_log_that_a_reader_left_is_no_reason_to_make_anything_there(tmp_path, monkeypatch):
    asyncio.run(filled(tmp_path))
    (tmp_path / "run.db-wal").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (tmp_path, os.W_OK))
    with closing(connect(tmp_path / "run.db")) as connection:
        assert [(line.attempts, line.cost_microusd) for line in read_ledger(connection)] == [(1, 3)]
        assert names(tmp_path) == {"run.db", "run.db-wal", "run.lock"}


def test_who_may_read_a_run_sees_whether_somebody_holds_it(tmp_path):
    lock = Lock(tmp_path)
    (tmp_path / "run.db").touch()
    locked, read = ((tmp_path / name).stat().st_mode & 0o444 for name in ("run.lock", "run.db"))
    assert locked == read
    assert holder(tmp_path) == "another process"
    lock.release()
    assert holder(tmp_path) == ""


def test_a_run_that_cannot_be_looked_into_is_not_taken_for_one_that_has_ended(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    path, folder = tmp_path / "team.account", tmp_path / "実行"
    set_total(path, 800)
    Account(path, "one", folder, 0).lease(500, None, 0)
    lease = standing(path)[1][0]
    monkeypatch.setattr(os, "open", refused)
    monkeypatch.setattr(Path, "stat", refused)
    with pytest.raises(FolderError, match=r"Whether something runs in .*実行 cannot be seen .*; ask whose it is"):
        holder(folder)
    with pytest.raises(FolderError, match=r"run\.db cannot be read .*; ask whose it is"):
        connect(folder / "run.db")
    assert account_state(lease, path) == "somebody else's, who alone can see whether it runs"
