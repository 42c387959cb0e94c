"""A run that goes on while its caller does something else, and the one line that tells how far it is."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Generic, TypeVar

from synth.admission.halt import Halt
from synth.errors import Interrupted, SynthError
from synth.language.text import Count, visible
from synth.live.loop import run_loop
from synth.live.progress import Progress
from synth.money.budget import usd
from synth.report import cards
from synth.report.words import ENGLISH, Words, duration

T = TypeVar("T")
LOOK_EVERY_S = 0.25
PLAIN_EVERY_S = 30.0
"""Where a line cannot be written anew, as in the log of a job."""
DRAIN_S = 60.0
"""How long what is in flight may take to end once the run is stopped."""
EXIT_S = 5.0
"""The same when the process wants to end."""


LINE = {
    "en": {
        "seeds": "{done} of {of} {count:seed|seeds}",
        "prompts": "{done} of {of} {count:prompt|prompts}",
        "rows": "{0} {0:row|rows}",
        "refused": "{} refused",
        "in_flight": "{} in flight",
        "silent": "{} has been out of reach for {} and is waited for {} more",
        "left": "about {} left",
        "goes_on": "; it goes on, and stop() ends it",
        "stopped": "; it is stopped",
        "clock": "s|min|h",
        "comma": ", ",
        "colon": ": ",
        "stop": ". ",
    },
    "ja": {
        "seeds": "シード {done}/{of}",
        "prompts": "プロンプト {done}/{of}",
        "rows": "{} 行",
        "refused": "不採用 {}",
        "in_flight": "送信中 {}",
        "silent": "{} に {} つながらず、あと {} 待ちます",
        "left": "残り約 {}",
        "goes_on": "。実行は続いています（stop() で終わります）",
        "stopped": "。停止しました",
        "clock": "秒|分|時間",
        "comma": "、",
        "colon": "：",
        "stop": "。",
        "complete": "完了",
        "partial": "完了（一部は保留）",
        "stopped_by_budget": "予算で停止",
        "interrupted": "中断",
        "failed": "失敗",
    },
}
"""The pieces of the one line, by the language of the recipe."""


@dataclass(frozen=True, slots=True)
class Status:
    """How far a run is."""

    name: str
    state: str = "running"
    """`running`, `complete`, `partial`, `stopped_by_budget`, `interrupted` or `failed`."""
    seeds_done: int = 0
    seeds: int | None = None
    """None until they are all known."""
    rows: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict[str, int])
    """Refused samples by reason."""
    in_flight: int = 0
    silent: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    """Teachers that are out of reach: since how many seconds, and how many more they are waited for."""
    cost_microusd: int = 0
    seconds: float = 0.0
    left_s: float | None = None
    """Seconds left at the pace so far; None when that cannot be told."""
    message: str = ""
    """Why it ended early; empty otherwise."""
    words: Words = ENGLISH
    of: str = "seeds"
    """What is counted."""

    def __str__(self) -> str:
        phrases = LINE[self.words.language]
        count = Count(self.seeds or 0)
        of = "?" if self.seeds is None else count
        done = phrases[self.of].format(done=Count(self.seeds_done), of=of, count=count)
        said = [done, phrases["rows"].format(Count(self.rows))]
        said += [phrases["refused"].format(f"{sum(self.rejected.values()):,}")]
        said += [phrases["in_flight"].format(f"{self.in_flight:,}")] * (self.state == "running")
        for name, (for_s, more_s) in self.silent.items():
            said.append(phrases["silent"].format(name, self._clock(for_s), self._clock(more_s)))
        said += [usd(self.cost_microusd), self._clock(self.seconds)]
        if self.state == "running" and self.left_s is not None:
            said.append(phrases["left"].format(self._clock(self.left_s)))
        name = self.name if self.state == "running" else f"{self.name} {phrases.get(self.state, self.state)}"
        body = phrases["comma"].join(said)
        return visible(f"{name}{phrases['colon']}{body}{phrases['stop'] + self.message if self.message else ''}")

    def _clock(self, seconds: float) -> str:
        """A length of time in as few words as will do."""
        in_seconds, in_minutes, in_hours = LINE[self.words.language]["clock"].split("|")
        if seconds < 90:
            return f"{seconds:.0f} {in_seconds}"
        return f"{seconds / 60:.0f} {in_minutes}" if seconds < 5400 else f"{seconds / 3600:.1f} {in_hours}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.in_html()

    def in_html(self) -> str:
        """For a notebook."""
        words = self.words
        share = self.seeds_done / self.seeds if self.seeds else 0.0
        done = f"{self.seeds_done:,} / {'?' if self.seeds is None else f'{self.seeds:,}'}"
        body = [
            (words.seeds, cards.bar(share, done)),
            (words.rows, f"{self.rows:,}"),
            *((words.reasons.get(one, one), f"{number:,}") for one, number in self.rejected.items()),
            (words.cost, usd(self.cost_microusd)),
            (words.duration, duration(self.seconds, words.language)),
        ]
        title = cards.title(self.name, words.states.get(self.state) or cards.RUNNING[words.language])
        return cards.framed(words, title + cards.notes([self.message]) + cards.table((), body))


def status_of(name: str, progress: Progress, words: Words) -> Status:
    """How far a run of the recipe `name` is."""
    return Status(
        name,
        seeds_done=progress.seeds_done,
        seeds=progress.total_seeds,
        rows=progress.rows,
        rejected=dict(progress.rejected().most_common()),
        in_flight=progress.in_flight(),
        silent=progress.silent(),
        cost_microusd=progress.budget.spent_microusd,
        seconds=time.monotonic() - progress.began,
        left_s=progress.left_s(),
        words=words,
    )


Observe = Callable[[Callable[[], Status], Halt], None]
"""Told how to find out how far a run is, and of the switch that stops it, before its first request."""
Work = Callable[[Observe], Coroutine[Any, Any, T]]


class ProgressLine:
    """One line that is written anew: in a notebook's output and on a terminal; elsewhere one now and then."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._display = None if quiet else _notebook_display()
        self._handle: Any = None
        self._told = time.monotonic()

    def show(self, text: str) -> None:
        """Write the line as it is now."""
        if self._quiet:
            return
        if self._display is not None:
            self._in_notebook(text)
        elif sys.stderr.isatty():
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\x1b[K{text[:width]}")
            sys.stderr.flush()
        elif time.monotonic() - self._told >= PLAIN_EVERY_S:
            self._told = time.monotonic()
            sys.stderr.write(f"{text}\n")

    def end(self, text: str, *, is_problem: bool) -> None:
        """Write the line for the last time; where it was not shown, only what went wrong is said."""
        if self._quiet:
            return
        if self._display is not None:
            self._in_notebook(text)
        elif sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{text}\n")
        elif is_problem:
            sys.stderr.write(f"{text}\n")

    def _in_notebook(self, text: str) -> None:
        bundle = {"text/plain": text}
        if self._handle is None:
            self._handle = self._display(bundle, raw=True, display_id=True) if self._display else None
        else:
            self._handle.update(bundle, raw=True)


def tell(notes: Iterable[str], *, quiet: bool) -> None:
    """Say on standard error what the user should know before anything is asked."""
    if not quiet:
        sys.stderr.writelines(f"{visible(note)}\n" for note in notes)


def _notebook_display() -> Any:
    """What shows something below a notebook's cell; None outside of notebooks."""
    found = sys.modules.get("IPython")
    shell = None if found is None else found.get_ipython()
    return import_module("IPython.display").display if hasattr(shell, "kernel") else None


async def followed(work: Work[T], tell: Callable[[Status], None], begun: Callable[[Halt], None] | None = None) -> T:
    """Do the work on the loop that is running, and tell again and again how far it is."""
    following: list[asyncio.Task[None]] = []

    async def follow(status: Callable[[], Status]) -> None:
        while True:
            tell(status())
            await asyncio.sleep(LOOK_EVERY_S)

    def observe(status: Callable[[], Status], halt: Halt) -> None:
        following.append(asyncio.get_running_loop().create_task(follow(status)))
        if begun is not None:
            begun(halt)

    try:
        return await work(observe)
    finally:
        for one in following:
            one.cancel()
        await asyncio.gather(*following, return_exceptions=True)


async def shown(work: Work[T], ending: Callable[[T], Status], *, quiet: bool) -> T:
    """Do the work with its progress shown."""
    line = ProgressLine(quiet=quiet)
    result = await followed(work, lambda status: line.show(str(status)))
    last = ending(result)
    line.end(str(last), is_problem=bool(last.message))
    return result


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
            self._halt.throw(Interrupted("Stopped; run it again to go on."))
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
