"""The disk in trouble: full, read-only, failing, slow. The run stops in one sentence and nothing paid for is lost."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import zstandard

from synth import api
from synth.errors import StoreStopped
from synth.storage import disk, writer
from synth.storage.database import connect
from synth.storage.emergency import places


@pytest.fixture
def book(request) -> str:
    """The server's book for this test."""
    return hashlib.sha256(request.node.name.encode()).hexdigest()[:8]


@pytest.fixture
def recipe(write_recipe, server, book) -> Path:
    return write_recipe(server.url(book), endpoint="price: {input_usd: 1, output_usd: 2}")


def stored(folder: Path) -> Counter[str]:
    """By the SHA-256 of the body, how many whole replies a run holds."""
    unpack = zstandard.ZstdDecompressor().decompress
    connection = connect(folder / "run.db")
    rows = connection.execute(
        "SELECT body FROM attempt JOIN reply ON attempt = id WHERE status = 200 AND error = ''"
    ).fetchall()
    connection.close()
    return Counter(hashlib.sha256(unpack(body)).hexdigest() for (body,) in rows)


def assert_stopped(finished, *words: str) -> None:
    assert finished.returncode == 5, finished.stderr
    assert "Traceback" not in finished.stderr
    sentences = [line for line in finished.stderr.splitlines() if line and "in flight" not in line]
    assert len(sentences) == 1, finished.stderr
    for word in words:
        assert word in sentences[0]


def assert_whole_after_a_rerun(
    recipe: Path, run: Path, server, book: str, *, early: bool = False, unsure: bool = False
) -> None:
    """L = 0 and D = 0: everything the server was paid for is stored, and nothing was paid for twice.

    `unsure`: whether the last commit before the trouble took place, so that attempts in it may count as lost.
    """
    before = server.paid(book)
    result = api.run(recipe, folder=run)
    assert result.exit_code == 0, result.message
    paid = server.paid(book)
    assert early or sum(before.values()) > 0
    assert max(paid.values()) == 1
    assert stored(run) == paid
    connection = connect(run / "run.db")
    (identity,) = connection.execute("SELECT value FROM meta WHERE name = 'identity'").fetchone()
    assert not any(path.exists() for path in places(run / "run.db", identity))
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    lost = connection.execute("SELECT count(*) FROM settled WHERE failure = 'lost'").fetchone()
    assert unsure or lost == (0,)
    connection.close()


def troubled(shim: Path, call: str, after: int, error: int, name: str, **more: object) -> dict[str, str]:
    return {
        "LD_PRELOAD": str(shim),
        "SHIM_NAME": name,
        "SHIM_CALL": call,
        "SHIM_AFTER": str(after),
        "SHIM_ERRNO": str(error),
        **{key: str(value) for key, value in more.items()},
    }


@pytest.mark.parametrize(
    ("code", "after", "name"),
    [
        (errno.ENOSPC, 100, "/run/run.db"),
        (errno.ENOSPC, 110, "/run/"),
        (errno.ENOSPC, 400, "/run/"),
        (errno.EDQUOT, 200, "/run/run.db"),
        (errno.EROFS, 150, "/run/"),
    ],
)
def test_fault_48_a_disk_that_takes_nothing_more_stops_the_run_and_loses_nothing(
    code, after, name, recipe, synth, shim, server, tmp_path, book
):
    finished = synth("run", recipe, "--out", "run", env=troubled(shim, "write", after, code, name))
    assert_stopped(finished, "could not be written", "run again")
    assert not (tmp_path / "run" / "rows.jsonl").exists()
    assert_whole_after_a_rerun(recipe, tmp_path / "run", server, book)


