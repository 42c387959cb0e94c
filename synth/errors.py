"""Every error synth raises on purpose.

    SynthError
    ├── RecipeError        the recipe, a template or the seeds: before the first request
    ├── MissingPackage     a package that is not installed, and how to install it
    ├── FolderError        the run folder: busy, foreign, damaged, full
    ├── PublishError       where a dataset was to be published does not take it, or holds somebody else's work
    ├── Stalled            nothing came back although the deadline is long over, or moved at all: a bug, but no hang
    ├── Rejected           this sample only; becomes one row of rejected.jsonl
    └── TeacherError
        ├── Transient      this request, maybe not the next time
        └── Fatal          every later request too
            ├── BudgetReached
            ├── AccountStopped  the account that runs share takes no more leases
            ├── EngineStopped   the vLLM that synth runs itself does not come to serve, or serves no more
            └── StoreStopped  nothing more can be kept or read: a full or failing disk, a damaged store

Anything else that is raised is a bug and keeps its traceback.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass


class SynthError(Exception):
    """Root of the errors a user may meet; its text is one plain sentence."""

    exit_code = 1

    def _render_traceback_(self) -> list[str]:
        """What IPython prints in place of a traceback: a user's mistake is one sentence in a notebook too."""
        return [f"{type(self).__name__}: {''.join(map(_seen, str(self)))}"]


def _seen(letter: str) -> str:
    """A letter as it is, and its code point where a terminal would obey it."""
    obeyed = unicodedata.category(letter) in ("Cc", "Cf", "Cs") and letter not in "\n\t\u200c\u200d"
    return f"<U+{ord(letter):04X}>" if obeyed else letter


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend, and where it stands.

    `line` and `column` count from 1; 0 means the place is not known.
    """

    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    field: str = ""

    def __str__(self) -> str:
        place = self.file
        if self.line:
            place += f":{self.line}"
            if self.column:
                place += f":{self.column}"
        parts = [part for part in (place, self.field) if part]
        return ": ".join([*parts, self.message])


At = tuple[tuple[str | int, ...], Problem]
"""A problem, and the way to its field in a recipe."""


class RecipeError(SynthError):
    """The recipe, a template or the seeds cannot be used; lists every problem found."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem] | Problem | str) -> None:
        if isinstance(problems, str):
            problems = [Problem(problems)]
        elif isinstance(problems, Problem):
            problems = [problems]
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class MissingPackage(SynthError):
    """A package is not installed that only some need."""

    exit_code = 2


class FolderError(SynthError):
    """The run folder is in use, belongs to something else, or cannot be written."""

    exit_code = 5


class PublishError(SynthError):
    """The place where a dataset was to be published does not take it, or holds what somebody else has done."""

    exit_code = 8


class Stalled(SynthError):
    """Nothing has come back for longer than any request may take, or nothing at all has moved for an hour."""

    exit_code = 4

    def __init__(self, stacks: str) -> None:
        self.stacks = stacks
        super().__init__("Nothing has moved for longer than any request may take, so the run was ended.")


class Rejected(SynthError):
    """This sample is refused. `reason` is a stable counter name, `detail` is for people."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}" if detail else reason)


class TeacherError(SynthError):
    """A request did not bring a usable reply."""


class Transient(TeacherError):
    """Asking again later may work. The one retry loop catches it; when its patience ends the sample is parked."""

    def __init__(self, failure: str, detail: str = "", retry_after_s: float | None = None) -> None:
        self.failure = failure
        self.detail = detail
        self.retry_after_s = retry_after_s
        super().__init__(f"{failure}: {detail}" if detail else failure)


class Fatal(TeacherError):
    """No later request can work either: a bad key, an unknown model, no money.

    `japanese` is the same sentence for a Japanese report; without one the English stands there.
    """

    exit_code = 4

    def __init__(self, said: str, japanese: str = "") -> None:
        self.japanese = japanese
        super().__init__(said)


class Interrupted(Fatal):
    """The user asked the run to stop."""

    exit_code = 130


class BudgetReached(Fatal):
    """The next request could cost more than the budget has left."""

    exit_code = 6


class AccountStopped(Fatal):
    """The account that the run shares cannot be read or written any more, so nothing more may be set aside."""

    exit_code = 5


class StoreStopped(Fatal):
    """The run folder takes nothing more, or cannot be read: a full or failing disk, a damaged store."""

    exit_code = 5


class EngineStopped(Fatal):
    """The vLLM that synth runs itself does not come to serve, or serves no more."""

    exit_code = 7
