"""Generators and scorers of the user's own, called on an event loop in a thread aside: what computes or blocks there
holds up no request.

One that does not give way is left behind with its thread, and what else was under way there is called again in another:
what it had asked lies in the store.
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import inspect
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

from synth.admission.scheduler import LOOKS, OTHER_LOOPS
from synth.ask import Ask, UnitAsk
from synth.boundary import Hung

T = TypeVar("T")

IDLE_S = 300.0
"""How long a call may wait for anything but what it asked."""
BLOCKED_S = 60.0
"""How long one may keep all others from going on."""
MOST_LEFT = 2
"""So many calls of one that never came to an end are left behind, and the run stops: each takes its whole time."""
LONG = 2
"""After so many looks it is told."""
END_S = 0.1
"""How long the thread may take to end."""


class Aside:
    """Where generators and scorers of the user's own are called. Lives on the event loop of the run."""

    def __init__(self) -> None:
        self._thread: _Thread | None = None
        self._look: asyncio.TimerHandle | None = None
        self._proven: set[str] = set()
        """Kinds of which a call has come to an end."""
        self._left: Counter[str] = Counter()
        """Of each kind, how many calls were left behind."""

    async def call(self, kind: str, work: Callable[[Ask], Awaitable[T]], ask: UnitAsk) -> T:
        """What a plug-in makes with `ask`.

        Raises what it raises, TimeoutError when it waits for too long, Hung when it does not give way.
        """
        while True:
            own = replace(ask, unit=ask.unit.copied())
            ask.unit.lot = None  # which is for the first try
            call = _Call(kind)
            thread = self._thread = self._thread or self._begun()
            thread.calls[call] = None
            _CALL.set(call)  # which the tasks that come of it inherit
            thread.loop.call_soon_threadsafe(call.begin, thread, work, own)
            try:
                made, error = await call.done
            except asyncio.CancelledError:
                thread.loop.call_soon_threadsafe(call.cancel)
                raise
            finally:
                thread.calls.pop(call, None)
            if isinstance(error, _Again):
                continue
            ask.unit.become(own.unit)
            if not isinstance(error, Hung):
                self._proven.add(kind)
            if error is not None:
                raise error
            return made

    def _begun(self) -> _Thread:
        thread = _Thread()
        self._look = asyncio.get_running_loop().call_later(BLOCKED_S / LOOKS, self._looked, thread, (), 0)
        return thread

    def _looked(self, thread: _Thread, last: tuple[Any, ...], same: int) -> None:
        """Leave the thread behind when each of many looks has found it at the same."""
        now = thread.beats, thread.busy_with()
        same = same + 1 if now == last else 0
        thread.same = same
        if same < LOOKS:
            thread.loop.call_soon_threadsafe(thread.beat)
            again = asyncio.get_running_loop()
            self._look = again.call_later(BLOCKED_S / LOOKS, self._looked, thread, now, same)
            return
        self._thread = None
        thread.leave()
        guilty = thread.call_of(now[1])
        for call in [*thread.calls]:
            if call is guilty or guilty is None:
                self._left[call.kind] += 1
                is_hopeless = call.kind not in self._proven and self._left[call.kind] >= MOST_LEFT
                place = thread.place(call.kind)
                said = f"{call.kind} went on for {BLOCKED_S:g} s without an await{place} and was left behind"
                mend = "put what takes so long into `await asyncio.to_thread(...)`"
                call.settle((None, Hung(f"{said}; {mend}", is_hopeless=is_hopeless)))
            else:
                call.settle((None, _Again()))

    def slow(self) -> list[str]:
        """What goes on for long without an await just now, a sentence."""
        thread = self._thread
        call = None if thread is None or thread.same < LONG else thread.call_of(thread.busy_with())
        if thread is None or call is None:
            return []
        went_s = thread.same * BLOCKED_S / LOOKS
        return [
            f"{call.kind} has gone on for {went_s:.0f} s without an await, and is left behind after {BLOCKED_S:g} s"
        ]

    async def end(self) -> None:
        """End the thread, and what still goes on there; one that does not give way is left behind."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        assert self._look is not None
        self._look.cancel()
        thread.loop.call_soon_threadsafe(thread.loop.stop)
        await asyncio.to_thread(thread.thread.join, END_S)
        if thread.thread.is_alive():
            thread.leave()


class _Again(Exception):
    """Its thread was left behind for another call's sake."""


class _Call:
    """One call of a plug-in."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._main = asyncio.get_running_loop()
        self.done: asyncio.Future[tuple[Any, BaseException | None]] = self._main.create_future()
        """On the run's loop: what was made, or raised."""
        self._task: asyncio.Task[None] | None = None

    def begin(self, thread: _Thread, work: Callable[[Ask], Awaitable[Any]], ask: Ask) -> None:
        """Begin, on the loop of the thread."""
        self._task = thread.loop.create_task(self._tried(thread, work, ask))

    def cancel(self) -> None:
        """Give it up, on the loop of the thread."""
        if self._task is not None:
            self._task.cancel()

    def settle(self, what: tuple[Any, BaseException | None]) -> None:
        """Note how it ended, on the run's loop."""
        if not self.done.done():
            self.done.set_result(what)

    async def _tried(self, thread: _Thread, work: Callable[[Ask], Awaitable[Any]], ask: Ask) -> None:
        try:
            what = await _timed(self.kind, work, ask, self._main), None
        except BaseException as error:
            if thread.is_left:
                raise  # and the thread ends
            what = None, error
        with suppress(RuntimeError):  # the run is over, and nobody waits
            self._main.call_soon_threadsafe(self.settle, what)