@pytest.mark.parametrize("refused_at", [1, 2, 3, 5, 8])
def test_fault_48_every_commit_may_be_the_one_that_is_refused(refused_at, recipe, server, tmp_path, book, monkeypatch):
    commit, calls = writer._commit, 0

    def refusing(*arguments):
        nonlocal calls
        calls += 1
        if calls == refused_at:
            raise sqlite3.OperationalError("database or disk is full")
        commit(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(writer, "_commit", refusing)
        with pytest.raises(StoreStopped, match="disk is full"):
            api.run(recipe, folder=tmp_path / "run")
        assert calls == refused_at, "a disk that refused was asked again"
    assert_whole_after_a_rerun(recipe, tmp_path / "run", server, book, early=refused_at < 8)


def test_fault_48_a_page_limit_is_a_full_disk(recipe, server, tmp_path, book, monkeypatch):
    def small(path, *, write=False):
        connection = connect(path, write=write)
        connection.execute("PRAGMA max_page_count = 20")
        return connection

    with monkeypatch.context() as patched:
        patched.setattr(writer, "connect", small)
        with pytest.raises(StoreStopped, match="full") as error:
            api.run(recipe, folder=tmp_path / "run")
    assert str(tmp_path / "run" / "run.emergency") in str(error.value)
    assert_whole_after_a_rerun(recipe, tmp_path / "run", server, book)


def test_fault_48_a_limit_on_file_sizes_is_a_full_disk(recipe, server, tmp_path, book):
    finished = subprocess.run(
        [sys.executable, "-c", "from synth.cli import main; main()", "run", recipe, "--out", "run"],
        cwd=tmp_path,
        env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(Path(disk.__file__).parents[2])},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert_stopped(finished, "could not be written")
    assert_whole_after_a_rerun(recipe, tmp_path / "run", server, book)


UNSEEN = "from synth.storage import writer; writer.LOOK_EVERY_S = 1e9; from synth.cli import main; main()"
"""The command, that never looks whether the disk is about to fill up: it runs into its end."""


@pytest.mark.parametrize("is_moved", [False, True], ids=["there is room again", "the folder goes to a larger one"])
def test_fault_48_a_small_disk_that_fills_up(is_moved, recipe, server, tmp_path, book):
    mounted = tmp_path / "run"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1000k", "tmpfs", mounted]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small disk can be mounted by root alone")
    try:
        finished = subprocess.run(
            [sys.executable, "-c", UNSEEN, "run", recipe, "--out", "run"],
            cwd=tmp_path,
            env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(Path(disk.__file__).parents[2])},
            capture_output=True,
            text=True,
            check=False,
        )
        assert_stopped(finished, "run/run.db", "disk is full", "synth-")
        if is_moved:
            assert_whole_after_a_rerun(recipe, shutil.copytree(mounted, tmp_path / "elsewhere"), server, book)
        else:
            subprocess.run(["mount", "-o", "remount,size=64m", mounted], check=True)
            assert_whole_after_a_rerun(recipe, mounted, server, book)
    finally:
        subprocess.run(["umount", mounted], check=True)


