"""Bounded concurrency with ordered results: the only place that starts tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar, cast

T = TypeVar("T")
R = TypeVar("R")


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

    A straggler holds back what follows it, never what is being worked on, until the window is full.
    """
    started: Channel[tuple[T, asyncio.Task[R]]] = Channel(window)
    async with asyncio.TaskGroup() as group:
        group.create_task(_start(group, source, work, started))
        async for value, task in started:
            await emit(value, await task)


async def _start(
    group: asyncio.TaskGroup,
    source: AsyncIterator[T],
    work: Callable[[T], Coroutine[Any, Any, R]],
    started: Channel[tuple[T, asyncio.Task[R]]],
) -> None:
    async for value in source:
        await started.put((value, group.create_task(work(value))))
    await started.put(None)


async def together(*parts: Coroutine[None, None, None]) -> None:
    """Run the parts of a line side by side; when one fails, the others are cancelled and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(part)
    except BaseExceptionGroup as errors:
        raise first_of(errors) from None


def first_of(errors: BaseExceptionGroup[Any]) -> BaseException:
    """The first error inside nested groups."""
    first: Any = errors.exceptions[0]
    return first_of(cast("BaseExceptionGroup[Any]", first)) if isinstance(first, BaseExceptionGroup) else first
