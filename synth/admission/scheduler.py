"""Bounded concurrency with ordered results; work side by side, and work that ends when nothing moves any more."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar, cast
from weakref import WeakSet

from synth.errors import Stalled

T = TypeVar("T")
R = TypeVar("R")

Pieces = AsyncIterator[Iterable[T]]
"""Values in order, as many together as are there. Each is taken by itself, and only then does what looks at it run: to
step from one to the next of an asynchronous line takes many times as long."""
NONE: Any = object()

WINDOW_PER_SLOT = 2
"""How many pieces of work are begun for each request that may be on the wire."""
LOOKS = 20
"""How often it is looked whether anything still moves, before patience ends."""
HELD = 16
"""Windows of finished results that may wait for a straggler, as one that was told to come back in a second is."""
EMITTED_AT_ONCE = 256
"""As looking at so many takes milliseconds, for which nothing else is done."""
WOKEN = 2
"""Idle workers that look for a value of their own when one of them got one: so all are at work after a few turns of the
loop, where many values come at once."""
MOST_HELD = 65_536
"""The most results, finished or not, that wait so, unless the window is wider: of a batch's width that is enough."""


class Channel(Generic[T]):
    """A bounded line of values between two stages; `None` inside marks its end."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: deque[T | None] = deque()
        self._is_over = False
        self._any, self._room = asyncio.Event(), asyncio.Event()

    async def put(self, value: T | None) -> None:
        """Add a value, once there is room."""
        await self.put_all((value,))

    async def put_all(self, values: Iterable[T | None]) -> None:
        """Add some values, each once there is room."""
        for value in values:
            while len(self._values) >= self._most:
                self._room.clear()
                await self._room.wait()
            self._values.append(value)
            self._any.set()

    async def __aiter__(self) -> AsyncIterator[Iterable[T]]:
        while not self._is_over:
            while not self._values:
                self._any.clear()
                await self._any.wait()
            yield self._taken()

    def _taken(self) -> Iterator[T]:
        while self._values:
            value = self._values.popleft()
            self._room.set()
            if value is None:
                self._is_over = True
                return
            yield value


async def in_order(
    source: Pieces[T],
    work: Callable[[T], Coroutine[Any, Any, R]],
    emit: Callable[[Sequence[tuple[T, R]]], Awaitable[None]],
    window: int,
    is_crowded: Callable[[], bool] = lambda: False,
) -> None:
    """Do the work of up to `window` values at once and emit them with their results in the order of the source, as many
    together as are there. While it `is_crowded`, so that more begun would only wait, no more than before are begun.

    A straggler holds back what follows it, never what is being worked on, until HELD windows of results, or MOST_HELD,
    wait for it.
    """
    async with asyncio.TaskGroup() as group:
        workers = _Workers(group, source, work, window, is_crowded)
        group.create_task(workers.one_after_another())
        await workers.hand_on(emit)


class _Workers(Generic[T, R]):
    """Tasks that each take one value after the other: a task for every value would take twice as long as handing it on.

    There are as many as find work at once, up to the window, and more are hired only where what they do would go on.
    """

    def __init__(
        self,
        group: asyncio.TaskGroup,
        source: Pieces[T],
        work: Callable[[T], Coroutine[Any, Any, R]],
        window: int,
        is_crowded: Callable[[], bool],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._is_crowded = is_crowded
        self._group = group
        self._source = source
        self._there: Iterator[T] = iter(())
        """Values that came and were not taken yet."""
        self._work = work
        self._unhired = window - 1
        self._most = max(window, min(HELD * window, MOST_HELD))
        self._held: deque[tuple[T, asyncio.Future[R]]] = deque()
        """Values that were taken, and their results."""
        self._is_over = False
        self._any, self._room = asyncio.Event(), asyncio.Event()
        self._is_taking = False
        self._turns: deque[asyncio.Future[None]] = deque()
        """Of idle workers, behind the one that waits for the next value."""

    async def hand_on(self, emit: Callable[[Sequence[tuple[T, R]]], Awaitable[None]]) -> None:
        """Emit the results in order, until there are no more."""
        held = self._held
        while held or not self._is_over:
            if held:
                value, result = held.popleft()
                ready = [(value, await result)]
                while held and held[0][1].done() and len(ready) < EMITTED_AT_ONCE:
                    value, result = held.popleft()
                    ready.append((value, result.result()))
                self._room.set()
                await emit(ready)
            else:
                self._any.clear()
                await self._any.wait()

    async def one_after_another(self) -> None:
        """Work on one value after the other, and have more at work where there are more values."""
        while (taken := await self._next()) is not None:
            value, result = taken
            try:
                found = await self._work(value)
                if not result.done():  # nobody waits for it when all are cancelled
                    result.set_result(found)
                del found  # nor is it kept while the next one is worked on
            finally:
                result.cancel()
            del taken, value, result

    async def _next(self) -> tuple[T, asyncio.Future[R]] | None:
        """The next value of the source, in line for its result; None when there is none."""
        while self._is_taking:
            self._turns.append(turn := self._loop.create_future())
            await turn
        self._is_taking = True
        try:
            while len(self._held) >= self._most:
                self._room.clear()
                await self._room.wait()
            while (value := next(self._there, NONE)) is NONE:
                self._there = iter(await anext(self._source))
        except StopAsyncIteration:
            self._is_over = True
            return None
        finally:
            self._is_taking = False
            idle = min(WOKEN, len(self._turns))
            for _ in range(idle):
                if not (turn := self._turns.popleft()).done():
                    turn.set_result(None)
            if not self._held:
                self._any.set()
        result: asyncio.Future[R] = self._loop.create_future()
        taken = value, result
        self._held.append(taken)
        if self._unhired and not idle and not self._is_crowded():
            self._unhired -= 1
            self._group.create_task(self.one_after_another())
        return taken


async def gathered(works: Sequence[Coroutine[Any, Any, R]]) -> list[R]:
    """Do pieces of work at once; their results in order. When one fails, the others are cancelled and its error is
    raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except BaseExceptionGroup as errors:
        raise first_of(errors) from None
    return [task.result() for task in tasks]


async def together(*parts: Coroutine[None, None, None]) -> None:
    """Run the parts of a line side by side, as `gathered` does."""
    await gathered(parts)


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


OTHER_LOOPS: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
"""Loops in other threads, whose tasks are told of too."""


def _stacks() -> str:
    """Where each task waits: its own frames and those of what it awaits, which `print_stack` does not follow."""
    lines: list[str] = []
    for task in [task for loop in (asyncio.get_running_loop(), *OTHER_LOOPS) for task in asyncio.all_tasks(loop)]:
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