_CALL: ContextVar[_Call] = ContextVar("call")
_LEFT: list[asyncio.AbstractEventLoop] = []
"""Loops that were left behind: what was asked there may still come back to them."""


class _Thread:
    """A thread with an event loop of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_task_factory(self._task)
        self.calls: dict[_Call, None] = {}
        """Those under way, in their order."""
        self.owners: WeakKeyDictionary[asyncio.Task[Any], _Call] = WeakKeyDictionary()
        """Of each task the call it came of."""
        self.beats = 0
        """How often it was seen to give way."""
        self.same = 0
        """How many looks in a row have found it at the same."""
        self.is_left = False
        """Whether nobody waits for what goes on there."""
        self.thread = threading.Thread(target=self._serve, name="synth-aside", daemon=True)
        self.thread.start()
        OTHER_LOOPS.add(self.loop)

    def beat(self) -> None:
        """It gives way."""
        self.beats += 1

    def busy_with(self) -> asyncio.Task[Any] | None:
        """The task that is at work there right now."""
        return asyncio.current_task(self.loop)

    def call_of(self, task: asyncio.Task[Any] | None) -> _Call | None:
        """The call that a task came of."""
        return None if task is None else self.owners.get(task)

    def place(self, kind: str) -> str:
        """Where in a plug-in's file it is, as far as that can be seen."""
        file, now = Path(kind.rpartition(":")[0]).name, sys._current_frames()  # pyright: ignore[reportPrivateUsage]
        for frame, line in traceback.walk_stack(now[self.thread.ident or 0]):
            if Path(frame.f_code.co_filename).name == file:
                return f" ({file}, line {line})"
        return ""

    def leave(self) -> None:
        """Have nothing more to do with it; where it runs Python code, that ends."""
        self.is_left = True
        OTHER_LOOPS.discard(self.loop)
        _LEFT.append(self.loop)
        self.loop.set_exception_handler(_unheard)
        for task in asyncio.all_tasks(self.loop):
            work = cast("Coroutine[Any, Any, Any]", task.get_coro())
            if inspect.getcoroutinestate(work) == inspect.CORO_CREATED:
                work.close()  # or Python warns, as it never began
        ending = ctypes.c_ulong(self.thread.ident or 0), ctypes.py_object(SystemExit)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(*ending)

    def _task(self, loop: asyncio.AbstractEventLoop, work: Any, **named: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(work, loop=loop, **named)
        if (call := _CALL.get(None)) is not None:
            self.owners[task] = call
        return task

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        is_over = False
        while not is_over:
            try:
                self.loop.run_forever()
                is_over = True
            except (SystemExit, KeyboardInterrupt):  # a task of a plug-in's raised it
                is_over = self.is_left
        if self.is_left:
            return
        for task in (rest := asyncio.all_tasks(self.loop)):
            task.cancel()
        with suppress(SystemExit, KeyboardInterrupt):
            self.loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


def _unheard(_loop: asyncio.AbstractEventLoop, _context: dict[str, Any]) -> None:
    """Nobody waits for what was begun on a loop that was left behind."""


class _FarAsk:
    """`Ask` for a plug-in on a loop of its own: what it asks is asked on the run's. Its time passes only while nothing
    that it asked is under way."""

    def __init__(self, ask: Ask, main: asyncio.AbstractEventLoop, limit: asyncio.Timeout) -> None:
        self._ask, self._main, self._limit = ask, main, limit
        self._asked = 0

    def __getattr__(self, name: str) -> Any:
        own = getattr(self._ask, name)
        return functools.partial(self._far, own) if inspect.iscoroutinefunction(own) else own

    async def _far(self, own: Callable[..., Any], *given: Any, **named: Any) -> Any:
        self._asked += 1
        self._limit.reschedule(None)
        try:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(own(*given, **named), self._main))
        finally:
            self._asked -= 1
            if not self._asked:
                self._limit.reschedule(asyncio.get_running_loop().time() + IDLE_S)


async def _timed(kind: str, work: Callable[[Ask], Awaitable[T]], ask: Ask, main: asyncio.AbstractEventLoop) -> T:
    """What a plug-in makes. Raises TimeoutError when it does not go on."""
    limit = asyncio.timeout(IDLE_S)
    try:
        async with limit:
            made = await work(cast("Ask", _FarAsk(ask, main, limit)))
            return deepcopy(made)  # what a plug-in keeps of it, and changes for the next, is not the run's
    except TimeoutError:
        if limit.expired():
            raise TimeoutError(f"{kind} waited {IDLE_S:g} s for something other than a reply") from None
        raise
