"""When the requests of a run were sent, and what came of them: counts by time, with the idle time left out."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

LEAST_UNIT_NS = 50_000_000
UNITS = 20_000
"""A run is read in so many units of time at most, which are joined to a few parts then."""
PARTS = 48
IDLE_S = 60
"""A longer time without a request is a break, as between two sittings of a run."""
SECOND_NS = 1_000_000_000


@dataclass(slots=True)
class Part:
    """What was sent in one part of the time, and what its replies came to."""

    requests: int = 0
    failed: int = 0
    completion_tokens: int = 0
    cost_microusd: int = 0


@dataclass(frozen=True, slots=True)
class Pace:
    """Equal parts of the time in which a run asked, in order; `breaks` is how often nothing was sent for long."""

    parts: tuple[Part, ...]
    part_s: float
    breaks: int


def read_pace(connection: sqlite3.Connection) -> Pace | None:
    """The pace of all attempts that were sent and ended; None when there are too few to speak of one."""
    first, last = connection.execute("SELECT min(started_ns), max(started_ns) FROM attempt").fetchone()
    if first is None or last - first < LEAST_UNIT_NS:
        return None
    unit_ns = max(LEAST_UNIT_NS, -((first - last) // UNITS))
    rows = connection.execute(
        "SELECT (started_ns - ?) / ?, count(*) - sum(coalesce(lot.place, 0) > 0), sum(failure != 'ok'), "
        "sum(coalesce(completion_tokens, 0)), sum(cost_microusd) FROM attempt "
        "JOIN settled ON settled.attempt = attempt.id LEFT JOIN lot ON lot.attempt = attempt.id "
        "WHERE failure NOT IN ('unsent', 'reused') GROUP BY 1 ORDER BY 1",
        (first, unit_ns),
    ).fetchall()
    places, breaks = _without_breaks([row[0] for row in rows], unit_ns)
    if not places or not places[-1]:
        return None
    parts = [Part() for _ in range(min(PARTS, places[-1] + 1))]
    for place, (_, requests, failed, tokens, cost) in zip(places, rows, strict=True):
        part = parts[place * len(parts) // (places[-1] + 1)]
        part.requests += requests
        part.failed += failed
        part.completion_tokens += tokens
        part.cost_microusd += cost
    return Pace(tuple(parts), (places[-1] + 1) * unit_ns / SECOND_NS / len(parts), breaks)


def _without_breaks(units: list[int], unit_ns: int) -> tuple[list[int], int]:
    """The units moved together where long ones between them are empty, and how often that was."""
    idle = max(1, IDLE_S * SECOND_NS // unit_ns)
    places: list[int] = []
    breaks = removed = 0
    for before, unit in zip([units[0] if units else 0, *units], units, strict=False):
        if unit - before > idle:
            removed += unit - before - 1
            breaks += 1
        places.append(unit - removed - units[0])
    return places, breaks
