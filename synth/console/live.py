"""A run while it goes on: progress on standard error, and the signals that end it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TypeVar

from rich.console import Group
from rich.live import Live
from rich.text import Text

from synth.admission.halt import Halt
from synth.api import run_loop
from synth.console.screen import ERR, OUT, clock_time, plain_table
from synth.errors import Interrupted
from synth.language.text import visible
from synth.money.budget import standing
from synth.progress import Progress
from synth.types import Spend

T = TypeVar("T")
WAITING = "requests wait for reservations to settle: the budget is nearly used, the provider is not the limit"
PLAIN_EVERY_S = 5.0
LIVE_EVERY_S = 0.2
SIGNALS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "the end of its terminal"}
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
    ERR.print(visible(text), markup=False, soft_wrap=True)


@contextmanager
def heeding_signals(loop: asyncio.AbstractEventLoop, halt: Halt) -> Generator[None]:
    """Ctrl-C, SIGTERM and a closed terminal end what is in flight, in a minute at most.

    Ctrl-C twice ends the current task at once, a third time the process, whatever it waits for: hence no handler of
    the loop's, which would wait for the loop.
    """
    task, presses = asyncio.current_task(), 0
    on_terminal = [console for console in (OUT, ERR) if console.is_terminal]

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
        halt.throw(Interrupted(f"Stopped by {SIGNALS[signal.Signals(number)]}; run again to go on."))
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


async def watch(name: str, progress: Progress) -> None:
    """Show how a run of the recipe `name` goes until cancelled: a panel on a terminal, plain lines elsewhere."""
    if not ERR.is_terminal:
        while True:
            await asyncio.sleep(PLAIN_EVERY_S)
            ERR.print(progress_line(name, progress), soft_wrap=True)
    with Live(progress_panel(name, progress), console=ERR, auto_refresh=False, transient=True) as live:
        while True:
            await asyncio.sleep(LIVE_EVERY_S)
            live.update(progress_panel(name, progress), refresh=True)


def progress_line(name: str, progress: Progress) -> str:
    """How a run goes, as one plain line."""
    rejected = " ".join(f"{reason}={count}" for reason, count in progress.rejected().most_common(6))
    return (
        f"{name}: {progress.seeds_done}/{progress.total_seeds or '?'} seeds, {progress.rows} accepted, "
        f"{sum(progress.rejected().values())} rejected ({rejected or 'none'}), {progress.in_flight()} in flight, "
        f"{', '.join(_standing(progress))}"
    )


def _standing(progress: Progress) -> list[str]:
    """The live budget, and what the run waits for."""
    budget = progress.budget
    spent = Spend(budget.spent_microusd, budget.spent_tokens, budget.spent_requests)
    said = standing(budget.caps, spent, Spend(budget.reserved_microusd), overshoot_microusd=budget.overshoot_microusd)
    said += [f"{budget.waiting:,} {WAITING}"] if budget.waiting else []
    said += [f"{batched:,} wait for a batch"] if (batched := progress.batched()) else []
    said += [f"{name} runs {runs:,.0f}, {wait:,.0f} wait there" for name, (runs, wait) in progress.loads().items()]
    return said + [f"{name} is asked again in {clock_time(pause_s)}" for name, pause_s in progress.held().items()]


def progress_panel(name: str, progress: Progress) -> Group:
    """How a run goes, as a panel."""
    seconds = max(0.001, time.monotonic() - progress.began)
    left = progress.left_s()
    tokens = sum(teacher.tokens for teacher in progress.teachers.values())
    head = Text.assemble(
        (name, "bold"),
        f"   {progress.seeds_done:,} of {progress.total_seeds or 0:,} seeds",
        f"   {clock_time(seconds)} gone",
        f"   {clock_time(left)} left" if left is not None else "",
    )
    table = plain_table("stage", "asked", "kept", "refused", right=1)
    for stage, count in progress.stages.items():
        reasons = "  ".join(f"{reason} {number:,}" for reason, number in count.rejected.most_common(5))
        table.add_row(stage, f"{count.units:,}", f"{count.accepted:,}", reasons)
    foot = Text.assemble(
        (f"{progress.rows:,} accepted", "green"),
        f"   {progress.rows / seconds:,.1f}/s",
        f"   {progress.in_flight()} in flight",
        f"   {tokens:,} tokens",
        f"   {'   '.join(_standing(progress))}",
    )
    return Group(head, table, foot)
