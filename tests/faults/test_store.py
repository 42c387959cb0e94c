"""The store in trouble: foreign, damaged, shortened and busy folders. Each test is named with its fault."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from synth import api
from synth.errors import FolderError, StoreStopped
from synth.storage import salvage, writer
from synth.storage.database import PAGE_BYTES, SCHEMA_VERSION, connect, examine
from synth.storage.store import Store
from synth.types import Outcome, Planned, Request, Usage


def request(number: int) -> Request:
    body = f'{{"messages": "質問 {number} {"x" * (number % 700)}"}}'.encode()
    return Request(hashlib.sha256(body).digest(), "main", "m", body, 0, 100, 100)


def outcome(number: int) -> Outcome:
    """A reply of a length of its own; every fiftieth spills over several pages."""
    noise = random.Random(number).randbytes(40_000 if number % 50 == 7 else 200 + number % 500)
    return Outcome(200, f"答え {number} ".encode() + noise, {"date": "now"})


async def fill(store: Store, numbers: range) -> None:
    async def one(number: int) -> None:
        attempt = await store.begin([Planned(request(number), "answer", f"{number:06}", 7)])
        await store.keep(attempt, outcome(number))
        store.settle(attempt, "ok", Usage(5, 6), 3)

    await store.open_run()
    for start in range(numbers.start, numbers.stop, 40):
        await asyncio.gather(*(one(number) for number in range(start, min(start + 40, numbers.stop))))


def made(folder: Path, rows: int = 400) -> Path:
    """A run folder with so many replies, closed."""
    store = Store(folder)
    asyncio.run(fill(store, range(rows)))
    store.close()
    return folder


def found(folder: Path, rows: int = 400) -> set[int]:
    """Which replies a store holds; each of them must be as it was kept."""
    store = Store(folder)
    numbers = set()
    for number in range(rows):
        for stored in store.find(request(number).key):
            assert stored.outcome == outcome(number)
            numbers.add(number)
    store.close()
    return numbers


def refused(folder: Path, *words: str) -> None:
    """The folder is refused in one sentence, and not a byte of the database changes."""
    before = {path.name: path.read_bytes() for path in folder.glob("run.db*") if not path.name.endswith("-shm")}
    with pytest.raises(FolderError) as error:
        Store(folder)
    assert error.value.exit_code == 5
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)
    for name, content in before.items():
        assert (folder / name).read_bytes() == content, name


def foreign(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE attempt (id INTEGER PRIMARY KEY, what TEXT); INSERT INTO attempt VALUES (1, 'x');"
    )
    connection.close()


def versioned(version: int):
    def change(path: Path) -> None:
        connection = sqlite3.connect(path)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.close()

    return change


def flipped(offset: int, bits: int = 0x40):
    def change(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[offset] ^= bits
        path.write_bytes(content)

    return change


DAMAGES = {
    "another tool's database": (foreign, "is not a synth run"),
    "a text file": (lambda path: path.write_text("notes of my own " * 1000), "not a database"),
    "a zero-byte file": (lambda path: path.write_bytes(b""), "is empty"),
    "a newer schema": (versioned(SCHEMA_VERSION + 1), "newer synth"),
    "an older schema": (versioned(SCHEMA_VERSION - 1), "older synth"),
    "a truncated file": (lambda path: path.write_bytes(path.read_bytes()[: 30 * PAGE_BYTES]), "--repair"),
    "a file cut inside its first page": (lambda path: path.write_bytes(path.read_bytes()[:1000]), "run.db"),
    "a flipped bit in the header": (flipped(3), "run.db"),
    "a flipped bit in the schema": (flipped(PAGE_BYTES - 60), "run.db"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_fault_53_a_foreign_or_damaged_database_is_refused_and_never_overwritten(name, tmp_path):
    damage, word = DAMAGES[name]
    folder = made(tmp_path / "run")
    path = folder / "run.db"
    if "another" in name:
        path.unlink()
    damage(path)
    refused(folder, str(folder), word)


def test_fault_53_a_folder_in_place_of_the_database_is_refused(tmp_path):
    (tmp_path / "run" / "run.db").mkdir(parents=True)
    with pytest.raises(FolderError, match=r"run\.db"):
        Store(tmp_path / "run")


def crashed(folder: Path, where: Path, rows: int = 400) -> Path:
    """A copy of a run folder as a kill would leave it: replies are committed, the log is not yet moved over."""
    store = Store(folder)
    asyncio.run(fill(store, range(rows)))
    shutil.copytree(folder, where)
    store.close()
    return where


def test_fault_53_a_deleted_log_is_missed_as_are_the_commits_of_an_older_copy(tmp_path):
    run = crashed(tmp_path / "run", tmp_path / "killed")
    assert found(shutil.copytree(run, tmp_path / "whole")) == set(range(400))
    (run / "run.db-wal").unlink()
    (run / "run.db-shm").unlink()
    refused(run, "lacks the last", "run.db-wal", "--repair")


def test_fault_53_a_note_of_the_commits_that_was_cut_anywhere_says_nothing(tmp_path):
    folder = made(tmp_path / "run", 40)
    note = (folder / "run.lock").read_bytes()
    assert b" commits " in note
    for end in range(len(note)):
        (folder / "run.lock").write_bytes(note[:end])
        assert found(folder, 40) == set(range(40))


def test_fault_53_a_log_without_its_database_is_not_taken_for_a_new_run(tmp_path):
    run = crashed(tmp_path / "run", tmp_path / "killed")
    (run / "run.db").unlink()
    refused(run, "run.db-wal")


def test_fault_53_a_flipped_bit_in_a_reply_stops_the_run_when_it_is_read(tmp_path):
    folder = made(tmp_path / "run")
    place = (folder / "run.db").read_bytes().find(random.Random(33).randbytes(200)[100:120])
    assert place > 0  # noise does not shrink, so it lies in the file as it came
    flipped(place)(folder / "run.db")
    assert "attempt 34" in examine(folder / "run.db").problem
    store = Store(folder)
    told = []
    store.watch(told.append)
    with pytest.raises(StoreStopped, match="--repair"):
        list(store.find(request(33).key))
    store.close()
    salvaged = salvage.repair(folder)
    assert (salvaged.attempts, salvaged.replies, salvaged.missing_replies) == (400, 399, 1)
    assert found(folder) == set(range(400)) - {33}


def test_fault_53_repair_saves_all_but_what_was_cut_off(tmp_path):
    folder = made(tmp_path / "run")
    path = folder / "run.db"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 5])
    salvaged = salvage.repair(folder)
    assert salvaged.kept == folder / "run.db.damaged-1"
    assert salvaged.kept.stat().st_size == len(content) * 3 // 5
    assert 100 < salvaged.replies < 400
    assert salvaged.attempts + salvaged.missing_attempts <= 400
    assert len(found(folder)) == salvaged.replies
    assert examine(path).problem == ""


@pytest.mark.parametrize("page", ["the first", "every root", "random bytes"])
def test_fault_53_repair_needs_neither_header_nor_index_nor_tree(page, tmp_path):
    folder = made(tmp_path / "run")
    path = folder / "run.db"
    content, dice = bytearray(path.read_bytes()), random.Random(53)
    if page == "the first":
        content[:PAGE_BYTES] = bytes(PAGE_BYTES)
    elif page == "every root":
        connection = connect(path)
        roots = [root for (root,) in connection.execute("SELECT rootpage FROM sqlite_master")]
        connection.close()
        for root in roots:
            if content[(root - 1) * PAGE_BYTES] in (2, 5):  # pages above the leaves
                content[(root - 1) * PAGE_BYTES : root * PAGE_BYTES] = dice.randbytes(PAGE_BYTES)
    else:
        for _ in range(10):
            content[dice.randrange(len(content))] ^= 0xFF
    path.write_bytes(content)
    salvaged = salvage.repair(folder)
    expected = 400 if page != "random bytes" else 250
    assert salvaged.replies >= expected
    assert len(found(folder)) == salvaged.replies


def test_fault_53_repair_reads_the_log_as_well(tmp_path):
    run = crashed(tmp_path / "run", tmp_path / "killed")
    assert (run / "run.db-wal").stat().st_size > 20 * PAGE_BYTES
    content = bytearray((run / "run.db-wal").read_bytes())
    content[40_000] ^= 1  # SQLite ends its reading of the log here
    (run / "run.db-wal").write_bytes(content)
    (run / "run.db-shm").unlink()
    with pytest.raises(FolderError):
        Store(run)
    assert salvage.repair(run).replies >= 350
    assert len(found(run)) >= 350


def test_fault_53_repair_gives_no_reply_to_another_question_where_a_flipped_bit_changed_a_number(tmp_path):
    folder = made(tmp_path / "run", 240)
    content = (folder / "run.db").read_bytes()
    for attempt in range(200, 220):  # more than lie on one page, its ends included
        key = content.index(request(attempt - 1).key)
        number = bytes((0x80 | attempt >> 7, attempt & 0x7F))
        place = content.rindex(number, key - 30, key) + 1
        (folder / "run.db").write_bytes(content)
        flipped(place, 4)(folder / "run.db")
        salvage.repair(folder)
        assert found(folder, 240) == set(range(240)) - {attempt - 1, (attempt ^ 4) - 1}


def test_fault_53_repair_leaves_out_a_reply_whose_headers_are_damaged(tmp_path):
    folder = made(tmp_path / "run", 40)
    connection = sqlite3.connect(folder / "run.db", isolation_level=None)
    connection.execute('UPDATE reply SET headers = \'{"date": "now\' WHERE attempt = 7')
    connection.close()
    store = Store(folder)
    with pytest.raises(StoreStopped, match="--repair"):
        store.find(request(6).key)
    store.close()
    assert salvage.repair(folder).missing_replies == 1
    assert found(folder, 40) == set(range(40)) - {6}


def test_fault_53_repair_of_a_sound_store_changes_nothing(tmp_path):
    folder = made(tmp_path / "run")
    before = (folder / "run.db").read_bytes()
    assert salvage.repair(folder).kept is None
    assert (folder / "run.db").read_bytes() == before
    assert not list(folder.glob("run.db.*"))


def test_fault_53_repair_leaves_alone_what_is_not_ours(tmp_path):
    for name in ("another tool's database", "a text file", "a newer schema", "an older schema"):
        folder = made(tmp_path / name.replace(" ", "-"), 40)
        path = folder / "run.db"
        if "another" in name:
            path.unlink()
        DAMAGES[name][0](path)
        before = path.read_bytes()
        with pytest.raises(FolderError, match=r"run\.db"):
            salvage.repair(folder)
        assert path.read_bytes() == before


def test_fault_53_a_repair_that_was_cut_short_is_ended_by_the_next(tmp_path):
    folder = made(tmp_path / "run")
    (folder / "run.db").rename(folder / "run.db.damaged-1")
    refused(folder, "run.db.damaged-1", "--repair")
    assert salvage.repair(folder).replies == 400
    assert found(folder) == set(range(400))


def test_fault_53_after_a_repair_the_run_goes_on_and_buys_only_what_could_not_be_read(write_recipe, synth, tmp_path):
    recipe = write_recipe("practice:")
    first = api.run(recipe, folder=tmp_path / "run")
    rows = (tmp_path / "run" / "rows.jsonl").read_bytes()
    path = tmp_path / "run" / "run.db"
    path.write_bytes(path.read_bytes()[: -12 * PAGE_BYTES])
    stopped = synth("run", recipe, "--out", "run")
    assert stopped.returncode == 5, stopped.stderr
    assert "--repair" in stopped.stderr
    repaired = synth("doctor", "--repair", "run")
    assert repaired.returncode == 0, repaired.stderr
    assert "saved" in repaired.stdout
    connection = connect(path)
    left = {
        key for (key,) in connection.execute("SELECT key FROM attempt JOIN reply ON attempt = id WHERE status = 200")
    }
    connection.close()
    again = api.run(recipe, folder=tmp_path / "run")
    connection = connect(path)
    keys = [
        key for (key,) in connection.execute("SELECT key FROM attempt JOIN reply ON attempt = id WHERE status = 200")
    ]
    connection.close()
    assert len(left) < len(set(keys))
    assert all(keys.count(key) == 1 for key in left)
    assert (tmp_path / "run" / "rows.jsonl").read_bytes() == rows
    assert again.exit_code == first.exit_code == 0


def test_fault_17_of_500_who_wait_for_one_commit_the_loop_is_given_to_a_few_at_a_time(tmp_path):
    rounds, woken = 0, Counter()

    def count():
        nonlocal rounds
        rounds += 1
        asyncio.get_running_loop().call_soon(count)

    async def one(store, number):
        await store.begin([Planned(request(number), "answer", f"{number:06}", 7)])
        woken[rounds] += 1

    async def main():
        store = Store(tmp_path / "run")
        try:
            await store.open_run()
            waiting = [asyncio.ensure_future(one(store, number)) for number in range(500)]
            await asyncio.sleep(0)
            count()
            await asyncio.gather(*waiting)
        finally:
            store.close()

    asyncio.run(main())
    assert woken.total() == 500
    assert max(woken.values()) <= writer.WOKEN_AT_ONCE


def test_a_writer_that_breaks_stops_the_run_and_leaves_nobody_waiting(tmp_path, monkeypatch):
    def broken(*_arguments):
        raise RecursionError("a bug")

    async def main():
        store = Store(tmp_path / "run")
        try:
            monkeypatch.setattr(writer, "_commit", broken)
            async with asyncio.timeout(20):
                for number in range(2):
                    with pytest.raises(StoreStopped, match="RecursionError: a bug"):
                        await store.begin([Planned(request(number), "answer", "u", 7)])
        finally:
            store.close()

    asyncio.run(main())


def test_a_recipe_in_a_folder_whose_name_is_not_utf_8_is_run(write_recipe, tmp_path):
    folder = write_recipe("practice:faultless")
    named = os.fsdecode(os.fsencode(folder.parent) + b"/caf\xe9")
    try:
        folder.rename(named)
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    assert api.run(named, folder=tmp_path / "run", limit=1).exit_code == 0


@pytest.mark.parametrize(
    "words", [["run", "recipe"], ["doctor", "--repair"], ["account", "all.db", "--usd", "1", "--release"]]
)
def test_a_folder_in_which_nothing_can_be_locked_is_told_in_a_sentence(write_recipe, synth, tmp_path, words):
    recipe = write_recipe()
    assert synth("run", recipe, "--out", "実行").returncode == 0
    (tmp_path / "実行" / "run.lock").unlink()
    (tmp_path / "実行" / "run.lock").mkdir()  # stands for a folder of somebody else's: tests run as root too
    said = synth(*([words[0], recipe, "--out"] if words[0] == "run" else words), "実行")
    assert said.returncode == FolderError.exit_code, said.stderr
    assert "実行 cannot be a run folder" in said.stderr
    assert "Traceback" not in said.stderr
