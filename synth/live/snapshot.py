"""How a run stands at one moment, for people and programs: what the live view and `synth watch` show."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from synth.language.text import several
from synth.live.progress import Progress
from synth.money.budget import Caps
from synth.report.words import ENGLISH
from synth.storage.database import connect, readable
from synth.types import Value

if TYPE_CHECKING:
    from synth.admission.halt import Halt

RECENT = 1000
"""Attempts that are looked over for problems."""
MOST_PROBLEMS = 3
MOST_DETAIL = 120
FAILED = """
SELECT attempt.teacher, settled.failure, count(*), max(attempt.id)
FROM settled JOIN attempt ON attempt.id = settled.attempt
WHERE settled.attempt > (SELECT coalesce(max(id), 0) FROM attempt) - ? AND failure NOT IN ('ok', 'reused', 'unsent')
GROUP BY attempt.teacher, settled.failure ORDER BY max(attempt.id) DESC LIMIT ?
"""


class ProblemNow(Value):
    """What went wrong in one way with one teacher's requests."""

    teacher: str
    """Its name in the recipe."""
    code: str
    """The class of the failure, such as `rate`; it stays the same when the words change."""
    count: int
    """How many of the requests that were looked over."""
    of: int
    """How many were looked over: the last ones, 1,000 at most."""
    status: int
    """The last one's HTTP status; 0 where none came."""
    text: str
    """The whole in plain words."""


class StageNow(Value):
    """One stage so far."""

    name: str
    """Its name in the recipe."""
    asked: int
    """How many pieces of work it had: one for each draw of each seed, or of each sample of the stage before."""
    expected: float | None
    """How many will be asked in all, as far as it is known."""
    kept: int | None
    """Samples that it let through."""
    parked: int
    """Pieces of work whose requests failed for now: they are asked again when the run is run again."""
    refused: dict[str, int]
    """By reason, most frequent first."""


class TeacherNow(Value):
    """One teacher's admission now."""

    name: str
    """Its name in the recipe."""
    in_flight: int
    """Requests on their way."""
    limit: int | None
    """How many may be in flight, as found so far."""
    most: int | None
    """The most there may ever be."""
    pause_s: float
    """How long it asked to be left alone."""
    silent_s: float = 0.0
    """How long it has been out of reach; 0 when it is not."""
    waited_for_s: float = 0.0
    """How long it is waited for still before the run ends; 0 when it is not out of reach."""
    running: float | None = None
    """Requests that its server says it runs; None where it does not say."""
    waiting: float | None = None
    """Requests that wait there."""
    batched: int = 0
    """Requests that wait for a batch."""
    left_out: tuple[str, ...] = ()
    """Why some of its servers, or keys, are not asked now, a sentence each; they are tried again now and then."""


class Snapshot(Value):
    """A run at one moment. Money in micro-dollars.

    Of a run that cannot be asked, as one that was started in Python, or that is over, its store is read: what only the
    run itself knows is None then, or nothing.
    """

    recipe: str
    """Its name."""
    state: str
    """`running`, `paused` or `ending`; when it is over `ended`, or `cut_off` where it was killed."""
    why: str = ""
    """Why it is ending."""
    last_commit: str | None = None
    """When the store was last written (UTC, ISO 8601); None where the run itself was asked."""
    replies_per_s: float | None = None
    """In the last minute; told where it is read from the store."""
    seconds: float | None
    """Since it began, this time."""
    left_s: float | None
    """At the pace so far; None when it cannot be told, and while the run is paused or ending."""
    seeds: int | None
    """How many there are to use."""
    seeds_done: int | None
    """Those that are through all stages."""
    rows: int | None
    """Samples that passed the last stage; selection takes its share of them at the end."""
    rows_per_s: float | None
    """Since it began, this time."""
    refused: dict[str, int]
    """Seeds and samples by the reason for which they were refused, most frequent first."""
    stages: tuple[StageNow, ...]
    """In their order."""
    teachers: tuple[TeacherNow, ...]
    """In the recipe's order."""
    tokens: int
    """Used by what was asked this time, in and out; read from the store, all in the folder."""
    spent_microusd: int
    """In the folder, earlier times included."""
    spent_tokens: int
    """The same in tokens; a reply of unknown usage counts in full."""
    spent_requests: int
    """The same in requests sent."""
    reserved_microusd: int
    """Set aside for what is in flight."""
    projected_microusd: int | None
    """What the whole will come to at this pace."""
    overshoot_microusd: int
    """What replies cost beyond what was set aside for them."""
    waiting_for_budget: int
    """Requests that wait for reservations to settle."""
    caps: Caps
    """The most that the run may use."""
    problems: tuple[ProblemNow, ...] = ()
    """What went wrong among the last 1,000 requests, the newest first, three at most."""
    held_by: tuple[str, ...] = ()
    """Which plug-ins of the user's own have kept others waiting for long, a sentence each."""


