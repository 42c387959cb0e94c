"""How a run stands by what its store holds: for one that cannot be asked, and for one that is no more."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection

from synth.live.snapshot import Snapshot, StageNow, TeacherNow, read_problems
from synth.money.budget import Caps
from synth.storage.database import Ledger, connect, read_ledger, read_spent, readable
from synth.storage.lock import holder, was_cut_off

LAST = 20_000
"""Attempts that are looked over for the rate of the last minute."""
WINDOW_S = 60.0
UNSETTLED = ("open", "kept")
"""Classes of attempts that may still cost less than what is set aside for them."""
UNITS = "SELECT stage, count(DISTINCT unit) FROM attempt GROUP BY stage ORDER BY min(id)"


def stored(folder: Path) -> Snapshot:
    """How the run in a folder stands. Raises FolderError when there is none, or it cannot be read."""
    path = folder / "run.db"
    with readable(path), closing(connect(path)) as connection:
        notes = dict(connection.execute("SELECT name, value FROM meta").fetchall())
        ledger, spent = read_ledger(connection), read_spent(connection)
        per_s = _replies_per_s(connection)
        units = dict(connection.execute(UNITS).fetchall())
        parked = dict(connection.execute("SELECT stage, count(*) FROM passed_over GROUP BY stage").fetchall())
    reserved = sum(line.cost_microusd for line in ledger if line.failure in UNSETTLED)
    return Snapshot(
        recipe=notes.get("recipe", ""),
        state="running" if holder(folder) else "cut_off" if was_cut_off(folder) else "ended",
        last_commit=last_commit(folder).isoformat(timespec="seconds"),
        replies_per_s=per_s,
        seconds=None,
        left_s=None,
        seeds=None,
        seeds_done=None,
        rows=None,
        rows_per_s=None,
        refused={},
        stages=tuple(_stage(name, units[name], parked.get(name, 0)) for name in units),
        teachers=tuple(_teachers(ledger)),
        tokens=sum(line.prompt_tokens + line.completion_tokens for line in ledger),
        spent_microusd=spent.microusd - reserved,
        spent_tokens=spent.tokens,
        spent_requests=spent.requests,
        reserved_microusd=reserved,
        projected_microusd=None,
        overshoot_microusd=sum(line.overshoot_microusd for line in ledger),
        waiting_for_budget=0,
        caps=Caps.model_validate_json(notes.get("caps") or "{}"),
        problems=read_problems(folder),
    )


def in_flight(ledger: Iterable[Ledger]) -> int:
    """Requests on their way, or about to be, those in batches aside; of a run that is no more those that it left so."""
    return sum(line.sends - line.batched for line in ledger if line.failure == "open")


def last_commit(folder: Path) -> datetime:
    """When something was last written to a run's store. Raises FolderError when there is none."""
    path = folder / "run.db"
    with readable(path):
        connect(path).close()
    return datetime.fromtimestamp(max(one.stat().st_mtime for one in _files(path)), UTC)


def _files(path: Path) -> Sequence[Path]:
    log = path.with_name(path.name + "-wal")
    return (path, log) if log.exists() and log.stat().st_size else (path,)


def _stage(name: str, units: int, parked: int) -> StageNow:
    return StageNow(name=name, asked=units, expected=None, kept=None, parked=parked, refused={})


def _teachers(ledger: Sequence[Ledger]) -> Iterable[TeacherNow]:
    for name in dict.fromkeys(line.teacher for line in ledger):
        own = [line for line in ledger if line.teacher == name]
        waiting = sum(line.batched for line in own if line.failure == "open")
        yield TeacherNow(name=name, in_flight=in_flight(own), limit=None, most=None, pause_s=0.0, batched=waiting)


def _replies_per_s(connection: Connection) -> float:
    """Replies in the last minute; of more than some thousands the pace of those."""
    now_s = time.time()
    sql = (
        "SELECT count(*), min(started_ns) FROM (SELECT started_ns, seconds FROM attempt JOIN reply "
        "ON reply.attempt = attempt.id WHERE attempt.id > (SELECT coalesce(max(id), 0) FROM attempt) - ? "
        "AND started_ns + seconds * 1e9 > ?)"
    )
    count, first_ns = connection.execute(sql, (LAST, (now_s - WINDOW_S) * 1e9)).fetchone()
    if not count:
        return 0.0
    return round(count / max(1.0, min(WINDOW_S, now_s - first_ns / 1e9)), 3)
