"""What a run's store knows of its batches: every step is on disk before it is taken, and what came of it after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import orjson
import zstandard

from synth.storage.database import connect, readable
from synth.types import Value

PLANNED, UPLOADED, ORDERING, ORDERED, CANCELLING, DONE = (
    *("planned", "uploaded", "ordering", "ordered", "cancelling"),
    "done",
)


class Plan(Value):
    """What is written down of a batch before anything of it is sent."""

    host: str
    path: str
    """What its requests are for."""
    wait_s: float
    """How long it may take once it is ordered."""
    token: str
    """Drawn for it alone, so that no batch of a copy of this run has its name at the host."""


class Member(NamedTuple):
    """A request of a batch that nothing was brought for yet."""

    attempt: int
    key: bytes
    reserved_microusd: int
    reserved_tokens: int
    price: str
    counted: bool
    """Whether it counts as spent since the run began, as it was sent by an earlier one."""


@dataclass(slots=True)
class Batch:
    """A batch on its way."""

    number: int
    plan: Plan
    members: dict[int, Member]
    """By attempt."""
    size: int
    """How many requests it was planned with."""
    place: str | None = None
    """Where its file lies at the host."""
    ordering_ns: int = 0
    """When it was last ordered, whatever came of that; 0 when it never was."""
    id: str = ""
    """The host's name for it; empty as long as it is not known that the host has it."""
    ordered_ns: int = 0


def has_open(path: Path, teacher: str) -> bool:
    """Whether an earlier run left a batch of a teacher at the host, or on the way there."""
    with readable(path), closing(connect(path)) as connection:
        return (
            connection.execute(
                "SELECT 1 FROM batch_step WHERE teacher = ? GROUP BY batch HAVING NOT max(step = 'done')", (teacher,)
            ).fetchone()
            is not None
        )


@dataclass(slots=True)
class _Steps:
    said: dict[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])
    """By step, when it was last taken and what was written down with it."""


def open_batches(path: Path, teacher: str) -> list[Batch]:
    """The batches of a teacher that an earlier run has not seen through."""
    steps: dict[int, _Steps] = {}
    with readable(path), closing(connect(path)) as connection:
        rows = connection.execute(
            "SELECT batch, step, at_ns, said FROM batch_step WHERE teacher = ? ORDER BY id", (teacher,)
        )
        for number, step, at_ns, said in rows:
            steps.setdefault(number, _Steps()).said[step] = at_ns, said
        found: list[Batch] = []
        for number, known in steps.items():
            if DONE in known.said or PLANNED not in known.said:
                continue
            members = connection.execute(
                "SELECT attempt.id, key, reserved_microusd, reserved_tokens, coalesce(value, '') FROM batched "
                "JOIN attempt ON attempt.id = batched.attempt LEFT JOIN meta ON meta.name = 'price ' || attempt.price "
                "WHERE batch = ? AND attempt.id NOT IN (SELECT attempt FROM reply) "
                "AND attempt.id NOT IN (SELECT attempt FROM settled)",
                (number,),
            )
            left = {row[0]: Member(*row, counted=True) for row in members.fetchall()}
            size = connection.execute("SELECT count(*) FROM batched WHERE batch = ?", (number,)).fetchone()[0]
            found.append(_batch(number, known.said, left, size))
    return found


def _batch(number: int, said: dict[str, tuple[int, str]], left: dict[int, Member], size: int) -> Batch:
    _, plan = said[PLANNED]
    ordered_ns, identity = said.get(ORDERED, (0, ""))
    return Batch(
        number,
        Plan.model_validate(orjson.loads(plan)),
        left,
        size,
        place=said[UPLOADED][1] if UPLOADED in said else None,
        ordering_ns=said.get(ORDERING, (0, ""))[0],
        id=identity,
        ordered_ns=ordered_ns,
    )


def requests_of(path: Path, batch: int) -> Iterator[tuple[int, bytes]]:
    """Attempt and body of every request of a batch, in the order in which they were planned."""
    unpack = zstandard.ZstdDecompressor().decompress
    with readable(path), closing(connect(path)) as connection:
        rows = connection.execute(
            "SELECT attempt.id, body FROM batched JOIN attempt ON attempt.id = batched.attempt WHERE batch = ? "
            "ORDER BY place",
            (batch,),
        )
        for attempt, body in rows:
            yield attempt, unpack(body)


def ids(path: Path) -> set[str]:
    """The names that hosts gave to the run's batches."""
    with readable(path), closing(connect(path)) as connection:
        return {said for (said,) in connection.execute("SELECT said FROM batch_step WHERE step = 'ordered'")}