def test_fault_48_a_run_on_a_disk_that_is_full_already_is_not_told_as_damaged(recipe, synth, tmp_path):
    assert synth("run", recipe, "--out", "run").returncode == 0
    limited = [sys.executable, "-c", f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9, 9)); {UNSEEN}"]
    finished = subprocess.run(
        [*limited, "run", recipe, "--out", "run"],
        cwd=tmp_path,
        env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(Path(disk.__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 5
    assert "run/run.db cannot be opened (disk I/O error): its disk is full. Free space, and" in finished.stderr


def test_fault_48_sending_stops_before_the_disk_is_full(recipe, server, tmp_path, book, monkeypatch):
    looks = iter([""] * 9)
    with monkeypatch.context() as patched:
        patched.setattr(writer, "LOOK_EVERY_S", 0.0)
        patched.setattr(
            writer, "shortage", lambda folder: next(looks, f"only 12.0 MB are free on the disk of {folder}")
        )
        with pytest.raises(StoreStopped, match=r"only 12\.0 MB are free") as error:
            api.run(recipe, folder=tmp_path / "run")
    assert error.value.exit_code == 5
    assert 0 < sum(server.paid(book).values()) == sum(stored(tmp_path / "run").values())
    assert_whole_after_a_rerun(recipe, tmp_path / "run", server, book)


class Statvfs:
    f_frsize = 4096
    f_files = 1000

    def __init__(self, size: int, free: int, inodes: int = 500) -> None:
        self.f_blocks, self.f_bavail, self.f_favail = size // 4096, free // 4096, inodes


@pytest.mark.parametrize(
    ("size", "free", "inodes", "word"),
    [
        (10**12, 2 * 10**9, 500, ""),
        (10**12, 9 * 10**8, 500, "only 900"),
        (4 * 10**9, 3 * 10**8, 500, ""),
        (4 * 10**9, 1 * 10**8, 500, "only 100"),
        (10**12, 5 * 10**11, 3, "3 more files"),
    ],
)
def test_fault_48_what_counts_as_short(size, free, inodes, word, monkeypatch, tmp_path):
    monkeypatch.setattr(disk.os, "statvfs", lambda _: Statvfs(size, free, inodes))
    assert word in disk.shortage(tmp_path)
    assert bool(word) == bool(disk.shortage(tmp_path))


def test_fault_49_a_failed_fsync_is_never_tried_again(recipe, synth, shim, server, tmp_path, book):
    log = tmp_path / "calls"
    finished = synth(
        "run", recipe, "--out", "run", env=troubled(shim, "sync", 16, errno.EIO, "/run/run.db", SHIM_LOG=log)
    )
    assert_stopped(finished, "could not be written", "disk I/O error", "run.emergency")
    calls = [line.split()[0] for line in log.read_text().splitlines()]
    assert calls.count("failed") == 1
    assert calls.index("failed") >= len(calls) - 2, "the database was touched after its fsync had failed"
    assert_whole_after_a_rerun(recipe, tmp_path / "run", server, book, unsure=True)


def test_fault_49_where_no_disk_takes_them_the_sentence_says_that_replies_are_lost(recipe, synth, shim, tmp_path):
    (tmp_path / "tmp").mkdir()
    env = troubled(shim, "write", 120, errno.EIO, str(tmp_path), TMPDIR=tmp_path / "tmp")
    assert_stopped(synth("run", recipe, "--out", "run", env=env), "no other place", "lost")


def test_fault_50_a_slow_fsync_only_slows_the_run(write_recipe, synth, shim, server, tmp_path, book):
    recipe = write_recipe(server.url(book), more="", endpoint="")
    text = (recipe / "recipe.yaml").read_text().replace("max_in_flight: 32", "max_in_flight: 32, deadline_s: 1")
    (recipe / "recipe.yaml").write_text(text)
    env = troubled(shim, "sync", 14, 0, "/run/run.db-wal", SHIM_TIMES=4, SHIM_SLEEP_MS=1700)
    finished = synth("run", recipe, "--out", "run", env=env)
    assert finished.returncode == 0, finished.stderr
    connection = connect(tmp_path / "run" / "run.db")
    assert connection.execute("SELECT count(*) FROM reply WHERE error = 'timeout'").fetchone() == (0,)
    connection.close()
    assert stored(tmp_path / "run") == server.paid(book)


def test_fault_44_every_group_commit_is_synced(recipe, synth, shim, tmp_path):
    log = tmp_path / "calls"
    finished = synth("run", recipe, "--out", "run", env=troubled(shim, "none", 0, 0, "/run/run.db", SHIM_LOG=log))
    assert finished.returncode == 0, finished.stderr
    connection = connect(tmp_path / "run" / "run.db")
    commits = int(connection.execute("SELECT value FROM meta WHERE name = 'commits'").fetchone()[0])
    connection.close()
    syncs = sum(line.startswith("sync") and "run.db-wal" in line for line in log.read_text().splitlines())
    assert syncs >= commits > 10


def test_on_macos_fsync_is_asked_to_reach_the_platter(tmp_path, monkeypatch):
    from synth.storage import database

    database.create(tmp_path / "run.db")
    monkeypatch.setattr(database.sys, "platform", "darwin")
    connection = connect(tmp_path / "run.db", write=True)
    assert connection.execute("PRAGMA fullfsync").fetchone() == (1,)
    assert connection.execute("PRAGMA checkpoint_fullfsync").fetchone() == (1,)
    connection.close()
