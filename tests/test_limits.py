"""Admission, on a clock that the test moves."""

from __future__ import annotations

import asyncio

import pytest

from synth.endpoint import Limits
from synth.errors import Fatal
from synth.halt import Halt
from synth.limits import Admission, Bucket


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


async def full_round(admission: Admission) -> None:
    """As many requests as the limit allows, all at once, all accepted."""
    held = asyncio.Event()

    async def one() -> None:
        async with admission.slot(1, 0):
            await held.wait()
        admission.accepted()

    async with asyncio.TaskGroup() as group:
        for _ in range(int(admission.limit)):
            group.create_task(one())
        await asyncio.sleep(0)
        held.set()


def test_a_bucket_lets_through_95_percent_of_what_was_agreed():
    clock = Clock()
    bucket = Bucket(600, clock)
    sent = 0
    while clock.now < 600:
        wait = bucket.wait_s(1)
        if wait > 0:
            clock.now += wait
        bucket.take(1)
        sent += 1
    assert 5650 <= sent <= 5760  # 600 a minute for ten minutes, less 5 %, and at most one burst


def test_a_request_larger_than_the_bucket_goes_and_leaves_a_debt():
    clock = Clock()
    bucket = Bucket(6000, clock)
    assert bucket.wait_s(100_000) == 0
    bucket.take(100_000)
    assert bucket.wait_s(1) > 900


def test_the_limit_doubles_until_the_first_signal_then_creeps_and_falls_once_an_episode():
    async def main() -> list[float]:
        clock = Clock()
        admission = Admission(Limits(max_in_flight=1000), clock, clock.sleep)
        seen = [admission.limit]
        for _ in range(2):
            await full_round(admission)
            seen.append(admission.limit)
        clock.now = 10
        admission.refused(sent_at=5)
        seen.append(admission.limit)
        admission.refused(sent_at=9)  # sent before the cut: the same episode
        seen.append(admission.limit)
        await full_round(admission)
        seen.append(admission.limit)
        return seen

    first, second, third, cut, same, grown = asyncio.run(main())
    assert (first, second, third) == (16, 32, 64)
    assert cut == pytest.approx(64 * 0.85)
    assert same == cut
    assert cut < grown < 64


def test_a_limit_that_is_not_used_does_not_grow():
    async def main() -> float:
        clock = Clock()
        admission = Admission(Limits(), clock, clock.sleep)
        for _ in range(100):
            async with admission.slot(1, 0):
                pass
            admission.accepted()
        return admission.limit

    assert asyncio.run(main()) == 16


def test_never_more_than_the_limit_are_on_the_wire_and_later_stages_go_first():
    order: list[int] = []
    peak = 0

    async def main() -> None:
        clock = Clock()
        admission = Admission(Limits(max_in_flight=3), clock, clock.sleep)

        async def one(priority: int) -> None:
            nonlocal peak
            async with admission.slot(1, priority):
                order.append(priority)
                peak = max(peak, admission.in_flight)
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            for priority in [0, 0, 0, 0, 0, -2, -2, 0, -1]:
                group.create_task(one(priority))

    asyncio.run(main())
    assert peak == 3
    assert order[3:6] == [-2, -2, -1]


def test_a_run_that_stops_while_all_wait_for_a_retry_after_lets_go_of_every_one_of_them():
    async def main() -> int:
        halt = Halt()
        admission = Admission(Limits(max_in_flight=1), lambda: 0.0, halt.sleep)
        admission.hold(3000)

        async def one() -> int:
            try:
                async with admission.slot(1, 0):
                    return 0
            except Fatal:
                return 1

        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            waiting = [group.create_task(one()) for _ in range(6)]
            # the first takes the place and sleeps at the gate; a second enters while nothing is in flight
            await asyncio.sleep(0)
            halt.throw(Fatal("stop"))
        return sum(task.result() for task in waiting)

    assert asyncio.run(main()) == 6
