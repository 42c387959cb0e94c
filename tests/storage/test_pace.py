from __future__ import annotations

import sqlite3

from synth.storage.database import SCHEMA
from synth.storage.pace import PARTS, SECOND_NS, Pace, read_pace

HOUR_S = 3600


def paced(*sent: tuple[float, str]) -> Pace | None:
    """The pace of attempts, each by its second and its class, of ten tokens and 3 micro-dollars."""
    connection = sqlite3.connect(":memory:")
    connection.executescript(SCHEMA)
    for number, (at_s, failure) in enumerate(sent, 1):
        connection.execute(
            "INSERT INTO attempt VALUES (?, x'', 's', 'u', 't', 'm', 0, ?, 0, 0, 0, x'')",
            (number, int(at_s * SECOND_NS)),
        )
        connection.execute("INSERT INTO settled VALUES (?, ?, 3, 5, 10, 0, 0, 0, 0)", (number, failure))
    return read_pace(connection)


def test_the_parts_of_a_run_hold_every_request_with_its_tokens_and_its_cost() -> None:
    pace = paced(*((number / 10, "ok" if number % 5 else "rate") for number in range(1000)))
    assert pace is not None
    assert len(pace.parts) == PARTS
    assert abs(pace.part_s * PARTS - 100) < 1
    assert sum(part.requests for part in pace.parts) == 1000
    assert sum(part.failed for part in pace.parts) == 200
    assert sum(part.completion_tokens for part in pace.parts) == 10_000
    assert sum(part.cost_microusd for part in pace.parts) == 3000
    assert pace.breaks == 0
    assert max(part.requests for part in pace.parts) <= 23


def test_the_hours_between_two_sittings_are_left_out() -> None:
    sitting = [(at_s, "ok") for at_s in range(120)]
    pace = paced(*sitting, *((at_s + 30 * HOUR_S, failure) for at_s, failure in sitting))
    assert pace is not None
    assert pace.breaks == 1
    assert 200 < pace.part_s * len(pace.parts) < 300
    assert all(part.requests for part in pace.parts)


def test_what_was_never_sent_counts_for_nothing_and_one_moment_is_no_pace() -> None:
    pace = paced((0, "ok"), (1, "unsent"), (2, "reused"), (3, "ok"))
    assert pace is not None
    assert sum(part.requests for part in pace.parts) == 2
    assert paced() is None
    assert paced((5, "ok"), (5.01, "ok")) is None
    assert paced((0, "ok"), (9, "unsent")) is None
