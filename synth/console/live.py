"""A run while it goes on: progress on standard error, and the signals that end it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TypeVar

from synth.admission.halt import Halt
from synth.console.drawing import drawing
from synth.console.keys import Keys, listening
from synth.console.panel import WAITING, money, panel, since
from synth.console.screen import ERR, OUT, clock_time, say
from synth.errors import Interrupted
from synth.language.text import visible
from synth.live.control import Steering, reachable
from synth.live.loop import run_loop
from synth.live.snapshot import Snapshot

T = TypeVar("T")
PLAIN_EVERY_S = 5.0
LIVE_EVERY_S = 0.2
SIGNALS = {
    signal.SIGINT: ("Ctrl-C", "Ctrl-C "),
    signal.SIGTERM: ("SIGTERM", "SIGTERM "),
    signal.SIGHUP: ("the end of its terminal", "端末の終了"),
}
DRAIN_S = 60.0
"""How long what is in flight may take to end once the run is stopped."""


def heeding(work: Callable[[Halt], Coroutine[Any, Any, T]]) -> T:
    """Do work that asks, heeding signals. What came is kept in every case."""

    async def heeded() -> T:
        halt = Halt()
        with heeding_signals(asyncio.get_running_loop(), halt):
            return await work(halt)

    try:
        return run_loop(heeded())
    except asyncio.CancelledError:
        raise Interrupted("Stopped by Ctrl-C; what had come is kept. Run again to go on.") from None


def tell(text: str) -> None:
    """Say what a run waits for."""
    say(ERR, text)


@contextmanager
def heeding_signals(loop: asyncio.AbstractEventLoop, halt: Halt) -> Generator[None]:
    """Ctrl-C, SIGTERM and a closed terminal end what is in flight, in a minute at most.

    Ctrl-C twice ends the current task at once, a third time the process, whatever it waits for: hence no handler of
    the loop's, which would wait for the loop.
    """
    task, presses = asyncio.current_task(), 0
    on_terminal = [console for console in (OUT, ERR) if console.is_screen]

    def heed(number: int, _frame: FrameType | None) -> None:
        nonlocal presses
        presses += number == signal.SIGINT
        if presses >= 3:
            os._exit(Interrupted.exit_code)
        with suppress(RuntimeError):  # the loop is closed, and nothing is left to stop
            loop.call_soon_threadsafe(stop, number)

    def stop(number: int) -> None:
        if presses == 2 and task is not None:
            task.cancel()
            return
        if not isinstance(halt.error, Interrupted) and task is not None:
            loop.call_later(DRAIN_S, task.cancel)
        by, by_ja = SIGNALS[signal.Signals(number)]
        halt.throw(
            Interrupted(f"Stopped by {by}; run again to go on.", f"{by_ja}で停止しました。もう一度実行すると続きます。")
        )
        if number == signal.SIGHUP:
            for console in on_terminal:
                console.on_broken_pipe()
        ERR.print("Ending what is in flight; Ctrl-C again stops at once.", style="yellow")

    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:  # as nohup sets it for SIGHUP
            signal.signal(number, heed)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def watch(steering: Steering) -> None:
    """Show how a run goes until cancelled: a panel with keys on a terminal, plain lines elsewhere."""
    if not ERR.is_screen:
        while True:
            await asyncio.sleep(PLAIN_EVERY_S)
            say(ERR, snapshot_line(steering.now()))
    keys = Keys(steering)
    with listening(keys) as heard, drawing(ERR) as draw:
        while True:
            draw(panel(steering.now(), ERR, keys.line if heard else ""))
            await asyncio.sleep(LIVE_EVERY_S)


async def steered(steering: Steering) -> None:
    """Show how a run goes, and let other terminals steer it, until cancelled."""
    async with reachable(steering) as problem:
        if problem:
            say(ERR, problem, "yellow")
        await watch(steering)


def snapshot_line(now: Snapshot) -> str:
    """A moment of a run as one plain line."""
    refused = " ".join(f"{reason}={count}" for reason, count in list(now.refused.items())[:6])
    said = [now.state] * (now.state != "running") + money(now)
    said += [f"{now.waiting_for_budget:,} {WAITING}"] if now.waiting_for_budget else []
    for one in now.teachers:
        said += [f"{one.batched:,} wait for a batch"] if one.batched else []
        said += (
            [f"{one.name} runs {one.running:,.0f}, {one.waiting or 0:,.0f} wait there"]
            if one.running is not None
            else []
        )
        if one.silent_s:
            silent, left = clock_time(one.silent_s), clock_time(one.waited_for_s)
            said.append(f"{one.name} has been out of reach for {silent} and is waited for {left} more")
        said += [f"left out for now: {why}" for why in one.left_out]
        said += [f"{one.name} is asked again in {clock_time(one.pause_s)}"] if one.pause_s else []
    said += now.held_by
    said[:0] = [f"{sum(one.in_flight for one in now.teachers)} in flight"]
    if now.replies_per_s is not None and now.last_commit is not None:
        said[1:1] = [f"{now.replies_per_s:,.1f} replies/s"]
        said.append(f"last written {since(now.last_commit)}")
    if now.rows is not None:
        told = f"{sum(now.refused.values())} rejected ({refused or 'none'})"
        said[:0] = [f"{now.seeds_done}/{now.seeds or '?'} seeds", f"{now.rows} accepted", told]
    return visible(f"{now.recipe}: {', '.join(said)}")
