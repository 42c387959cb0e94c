"""The line for a turn or a place: nobody overtakes, and who leaves it stands in nobody's way."""

from __future__ import annotations

import asyncio

import pytest

from synth.admission.admission import Admission
from synth.admission.lane import Place
from synth.protocol.endpoint import Limits
from tests.admission.clocks import Clock


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
