"""Fault 44: the power fails. Of what was written since the last sync of a file, the disk holds none, some, or all.

The store fills under a shim that tapes every write, cut and sync; a moment of the tape is played back onto an empty
disk. What was synced is there. What was not is kept or dropped sector by sector, in any order, as a drive's cache may.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from synth.errors import FolderError
from synth.storage.store import Store

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from power import outcome, request  # noqa: E402

HEAD = struct.Struct("<cHIQ")
SECTOR = 512
REPLIES = 400
FILES = ("run.db", "run.db-wal", "run.lock")


@dataclass
class Disk:
    """Files with what is safe, and what a power failure may still take."""

    safe: dict[str, bytearray]
    waiting: dict[str, list[tuple[str, int, bytes]]] = field(default_factory=dict)

    def do(self, what: str, name: str, at: int, data: bytes) -> None:
        if what == "s":
            for one in self.waiting.pop(name, []):
                change(self.safe.setdefault(name, bytearray()), *one)
        else:
            self.waiting.setdefault(name, []).append((what, at, data))

    def after_the_failure(self, dice: random.Random, share: float) -> dict[str, bytearray]:
        """The files as the next start finds them, with a share of what was not safe."""
        found = {name: bytearray(content) for name, content in self.safe.items()}
        for name, changes in self.waiting.items():
            for what, at, data in changes:
                for start in range(0, max(1, len(data)), SECTOR):
                    if dice.random() < share:
                        change(found.setdefault(name, bytearray()), what, at + start, data[start : start + SECTOR])
        return found


def change(content: bytearray, what: str, at: int, data: bytes) -> None:
    if what == "t":
        del content[at:]
    content.extend(bytes(max(0, at - len(content))))
    if what == "w":
        content[at : at + len(data)] = data


def tape(path: Path) -> Iterator[tuple[str, Path, int, bytes]]:
    content, place = path.read_bytes(), 0
    while place < len(content):
        what, length, size, at = HEAD.unpack_from(content, place)
        place += HEAD.size
        name = Path(os.fsdecode(content[place : place + length]))
        yield what.decode(), name, at, content[place + length : place + length + size]
        place += length + size


def lost_at(folder: Path, notes: str) -> list[str]:
    """What the store had acknowledged by then and no longer has."""
    try:
        store = Store(folder)
    except FolderError as error:
        return [str(error)]
    try:
        connection = sqlite3.connect(folder / "run.db")
        sound = connection.execute("PRAGMA integrity_check").fetchall()
        keys = {key for (key,) in connection.execute("SELECT key FROM attempt")}
        connection.close()
        lost = [] if sound == [("ok",)] else [str(sound)]
        for line in notes.splitlines():
            what, number = line.split()
            there = (
                request(int(number)).key in keys
                if what == "begun"
                else [stored.outcome.body for stored in store.find(request(int(number)).key)]
                == [outcome(int(number)).body]
            )
            lost += [] if there else [line]
    finally:
        store.close()
    return lost


def failures(folder: Path, shim: Path, synchronous: str, moments: int) -> tuple[int, int, list[str]]:
    """Fill a store, and fail the power at many moments: how often the log was cut, replies kept at last, losses."""
    run, notes = folder / "run", folder / "run-notes"
    Store(run).close()
    disk = Disk({name: bytearray((run / name).read_bytes()) for name in FILES if (run / name).exists()})
    subprocess.run(
        [sys.executable, HERE / "power.py", run, notes, str(REPLIES), synchronous],
        env={
            **os.environ,
            "PYTHONPATH": str(HERE.parent.parent),
            "LD_PRELOAD": str(shim),
            "SHIM_NAME": f"{folder}/run",
            "SHIM_TAPE": str(folder / "tape"),
        },
        check=True,
    )
    every = list(tape(folder / "tape"))
    dice = random.Random(44)
    chosen = set(dice.sample(range(len(every)), moments))
    said, lost, cuts = "", [], 0
    for moment, (what, path, at, data) in enumerate(every):
        if path == notes:
            said += data.decode()
        elif path.name in FILES:
            cuts += what == "t" and path.name == "run.db-wal"
            disk.do(what, path.name, at, data)
        if moment in chosen:
            place = folder / "after"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            for name, content in disk.after_the_failure(dice, dice.choice((0.0, 0.5, 0.95, 1.0))).items():
                (place / name).write_bytes(content)
            lost += lost_at(place, said)
    return cuts, said.count("kept"), lost


def test_fault_44_after_a_power_failure_every_acknowledged_attempt_and_reply_is_there(tmp_path, shim):
    cuts, kept, lost = failures(tmp_path, shim, "FULL", 300)
    assert kept == REPLIES
    assert cuts > 3, "the log was never emptied, which is the dangerous moment"
    assert lost == []


def test_fault_44_the_simulation_finds_what_a_store_that_does_not_sync_each_commit_loses(tmp_path, shim):
    _, _, lost = failures(tmp_path, shim, "NORMAL", 40)
    assert any("kept" in line for line in lost)
