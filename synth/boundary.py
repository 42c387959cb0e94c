"""The one boundary around plug-in code: whatever it raises ends as one of the fates of a unit, and is never lost."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

from synth.admission.halt import Halt
from synth.errors import Fatal, FolderError, Rejected, TeacherError
from synth.gates.work import Work
from synth.language.text import several
from synth.types import Rejection

T = TypeVar("T")

OURS = str(Path(__file__).parent)
MOST_PLUGIN_ERRORS = 5
ENDINGS = (asyncio.CancelledError, SystemExit)
"""What plug-in code may raise that would end a task, or the loop, without a word."""


class Hung(Exception):
    """A generator or scorer of the user's own did not give way; `is_hopeless` says that none will that is called so."""

    def __init__(self, said: str, *, is_hopeless: bool) -> None:
        self.is_hopeless = is_hopeless
        super().__init__(said)


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
        if isinstance(error, Hung):
            return self.failed(where, str(error), is_hopeless=error.is_hopeless)
        return self.failed(where, *told(error))

    def failed(self, where: str, said: str, trace: str = "", *, is_hopeless: bool = False) -> Rejected:
        """A failure of a plug-in, as a rejection; the run stops where it is hopeless, and after a few."""
        self._errors += 1
        if is_hopeless or self._errors >= MOST_PLUGIN_ERRORS:
            self.is_over = True
            brought = several(self._errors, "unexpected error")
            self._halt.throw(Fatal(f"{where!r} brought {brought}, the last {said}."))
        return Rejected("plugin_error", f"{said}\n\n{trace}" if trace else said)


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
