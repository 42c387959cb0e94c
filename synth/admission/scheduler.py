"""Bounded concurrency with ordered results: the only place that starts tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

from synth.errors import Stalled

T = TypeVar("T")
R = TypeVar("R")

WINDOW_PER_SLOT = 2
"""How many pieces of work are begun for each request that may be on the wire."""
LOOKS = 20
"""How often it is looked whether anything still moves, before patience ends."""
HELD = 16
"""Windows of finished results that may wait for a straggler, as one that was told to come back in a second is."""
MOST_HELD = 65_536
"""The most results, finished or not, that wait so, unless the window is wider: of a batch's width that is enough."""


class Channel(asyncio.Queue[T | None]):
    """A bounded line of values between two stages; `None` inside marks its end."""

    async def __aiter__(self) -> AsyncIterator[T]:
        while (value := await self.get()) is not None:
            yield value


async def in_order(
    source: AsyncIterator[T],
    work: Callable[[T], Coroutine[Any, Any, R]],
    emit: Callable[[T, R], Awaitable[None]],
    window: int,
) -> None:
    """Do the work of up to `window` values at once and emit the results in the order of the source.

    A straggler holds back what follows it, never what is being worked on, until HELD windows of results, or MOST_HELD,
    wait for it.
    """
    started: Channel[tuple[T, asyncio.Task[R]]] = Channel(max(window, min(HELD * window, MOST_HELD)))
    async with asyncio.TaskGroup() as group:
        group.create_task(_start(group, source, work, started, asyncio.Semaphore(window)))
        async for value, task in started:
            await emit(value, await task)


async def _start(
    group: asyncio.TaskGroup,
    source: AsyncIterator[T],
    work: Callable[[T], Coroutine[Any, Any, R]],
    started: Channel[tuple[T, asyncio.Task[R]]],
    places: asyncio.Semaphore,
) -> None:
    async for value in source:
        await places.acquire()
        task = group.create_task(work(value))
        task.add_done_callback(lambda _: places.release())
        await started.put((value, task))
    await started.put(None)


async def gathered(works: Sequence[Coroutine[Any, Any, R]]) -> list[R]:
    """Do a few pieces of work at once; their results in order."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
    return [task.result() for task in tasks]


async def together(*parts: Coroutine[None, None, None]) -> None:
    """Run the parts of a line side by side; when one fails, the others are cancelled and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(part)
    except BaseExceptionGroup as errors:
        raise first_of(errors) from None


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncGenerator[None]:
    """Have work done beside the body; it ends with the body, if not before."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


async def watched(work: Coroutine[Any, Any, None], pulse: Callable[[], object], patience_s: float) -> None:
    """Do the work, and end it when `pulse` has shown the same for longer than patience; None is no sign of anything.

    Raises Stalled, with what every task was waiting for.
    """
    task = asyncio.create_task(work)
    last, same = pulse(), 0
    try:
        while not (await asyncio.wait([task], timeout=patience_s / LOOKS))[0]:
            if (now := pulse()) is None or now != last:
                last, same = now, 0
            elif (same := same + 1) > LOOKS:  # looks, not seconds: none is missed while the process is stopped
                raise Stalled(_stacks())
        await task
    finally:
        task.cancel()
        await asyncio.wait([task])


def _stacks() -> str:
    """Where each task waits: its own frames and those of what it awaits, which `print_stack` does not follow."""
    lines: list[str] = []
    for task in asyncio.all_tasks():
        lines.append(repr(task))
        waits: Any = task.get_coro()
        while waits is not None:
            frame = getattr(waits, "cr_frame", None) or getattr(waits, "ag_frame", None)
            if frame is not None:
                lines.append(f"    {frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_qualname}")
            waits = getattr(waits, "cr_await", None) or getattr(waits, "ag_await", None)
    return "\n".join(lines)


def first_of(errors: BaseExceptionGroup[Any]) -> BaseException:
    """The first error inside nested groups."""
    first: Any = errors.exceptions[0]
    return first_of(cast("BaseExceptionGroup[Any]", first)) if isinstance(first, BaseExceptionGroup) else first
