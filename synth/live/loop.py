"""An event loop for whoever has none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import nullcontext
from types import FrameType
from typing import Any, TypeVar

from synth import stopping

T = TypeVar("T")


def run_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end on an event loop of its own: uvloop's where there is one, else asyncio's.

    Raises KeyboardInterrupt where Ctrl-C is heeded and came: then the work was cancelled first.
    """
    try:
        from uvloop import new_event_loop
    except ModuleNotFoundError:
        new_event_loop = None
    is_main, is_stopped = threading.current_thread() is threading.main_thread(), False

    async def stoppable() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def stop(_frame: FrameType | None) -> None:
            nonlocal is_stopped
            is_stopped = True
            loop.call_soon_threadsafe(task.cancel)

        with stopping.doing(stop):
            return await work

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        try:
            return runner.run(stoppable() if is_main else work)
        except asyncio.CancelledError:
            if is_stopped:
                raise KeyboardInterrupt from None
            raise
        finally:
            # the work is over; threads that end, and find the loop gone, would say so with a traceback
            with stopping.doing(lambda _: None) if is_main else nullcontext():
                runner.close()
