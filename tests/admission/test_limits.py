"""Admission, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import math

import pytest

from synth.admission.concurrency import BREAKER_FAILURES
from synth.admission.halt import Halt
from synth.admission.limits import LONGEST_GATE_S, STREAK, Admission, Allowance, Bucket, Lane, Place
from synth.errors import Fatal
from synth.protocol.endpoint import Limits


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


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


def test_never_more_than_the_limit_are_on_the_wire_and_later_stages_go_first():
    order: list[int] = []
    peak = 0

    async def main() -> None:
        clock = Clock()
        admission = Admission(Limits(max_in_flight=3), clock, clock.sleep)

        async def one(priority: int) -> None:
            nonlocal peak
            place = await admission.board(1, priority)
            order.append(priority)
            peak = max(peak, admission.in_flight)
            await asyncio.sleep(0)
            admission.land(place)

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
        for _ in range(STREAK):
            admission.lanes[0].refused(Place(admission.lanes[0], 1, {}, 0.0, 0), 3000)

        async def one() -> int:
            try:
                admission.land(await admission.board(1, 0))
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


def test_a_bucket_refills_at_its_rate():
    clock = Clock()
    bucket = Bucket(60, clock)
    for _ in range(4):
        assert bucket.wait_s(1) == 0
        bucket.take(1)
    clock.now = 0.2
    bucket.take(1)
    assert 0 < bucket.wait_s(1) < 2
    clock.now = 10.0
    assert bucket.wait_s(1) == 0


def lane(clock, **limits) -> Lane:
    return Lane(0, Limits(**limits), clock, queues_silently=False)


def test_what_a_reply_says_is_left_slows_the_lane_before_a_refusal_comes():
    clock = Clock()
    learning = lane(clock)
    taken = learning.board(1)
    assert learning.pause_s(1) == 0
    learning.learn([Allowance("requests", 60, 1, 59)], taken, since_s=0.1)
    learning.board(1)
    assert 0.5 < learning.pause_s(1) < 2  # one a second
    clock.now = 30
    assert learning.pause_s(1) == 0


@pytest.mark.parametrize("reset_s", [99_999_999, math.inf, 1e-320])
def test_a_reset_that_cannot_be_meant_neither_stops_the_lane_for_days_nor_the_run(reset_s):
    clock = Clock()
    told = lane(clock)
    taken = told.board(1)
    told.learn([Allowance("requests", 10, 0, reset_s)], taken, since_s=0.0)
    for _ in range(3):
        assert told.pause_s(1) <= LONGEST_GATE_S
        clock.now += LONGEST_GATE_S
        assert told.pause_s(1) == 0
        told.board(1)
    assert told.pause_s(1) > 0 or reset_s < 1


def test_what_the_recipe_says_is_waited_for_as_long_as_it_takes():
    clock = Clock()
    agreed = lane(clock, tokens_per_minute=1000)
    agreed.board(1_000_000)
    assert agreed.pause_s(1) > 10 * LONGEST_GATE_S


def test_what_the_recipe_says_goes_before_what_a_reply_says():
    clock = Clock()
    told = lane(clock, requests_per_minute=6000)
    taken = told.board(1)
    told.learn([Allowance("requests", 60, 0, 60)], taken, since_s=0.1)
    assert told.pause_s(1) == 0


def test_a_few_refusals_among_successes_hold_nobody_back_and_a_streak_holds_all():
    clock = Clock()
    admission = Admission(Limits(), clock, clock.sleep)
    only = admission.lanes[0]
    place = asyncio.run(admission.board(1, 0))
    for _ in range(3 * STREAK):
        only.refused(place, 60)
        admission.accepted(place, 1)
    assert only.pause_s(1) == 0
    for _ in range(STREAK):
        only.refused(place, 60)
    assert 60 <= only.pause_s(1) <= 66


def test_after_a_hold_the_places_are_filled_again_at_once():
    async def main() -> tuple[int, int]:
        clock = Clock()
        admission = Admission(Limits(max_in_flight=16), clock, clock.sleep)
        for _ in range(STREAK):
            admission.lanes[0].refused(Place(admission.lanes[0], 1, {}, 0.0, 0), 30)
        release = asyncio.Event()

        async def one() -> None:
            place = await admission.board(1, 0)
            await release.wait()
            admission.land(place)

        async with asyncio.TaskGroup() as group:
            for _ in range(40):
                group.create_task(one())
            for _ in range(60):
                await asyncio.sleep(0)
            seen = admission.in_flight, int(admission.limit)
            release.set()
        assert clock.now >= 30
        return seen

    flying, limit = asyncio.run(main())
    assert flying == limit >= 8


async def boarded(admission: Admission, prompts: list[tuple[int, int]]) -> list[int]:
    return [(await admission.board(tokens, 0, prefix)).lane.place for tokens, prefix in prompts]


def test_replicas_share_by_tokens_under_way():
    clock = Clock()
    admission = Admission(Limits(), clock, clock.sleep, lanes=3)
    places = asyncio.run(boarded(admission, [(1000, 0)] + [(10, 0)] * 30))
    assert places.count(places[0]) == 1
    assert set(places) == {0, 1, 2}


def test_the_same_beginning_goes_to_the_same_replica_while_balanced():
    clock = Clock()
    admission = Admission(Limits(), clock, clock.sleep, lanes=2)

    async def main() -> list[int]:
        seen = []
        for number in range(20):
            place = await admission.board(100, 0, number % 2)
            seen.append(place.lane.place)
            if number % 2:
                for lane in admission.lanes:
                    admission.land(Place(lane, 100, {}, clock.now, 0))
        return seen

    assert asyncio.run(main()) == [0, 1] * 10


def test_a_replica_that_fails_at_once_does_not_draw_all_requests_to_it():
    clock = Clock()
    admission = Admission(Limits(), clock, clock.sleep, lanes=2)

    async def main() -> int:
        dead = 0
        for number in range(200):
            clock.now += 0.01
            place = await admission.board(10, 0, number)
            if place.lane.place == 0:
                dead += 1
                place.lane.failed(clock.now - 0.001, None)
            else:
                admission.accepted(place, 10)
            admission.land(place)
        return dead

    assert asyncio.run(main()) <= BREAKER_FAILURES


def test_a_replica_that_came_back_is_used_again():
    clock = Clock()
    admission = Admission(Limits(), clock, clock.sleep, lanes=2)

    async def main() -> list[int]:
        for _ in range(30):
            admission.lanes[0].failed(clock.now, None)
        before = await boarded(admission, [(10, 0)] * 10)
        clock.now += 40  # the breaker lets one through to see
        canary = [await admission.board(10, 0, 0) for _ in range(4)]
        [back] = [place for place in canary if place.lane.place == 0]
        admission.accepted(back, 10)
        after = await boarded(admission, [(10, 0)] * 10)
        return [before.count(0), after.count(0)]

    before, after = asyncio.run(main())
    assert before == 0
    assert after >= 5


def test_nothing_follows_a_canary_though_its_place_is_free_before_its_end_is_known():
    clock = Clock()
    admission = Admission(Limits(), clock, clock.sleep)
    only = admission.lanes[0]

    async def main() -> None:
        for _ in range(BREAKER_FAILURES):
            only.failed(clock.now, None)
        clock.now += 40
        canary = await admission.board(10, 0)
        admission.land(canary)  # its reply is on its way to disk
        assert only.pause_s(10) > 0
        admission.accepted(canary, 10)
        assert only.pause_s(10) == 0

    asyncio.run(main())


@pytest.mark.parametrize("way", ["turn", "place"])
def test_who_takes_turn_after_turn_overtakes_nobody_in_line(way):
    order: list[str] = []

    async def main() -> None:
        clock = Clock()
        admission = Admission(Limits(max_in_flight=1), clock, clock.sleep)
        most = 2  # turns at a limit of one; places are as many as the limit

        async def once(name: str) -> None:
            if way == "turn":
                await admission.enter(0)
                order.append(name)
                await asyncio.sleep(0)
                admission.leave()
            else:
                place = await admission.board(1, 0)
                order.append(name)
                await asyncio.sleep(0)
                admission.land(place)

        async def again_and_again(name: str) -> None:
            for _ in range(20):
                await once(name)

        async with asyncio.TaskGroup() as group:
            for name in "ab"[: most if way == "turn" else 1]:
                group.create_task(again_and_again(name))
            await asyncio.sleep(0)
            group.create_task(once("late"))

    asyncio.run(main())
    assert order.index("late") < 8


@pytest.mark.parametrize("way", ["turn", "place"])
def test_those_who_were_cancelled_in_line_stand_in_nobodys_way(way):
    async def main() -> None:
        clock = Clock()
        admission = Admission(Limits(max_in_flight=1), clock, clock.sleep)

        async def take() -> Place | None:
            return await (admission.enter(0) if way == "turn" else admission.board(1, 0))

        held = [await take() for _ in range(2 if way == "turn" else 1)]
        waiting = [asyncio.create_task(take()) for _ in range(3)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        for place in held:
            admission.leave() if place is None else admission.land(place)
        async with asyncio.timeout(20):
            await take()

    asyncio.run(main())


def test_places_that_a_refusal_frees_are_filled_before_anything_else_lands():
    async def main() -> tuple[int, int]:
        clock = Clock()
        admission = Admission(Limits(max_in_flight=16), clock, clock.sleep)
        lane, release = admission.lanes[0], asyncio.Event()
        places = [await admission.board(1, 0) for _ in range(lane.concurrency.allowed())]

        async def one() -> None:
            place = await admission.board(1, 0)
            await release.wait()
            admission.land(place)

        async with asyncio.TaskGroup() as group:
            for _ in range(40):
                group.create_task(one())
            for place in places[:STREAK]:
                admission.land(place)
                for _ in range(5):
                    await asyncio.sleep(0)  # who is called by that finds places left empty, and waits again
                admission.refused(place, 30)
            for _ in range(60):
                await asyncio.sleep(0)
            seen = lane.in_flight, lane.concurrency.allowed()
            release.set()
            for place in places[STREAK:]:
                admission.land(place)
        return seen

    flying, allowed = asyncio.run(main())
    assert flying == allowed