def snapshot(
    name: str,
    progress: Progress,
    halt: Halt | None = None,
    *,
    paused: bool = False,
    problems: tuple[ProblemNow, ...] = (),
) -> Snapshot:
    """How a run of the recipe `name` stands."""
    seconds = max(0.001, time.monotonic() - progress.began)
    budget = progress.budget
    error = None if halt is None else halt.error
    return Snapshot(
        recipe=name,
        state="ending" if error is not None else "paused" if paused else "running",
        why="" if error is None else writable(str(error)),
        seconds=round(seconds, 1),
        left_s=None if paused or error is not None else progress.left_s(),
        seeds=progress.total_seeds,
        seeds_done=progress.seeds_done,
        rows=progress.rows,
        rows_per_s=round(progress.rows / seconds, 3),
        refused=dict(progress.rejected().most_common()),
        stages=_stages(progress),
        teachers=_teachers(progress),
        tokens=sum(teacher.tokens for teacher in progress.teachers.values()),
        spent_microusd=budget.spent_microusd,
        spent_tokens=budget.spent_tokens,
        spent_requests=budget.spent_requests,
        reserved_microusd=budget.reserved_microusd,
        projected_microusd=progress.projected_microusd(),
        overshoot_microusd=budget.overshoot_microusd,
        waiting_for_budget=budget.waiting,
        caps=budget.caps,
        problems=problems,
        held_by=tuple(progress.held_by()),
    )


def writable(text: str) -> str:
    """The text for JSON: the name of a folder may hold bytes that are no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _stages(progress: Progress) -> tuple[StageNow, ...]:
    expected = progress.expected_units()
    return tuple(
        StageNow(
            name=name,
            asked=count.units - count.unasked,
            expected=expected.get(name),
            kept=count.accepted,
            parked=count.parked,
            refused={reason: number for reason, number in count.rejected.most_common() if number},
        )
        for name, count in progress.stages.items()
    )


def _teachers(progress: Progress) -> tuple[TeacherNow, ...]:
    held, silent, loads = progress.held(), progress.silent(), progress.loads()
    return tuple(
        TeacherNow(
            name=name,
            in_flight=one.admission.in_flight,
            limit=int(one.admission.limit),
            most=sum(lane.concurrency.most for lane in one.admission.lanes),
            pause_s=round(held.get(name, 0.0), 1),
            silent_s=round(silent[name][0], 1) if name in silent else 0.0,
            waited_for_s=round(silent[name][1], 1) if name in silent else 0.0,
            running=loads[name][0] if name in loads else None,
            waiting=loads[name][1] if name in loads else None,
            batched=0 if one.batches is None else one.batches.waiting,
            left_out=tuple(writable(why) for why in one.health.left_out()),
        )
        for name, one in progress.teachers.items()
    )


def read_problems(folder: Path) -> tuple[ProblemNow, ...]:
    """What went wrong among the last attempts of a run, the newest first."""
    path = folder / "run.db"
    with readable(path), closing(connect(path)) as connection:
        sent = connection.execute("SELECT count(*) FROM (SELECT 1 FROM attempt LIMIT ?)", (RECENT,)).fetchone()[0]
        found = connection.execute(FAILED, (RECENT, MOST_PROBLEMS)).fetchall()
        told: list[ProblemNow] = []
        for teacher, code, count, last in found:
            sql = "SELECT status, error, detail FROM reply WHERE attempt = ?"
            status, error, detail = connection.execute(sql, (last,)).fetchone() or (0, "", "")
            said = " ".join((f"HTTP {status} {detail}" if status else str(detail or error)).split())
            text = f"{teacher}: {ENGLISH.failures[code]}, {count:,} of the last {several(sent, 'request')}"
            text += f" ({said[:MOST_DETAIL]})" if said else ""
            told.append(ProblemNow(teacher=teacher, code=code, count=count, of=sent, status=status, text=text))
    return tuple(told)
