"""Admission, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import random

import pytest

from synth.admission.admission import AHEAD, Admission
from synth.admission.breaker import BREAKER_FAILURES
from synth.admission.halt import Halt
from synth.admission.lane import STREAK, Place
from synth.admission.queueing import START, Load
from synth.errors import Fatal
from synth.protocol.endpoint import Limits
from tests.admission.clocks import Clock, Sleepers, settled


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


def test_a_few_refusals_among_successes_hold_nobody_back_and_a_streak_holds_all():
    clock = Clock()
    admission = Admission(Limits(), clock, clock.sleep)
    only = admission.lanes[0]
    for _ in range(3 * STREAK):
        only.refused(only.board(1), 60)
        admission.accepted(only.board(1), 1)
    assert only.pause_s(1) == 0
    for _ in range(STREAK):
        only.refused(only.board(1), 60)
    assert 60 <= only.pause_s(1) <= 66


def test_an_answer_to_what_was_sent_before_a_row_of_refusals_does_not_end_it():
    clock = Clock()
    admission = Admission(Limits(), clock, clock.sleep)
    only = admission.lanes[0]
    before = [only.board(1) for _ in range(STREAK)]
    for place in before:
        only.refused(only.board(1), 60)
        admission.accepted(place, 1)
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
            for _ in range(1000):
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


def test_places_open_before_the_first_answer_for_those_who_wait_for_a_turn_too():
    async def main() -> int:
        clock = Sleepers()
        admission = Admission(Limits(), clock, clock.sleep)

        async def one() -> None:
            await admission.enter(0)
            await admission.board(1, 0)

        waiting = [asyncio.create_task(one()) for _ in range(300)]
        await settled()
        assert admission.in_flight == START
        await clock.move(30.0)
        for task in waiting:
            task.cancel()
        return admission.in_flight

    assert asyncio.run(main()) == 256


def test_what_a_server_tells_makes_room_at_once():
    async def main() -> int:
        clock = Clock()
        admission = Admission(Limits(), clock, clock.sleep, queues_silently=True)

        async def one() -> None:
            await admission.enter(0)
            await admission.board(1, 0)

        waiting = [asyncio.create_task(one()) for _ in range(300)]
        await settled()
        for _ in range(10):
            admission.told(admission.lanes[0], Load(admission.in_flight, 0))
            await settled()
        for task in waiting:
            task.cancel()
        return admission.in_flight

    assert asyncio.run(main()) == 256


def test_who_waits_where_one_replica_is_held_gets_the_place_that_another_frees():
    async def main() -> tuple[bool, int, int]:
        clock = Sleepers()
        admission = Admission(Limits(max_in_flight=2), clock, clock.sleep, lanes=2)
        for _ in range(STREAK):
            admission.lanes[0].refused(Place(admission.lanes[0], 1, {}, 0.0, 0), 300)
        places = [await admission.board(1, 0) for _ in range(2)]
        waiting = [asyncio.create_task(admission.board(1, 0)) for _ in range(3)]
        await settled()
        nobody = not any(task.done() for task in waiting)
        for place in places:
            admission.land(place)
        await settled()
        second = sum(task.done() for task in waiting)
        await clock.move(400)
        place = await asyncio.wait_for(waiting[2], 20)
        return nobody, second, place.lane.place

    assert asyncio.run(main()) == (True, 2, 0)


@pytest.mark.parametrize("seed", range(15))
def test_whatever_happens_nobody_waits_where_there_is_room(seed):
    """Chance events, one after the other; after each of them all who can go have gone."""
    rng = random.Random(seed)

    async def main() -> None:
        clock, most, lanes = Sleepers(), rng.choice([2, 5, 20, 64]), rng.choice([1, 2, 3])
        admission = Admission(
            Limits(max_in_flight=most), clock, clock.sleep, lanes=lanes, queues_silently=rng.random() < 0.3
        )
        held: list[Place] = []
        tasks: dict[asyncio.Task[None], None] = {}

        async def one(priority: int) -> None:
            await admission.enter(priority)
            try:
                avoided = frozenset(rng.sample(range(lanes), rng.choice([0, 0, rng.randint(0, lanes - 1)])))
                held.append(await admission.board(rng.randint(1, 100), priority, rng.randint(0, 3), avoided))
            except BaseException:
                admission.leave()
                raise

        async def end(place: Place) -> None:
            admission.land(place)
            if rng.random() < 0.5:
                await settled()
            ending = rng.random()
            if ending < 0.6:
                admission.accepted(place, rng.randint(1, 50))
            elif ending < 0.8:
                admission.refused(place, rng.choice([None, 0.5, 3.0]))
            else:
                admission.failed(place, rng.choice([None, 1.0]), again=rng.random() < 0.3)
            if rng.random() < 0.5:
                await settled()
            admission.leave()

        for _ in range(120):
            event = rng.random()
            if event < 0.35:
                for _ in range(rng.randint(1, 10)):
                    task = asyncio.create_task(one(rng.choice([0, 0, -1])))
                    tasks[task] = None
                    task.add_done_callback(tasks.pop)
            elif event < 0.8 and held:
                await end(held.pop(rng.randrange(len(held))))
            elif event < 0.85 and tasks:
                rng.choice(list(tasks)).cancel()
            elif event < 0.88:
                admission.limit_to(rng.randint(lanes, most * lanes))
            elif event < 0.91:
                admission.pause()
            elif event < 0.95:
                admission.resume()
            elif event < 0.96:
                lane = rng.choice(admission.lanes)
                for number in range(STREAK):
                    admission.refused(Place(lane, 1, {}, clock.now, lane.concurrency.sent + number), 300.0)
            elif event < 0.98:
                admission.told(rng.choice(admission.lanes), Load(rng.randint(0, most), rng.choice([0, 0, 5])))
            else:
                await clock.move(rng.choice([0.01, 0.5, 5, 60]))
            await settled()
            for avoided, line in [(frozenset[int](), admission._place_line), *admission._aside.items()]:
                ways = admission._others(1, avoided) or admission.lanes
                free = [one for one in ways if one.in_flight < one.concurrency.allowed()]
                shut = line.gate is not None or admission._paused
                assert not (line.waiting and free and not shut), event
                assert not (lanes > 1 and line.gate is not None and any(one.pause_s(1) <= 0 for one in free)), event
            assert all(one.concurrency.limit <= one.concurrency.most for one in admission.lanes), event
            turns = int(admission.limit) + min(AHEAD, int(admission.limit))
            assert not (admission._turn_line.waiting and admission._turns < turns), event
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        admission._look_again()
        assert not admission._aside

    asyncio.run(main())


def test_what_failed_at_a_server_goes_to_another_one_even_if_that_is_full_but_not_if_that_is_closed():
    async def main() -> None:
        clock = Clock()
        admission = Admission(Limits(max_in_flight=1), clock, clock.sleep, lanes=2)
        first = await admission.board(1, 0)
        assert first.lane.place == 0
        admission.land(first)
        second = await admission.board(1, 0, avoided=frozenset({0}))
        assert second.lane.place == 1
        waiting = asyncio.create_task(admission.board(1, 0, avoided=frozenset({0})))
        await settled()
        assert not waiting.done()
        admission.land(second)
        third = await waiting
        assert third.lane.place == 1
        admission.land(third)
        admission.eject(admission.lanes[1])
        assert (await admission.board(1, 0, avoided=frozenset({0}))).lane.place == 0

    asyncio.run(main())


def test_who_waits_for_another_server_holds_up_nobody_else_on_the_way_to_the_one_it_avoids():
    async def main() -> None:
        clock = Sleepers()
        admission = Admission(Limits(max_in_flight=1), clock, clock.sleep, lanes=2)
        hung = await admission.board(1, 0, avoided=frozenset({0}))
        quick = await admission.board(1, 0)
        assert (hung.lane.place, quick.lane.place) == (1, 0)
        avoiding = [asyncio.create_task(admission.board(1, 0, avoided=frozenset({0}))) for _ in range(3)]
        others = [asyncio.create_task(admission.board(1, 0)) for _ in range(5)]
        await settled()
        admission.land(quick)
        for other in others:
            await settled()
            assert other.done()
            assert other.result().lane.place == 0
            admission.land(other.result())
        assert not any(one.done() for one in avoiding)
        for _ in avoiding:
            admission.land(hung)
            await settled()  # woken by that alone: no time passes
            hung = next(one.result() for one in avoiding if one.done())
            avoiding = [one for one in avoiding if not one.done()]
            assert hung.lane.place == 1
        assert not avoiding

    asyncio.run(main())


def test_who_waits_until_another_server_opens_holds_up_nobody_else():
    async def main() -> None:
        clock = Sleepers()
        admission = Admission(Limits(max_in_flight=4), clock, clock.sleep, lanes=2)
        for _ in range(STREAK):
            closed = await admission.board(1, 0, avoided=frozenset({0}))
            admission.land(closed)
            admission.refused(closed, 0.9)
        avoiding = asyncio.create_task(admission.board(1, 0, avoided=frozenset({0})))
        await settled()
        other = asyncio.create_task(admission.board(1, 0))
        await settled()
        assert other.done()
        assert other.result().lane.place == 0
        assert not avoiding.done()
        await clock.move(2.0)
        assert avoiding.done()
        assert avoiding.result().lane.place == 1

    asyncio.run(main())
