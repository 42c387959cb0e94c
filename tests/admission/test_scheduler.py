"""Bounded concurrency with ordered results."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from synth.admission.scheduler import HELD, first_of, in_order


async def numbers(count: int, taken: list[int] | None = None):
    for number in range(count):
        if taken is not None:
            taken.append(number)
        yield (number,)


def emitted(source, work, window: int) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []

    async def emit(ready: Sequence[tuple[int, str]]) -> None:
        found.extend(ready)

    asyncio.run(in_order(source, work, emit, window))
    return found


@pytest.mark.parametrize("window", [1, 3, 100])
def test_results_come_in_the_order_of_the_source_and_no_more_is_worked_on_than_the_window_allows(window):
    at_once = most = 0

    async def work(number: int) -> str:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        for _ in range(3 * (40 - number)):  # each ends before those that came earlier
            await asyncio.sleep(0)
        at_once -= 1
        return f"日本 {number}"

    assert emitted(numbers(20), work, window) == [(number, f"日本 {number}") for number in range(20)]
    assert most == min(window, 20)


def test_a_source_without_values_ends_at_once():
    async def work(number: int) -> str:
        raise AssertionError(number)

    assert emitted(numbers(0), work, 4) == []


def test_a_straggler_holds_back_what_follows_it_and_so_much_is_taken_meanwhile_and_no_more():
    taken: list[int] = []
    together: list[int] = []
    may_end = asyncio.Event()

    async def work(number: int) -> str:
        if number == 0:
            await may_end.wait()
        return str(number)

    async def play() -> list[int]:
        found: list[int] = []

        async def emit(ready: Sequence[tuple[int, str]]) -> None:
            together.append(len(ready))
            found.extend(value for value, _ in ready)

        line = asyncio.create_task(in_order(numbers(1000, taken), work, emit, 4))
        for _ in range(2000):
            await asyncio.sleep(0)
        assert found == []
        assert 4 * HELD <= len(taken) <= 4 * HELD + 2
        may_end.set()
        await line
        return found

    assert asyncio.run(play()) == list(range(1000))
    assert max(together) > 1


def test_what_one_piece_of_work_raises_ends_all_of_it_and_passes_through():
    ended: list[int] = []

    async def work(number: int) -> str:
        if number == 3:
            raise ValueError("この行は読めません")
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(number)
        return ""

    with pytest.raises(BaseExceptionGroup) as caught:
        emitted(numbers(10), work, 5)
    assert str(first_of(caught.value)) == "この行は読めません"
    assert set(ended) <= set(range(5)) - {3}


def test_what_the_source_raises_passes_through():
    async def broken():
        yield (0,)
        raise OSError("the file is gone")

    async def work(number: int) -> str:
        await asyncio.sleep(60)
        return str(number)

    with pytest.raises(BaseExceptionGroup) as caught:
        emitted(broken(), work, 3)
    assert str(first_of(caught.value)) == "the file is gone"


def test_work_that_cancels_itself_ends_the_line_and_leaves_nobody_waiting():
    async def work(number: int) -> str:
        if number == 2:
            raise asyncio.CancelledError
        return str(number)

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await in_order(numbers(5), work, nothing, 2)

    async def nothing(_ready: object) -> None:
        return None

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(bounded())


def test_a_line_that_is_cancelled_ends_its_work():
    ended = 0

    async def work(_number: int) -> str:
        nonlocal ended
        try:
            await asyncio.sleep(60)
        finally:
            ended += 1
        return ""

    async def emit(_ready: object) -> None:
        return None

    async def play() -> None:
        line = asyncio.create_task(in_order(numbers(100), work, emit, 8))
        for _ in range(20):
            await asyncio.sleep(0)
        line.cancel()
        await asyncio.wait([line])
        assert line.cancelled()

    asyncio.run(play())
    assert ended == 8


def test_while_it_is_crowded_no_more_are_begun_and_those_at_work_go_on():
    at_once = 0
    most: list[int] = []

    async def work(number: int) -> str:
        nonlocal at_once
        at_once += 1
        most.append(at_once)
        await asyncio.sleep(0.001)
        at_once -= 1
        return str(number)

    found: list[str] = []

    async def emit(ready: Sequence[tuple[int, str]]) -> None:
        found.extend(result for _, result in ready)

    asyncio.run(in_order(numbers(100), work, emit, 12, lambda: at_once >= 4 and len(most) < 50))
    assert found == [str(number) for number in range(100)]
    assert max(most[:50]) in (4, 5)  # one is hired before the last has begun
    assert max(most[50:]) == 12


def test_after_a_pause_of_the_source_all_that_came_is_soon_at_work_at_once():
    begun: list[int] = []
    may_come = asyncio.Event()

    async def source():
        yield range(100)
        await may_come.wait()
        yield range(100, 200)

    async def work(number: int) -> None:
        begun.append(number)
        if number >= 100:
            await asyncio.sleep(60)

    async def emit(_ready: object) -> None:
        return None

    async def play() -> int:
        line = asyncio.create_task(in_order(source(), work, emit, 100))
        while len(begun) < 100:
            await asyncio.sleep(0)
        for _ in range(200):  # until all who work wait for more
            await asyncio.sleep(0)
        may_come.set()
        turns = 0
        while len(begun) < 200:
            turns += 1
            await asyncio.sleep(0)
        line.cancel()
        return turns

    assert asyncio.run(play()) < 20  # not one in each turn of the loop
