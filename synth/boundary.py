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
from synth.types import Rejection

T = TypeVar("T")

OURS = str(Path(__file__).parent)
MOST_PLUGIN_ERRORS = 5
ENDINGS = (asyncio.CancelledError, SystemExit)
"""What plug-in code may raise that would end a task, or the loop, without a word."""


class Boundary:
    """Where plug-ins are called; after a few unexpected errors of theirs the run stops."""

    def __init__(self, halt: Halt) -> None:
        self._halt = halt
        self._errors = 0

    async def outcome(self, stage: str, work: Work, asking: Awaitable[T]) -> T | Rejection | TeacherError:
        """What a plug-in made, or which of the fates it met."""
        try:
            return await asking
        except TeacherError as error:
            return error
        except Rejected as error:
            rejected = error
        except FolderError:
            raise
        except (Exception, *ENDINGS):
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            rejected = self.refusal(stage)
        return Rejection(id=work.id, seed_id=work.seed_id, stage=stage, reason=rejected.reason, detail=rejected.detail)

    def refusal(self, where: str) -> Rejected:
        """The exception being handled with its traceback, as a rejection."""
        self._errors += 1
        error = sys.exception()
        last = traceback.format_exc().strip().splitlines()[-1]
        if self._errors >= MOST_PLUGIN_ERRORS:
            told = f"{where!r} raised {self._errors} unexpected errors, the last {last}{_place_of(error)}."
            self._halt.throw(Fatal(told))
        return Rejected("plugin_error", f"{last}{_place_of(error)}\n\n{traceback.format_exc()}")


def _place_of(error: BaseException | None) -> str:
    """Where in code that is not synth's an exception came from, as a plug-in's author looks for it."""
    frames: list[traceback.FrameSummary] = [] if error is None else list(traceback.extract_tb(error.__traceback__))
    theirs = [one for one in frames if not one.filename.startswith(OURS)]
    return f" ({Path(theirs[-1].filename).name}, line {theirs[-1].lineno})" if theirs else ""
