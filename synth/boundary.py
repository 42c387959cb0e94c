"""The one boundary around plug-in code: whatever it raises ends as one of the fates of a unit, and is never lost."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from synth.admission.halt import Halt
from synth.errors import Fatal, FolderError, Rejected, TeacherError
from synth.gates.work import Work
from synth.language.text import several
from synth.types import Rejection

if TYPE_CHECKING:
    from synth.ask import Ask

T = TypeVar("T")

OURS = str(Path(__file__).parent)
MOST_PLUGIN_ERRORS = 5
IDLE_S = 300.0
"""How long a generator or scorer of the user's own may wait for anything but what it asked."""
ENDINGS = (asyncio.CancelledError, SystemExit)
"""What plug-in code may raise that would end a task, or the loop, without a word."""


class Boundary:
    """Where plug-ins are called; after a few unexpected errors of theirs the run stops."""

    def __init__(self, halt: Halt) -> None:
        self._halt = halt
        self._errors = 0
        self.is_over = False
        """Whether so many errors came that the run stops for them."""

    async def outcome(self, stage: str, work: Work, asking: Awaitable[T]) -> T | Rejection | TeacherError:
        """What a plug-in made, or which of the fates it met."""
        try:
            return await asking
        except TeacherError as error:
            return error
        except Rejected as error:
            rejected = error
        except (FolderError, KeyboardInterrupt, GeneratorExit):  # Ctrl-C, where nobody heeds it
            raise
        except BaseException:
            if is_cancelled():
                raise
            rejected = self.refusal(stage)
        return Rejection(id=work.id, seed_id=work.seed_id, stage=stage, reason=rejected.reason, detail=rejected.detail)

    def refusal(self, where: str) -> Rejected:
        """The exception being handled with its traceback, as a rejection."""
        error = sys.exception()
        assert error is not None
        return self.failed(where, *told(error))

    def failed(self, where: str, said: str, trace: str = "", *, is_hopeless: bool = False) -> Rejected:
        """A failure of a plug-in, as a rejection; the run stops where it is hopeless, and after a few."""
        self._errors += 1
        if is_hopeless or self._errors >= MOST_PLUGIN_ERRORS:
            self.is_over = True
            brought = several(self._errors, "unexpected error")
            self._halt.throw(Fatal(f"{where!r} brought {brought}, the last {said}."))
        return Rejected("plugin_error", f"{said}\n\n{trace}" if trace else said)


class _TimedAsk:
    """`Ask` for a plug-in whose time passes only while nothing that it asked is under way."""

    def __init__(self, ask: Ask, limit: asyncio.Timeout) -> None:
        self._ask, self._limit = ask, limit
        self._asked = 0

    def __getattr__(self, name: str) -> Any:
        own = getattr(self._ask, name)
        return functools.partial(self._timed, own) if inspect.iscoroutinefunction(own) else own

    async def _timed(self, own: Callable[..., Awaitable[Any]], *given: Any, **named: Any) -> Any:
        self._asked += 1
        self._limit.reschedule(None)
        try:
            return await own(*given, **named)
        finally:
            self._asked -= 1
            if not self._asked:
                self._limit.reschedule(asyncio.get_running_loop().time() + IDLE_S)


async def timed(kind: str, call: Callable[[Ask], Awaitable[T]], ask: Ask) -> T:
    """What a generator or scorer of the user's own makes with `ask`. Raises TimeoutError when it does not go on."""
    limit = asyncio.timeout(IDLE_S)
    try:
        async with limit:
            return await call(cast("Ask", _TimedAsk(ask, limit)))
    except TimeoutError:
        if limit.expired():
            raise TimeoutError(f"{kind} waited {IDLE_S:g} s for something other than a reply") from None
        raise


def is_cancelled() -> bool:
    """Whether somebody ends this task; a plug-in may raise the same without that."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def told(error: BaseException) -> tuple[str, str]:
    """What was raised, and where in code that is not synth's, as a plug-in's author looks for it; and its traceback."""
    trace = "".join(traceback.format_exception(error))
    theirs = [one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith(OURS)]
    place = f" ({Path(theirs[-1].filename).name}, line {theirs[-1].lineno})" if theirs else ""
    return f"{trace.strip().splitlines()[-1]}{place}", trace
