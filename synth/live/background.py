"""A run that goes on while its caller does something else."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any, Generic, TypeVar

from synth.admission.halt import Halt
from synth.errors import Interrupted, SynthError
from synth.live.loop import run_loop
from synth.live.showing import LOOK_EVERY_S, ProgressLine, Work, followed, shown
from synth.live.status import LINE, Status

T = TypeVar("T")
DRAIN_S = 60.0
"""How long what is in flight may take to end once the run is stopped."""
EXIT_S = 5.0
"""The same when the process wants to end."""


class Running(Generic[T]):
    """A run in the background: `status` tells how far it is, `wait` waits for it, `stop` ends it.

    It goes on when a cell is interrupted, and stops with the process: what has come by then is kept, and running again
    goes on from there.
    """

    def __init__(self, work: Work[T], first: Status, ending: Callable[[T], Status]) -> None:
        self._status = first
        self._ending = ending
        self._began, self._ended = threading.Event(), threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[T] | None = None
        self._halt: Halt | None = None
        self._is_stopping = False
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(work,), name="synth-run", daemon=True)
        UNDER_WAY.add(self)
        self._thread.start()

    @property
    def status(self) -> Status:
        """How far it is now."""
        return self._status

    @property
    def is_done(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self._ended.is_set()

    def wait(self, *, quiet: bool = False, goes_on: bool = True) -> T:
        """Wait for the end with the progress shown, and return what came of it.

        Raises what the run raised. An interrupt ends the waiting and not the run; whoever ends that too says that it
        does not go on.
        """
        line = ProgressLine(quiet=quiet)
        try:
            while not self._ended.wait(LOOK_EVERY_S):
                line.show(str(self._status))
        except KeyboardInterrupt:
            then = LINE[self._status.words.language]["goes_on" if goes_on else "stopped"]
            line.end(f"{self._status}{then}", is_problem=False)
            raise
        self._thread.join()
        if isinstance(self._error, SynthError):  # it is raised, and need not be said twice
            line.end(str(replace(self._status, message="")), is_problem=False)
            raise self._error
        line.end(str(self._status), is_problem=bool(self._status.message))
        if self._error is not None:
            raise self._error
        return self._result[0]

    def stop(self) -> T:
        """Send nothing more, let what is in flight end (a minute at most), and return what had been made."""
        self._soon(self._throw)
        return self.wait(quiet=True)

    def cancel(self) -> None:
        """End it at once, and wait for that; what has come is kept."""
        self._soon(lambda: None if self._task is None else self._task.cancel())
        self._thread.join()

    def __repr__(self) -> str:
        return f"<Running {self._status}>"

    def _repr_html_(self) -> str:
        """For a notebook: how far it is now."""
        return self._status.in_html()

    def _soon(self, call: Callable[[], object]) -> None:
        self._began.wait()
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has just ended by itself
                self._loop.call_soon_threadsafe(call)

    def _throw(self) -> None:
        self._is_stopping = True
        if self._halt is not None and self._loop is not None and self._task is not None:
            self._halt.throw(
                Interrupted("Stopped; run it again to go on.", "停止しました。もう一度実行すると続きます。")
            )
            self._loop.call_later(DRAIN_S, self._task.cancel)

    def leave(self) -> None:
        """The process ends: stop, and wait a little for what is in flight."""
        self._soon(self._throw)
        if not self._ended.wait(EXIT_S):
            self.cancel()

    def _run(self, work: Work[T]) -> None:
        try:
            self._result.append(run_loop(self._followed(work)))
            self._status = self._ending(self._result[0])
        except asyncio.CancelledError:
            self._fail(Interrupted("Stopped at once; what had come is kept. Run it again to go on."))
        except BaseException as error:  # noqa: BLE001 (handed over to whoever waits)
            self._fail(error)
        finally:
            UNDER_WAY.discard(self)
            self._began.set()
            self._ended.set()

    def _fail(self, error: BaseException) -> None:
        self._error = error
        said = str(error) if isinstance(error, SynthError) else repr(error)
        self._status = replace(self._status, state="failed", message=said)

    async def _followed(self, work: Work[T]) -> T:
        self._task, self._loop = asyncio.current_task(), asyncio.get_running_loop()
        self._began.set()

        def tell(status: Status) -> None:
            self._status = status

        def begun(halt: Halt) -> None:
            self._halt = halt
            if self._is_stopping:
                self._throw()

        return await followed(work, tell, begun)


def finished(work: Work[T], first: Status, ending: Callable[[T], Status], *, quiet: bool) -> T:
    """Do the work to its end, on a thread of its own when this one already has a running loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run_loop(shown(work, ending, quiet=quiet))
    running = Running(work, first, ending)
    try:
        return running.wait(quiet=quiet, goes_on=False)
    except KeyboardInterrupt:  # an interrupt of the cell must not leave a run behind that goes on buying
        running.cancel()
        raise


UNDER_WAY: set[Running[Any]] = set()


def _leave_all() -> None:
    for running in list(UNDER_WAY):
        running.leave()


# Before the process waits for threads, and before those that a run hands work to are ended: what was told of last ends
# first, and they tell of themselves when they are imported.
import_module("concurrent.futures.thread")
getattr(threading, "_register_atexit", atexit.register)(_leave_all)
