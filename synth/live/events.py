"""What a run tells programs while it goes on: events, one JSON object a line. docs/events.md is written from here."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from pydantic import field_validator

from synth.live.snapshot import Snapshot, TeacherNow, writable
from synth.money.budget import Caps, usd
from synth.types import Value

Cap = Literal["usd", "tokens", "requests", "hours"]
PROGRESS_EVERY_S = 5.0
LIMIT_MOVED = 0.1
"""By what share a limit has to change to be told again."""
PROBLEM_AGAIN_S = 60.0
"""How long the same problem is not told again."""
SHARES = (0.8, 0.95)
"""Of a cap, at which its use is told."""


class Event(Value):
    """What all events have; `event` says which one it is."""

    v: Literal[1] = 1
    """The version of this format: fields may be added under it, and none changes its meaning or goes."""
    at: str
    """When: UTC, ISO 8601, to the millisecond."""

    @field_validator("*", mode="before")
    @classmethod
    def _can_be_written(cls, value: object) -> object:
        return writable(value) if isinstance(value, str) else value


class Started(Event):
    """Before the first request. A run that asks for nothing, as there is nothing to do or its samples are known, or
    that cannot begin, tells only `ended`."""

    event: Literal["started"] = "started"
    recipe: str
    """Its name."""
    folder: str
    """The run folder, from the root."""
    run: str
    """The name of the folder's store, which stays the same when the run is gone on with."""
    resumed: bool
    """Whether the folder held replies already."""
    fingerprint: str
    """SHA-256 of what its requests are made from (models, sampling, templates, seeds); empty for a preview."""
    seeds: int | None
    """How many there are to use."""
    stages: tuple[str, ...]
    """Their names, in order."""
    teachers: dict[str, str]
    """The model of each, by its name in the recipe."""
    caps: Caps
    """The most that the run may use."""
    practice: bool
    """Whether a teacher is the practice teacher, by its base URL or the name of its model."""
    warning: str
    """What this machine could not give the run; empty when nothing is missing."""


class Progressed(Event):
    """How the run stands, every five seconds and once more at the end."""

    event: Literal["progress"] = "progress"
    now: Snapshot
    """What the live view shows at this moment, and `synth watch --json` prints."""


class ProblemMet(Event):
    """Something goes wrong with requests: when it is first seen, and while it stays at most once a minute."""

    event: Literal["problem"] = "problem"
    teacher: str
    """Its name in the recipe."""
    code: str
    """The class of the failure, such as `rate`; it stays the same when the words change."""
    count: int
    """How many of the requests that were looked over."""
    of: int
    """How many were looked over: the last ones, 1,000 at most."""
    status: int
    """The last one's HTTP status; 0 where none came."""
    text: str
    """The words of the live view."""


class LimitFound(Event):
    """How many requests may be in flight at a teacher: what it begins with, and then what is found, each time that it
    moved by a tenth or more. It comes with `progress`."""

    event: Literal["limit"] = "limit"
    teacher: str
    """Its name in the recipe."""
    limit: int
    """How many may be in flight."""
    before: int | None
    """What was told last; None at first."""
    most: int
    """The most there may ever be."""


class BudgetNear(Event):
    """So much of a cap is used that a person may want to know: at 80 and at 95 percent."""

    event: Literal["budget"] = "budget"
    cap: Cap
    """Which one."""
    used: float
    """How much of it, in its own unit; what is only set aside does not count."""
    of: float
    """The cap."""
    share: float
    """Used of the cap: 0.8 for 80 percent."""
    text: str
    """The same in words."""


class Steered(Event):
    """A person did something to the run, by a key or by `synth ctl`."""

    event: Literal["steered"] = "steered"
    command: str
    """`pause`, `resume`, `limit`, `budget` or `drain`."""
    value: str
    """The number that was given; empty where none is."""
    text: str
    """What was done, in words."""


class Ending(Event):
    """Nothing new is sent from here on, and what is in flight still ends: a budget, an interrupt, a teacher that cannot
    serve, or rows enough."""

    event: Literal["ending"] = "ending"
    exit_code: int
    """What the command will end with, unless worse happens."""
    text: str
    """Why."""


class Ended(Event):
    """The last event, however the run ended, unless it was killed."""

    event: Literal["ended"] = "ended"
    recipe: str
    """Its name."""
    folder: str
    """The run folder, from the root."""
    state: str
    """`complete`, `partial`, `interrupted`, `stopped_by_budget` or `failed`."""
    exit_code: int
    """What the command ends with: docs/shell.md."""
    text: str
    """Why it ended early, or that there was nothing to do; empty for a whole run."""
    rows: dict[str, int] = {}
    """By split. Nothing here and below where the run could not begin."""
    refused: dict[str, int] = {}
    """By reason, what selection left out included."""
    parked: int = 0
    """Pieces of work that running again asks for once more."""
    spent_microusd: int = 0
    """In the folder, earlier times included."""
    tokens: int = 0
    """Charged in the folder, in and out."""
    requests: int = 0
    """Sent in the folder."""
    seconds: float = 0.0
    """It took, this time."""


EVENTS: tuple[type[Event], ...] = (*(Started, Progressed, ProblemMet, LimitFound, BudgetNear, Steered, Ending, Ended),)


def stamp(now: datetime) -> str:
    """A moment as events tell it."""
    return now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class News:
    """Finds in moments of a run what is worth an event."""

    def __init__(
        self,
        tell: Callable[[Event], None],
        now: Callable[[], str] = lambda: stamp(datetime.now(UTC)),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tell = tell
        self.now = now
        self._clock = clock
        self._progressed: float | None = None
        self._limits: dict[str, int] = {}
        self._problems: dict[tuple[str, str], float] = {}
        self._used: dict[str, float] = {}

    def look(self, moment: Snapshot, *, last: bool = False) -> None:
        """Tell what is new; the whole moment only every five seconds, and when it is the last one."""
        for problem in moment.problems:
            key, clock = (problem.teacher, problem.code), self._clock()
            if clock >= self._problems.get(key, clock):
                self._problems[key] = clock + PROBLEM_AGAIN_S
                self.tell(ProblemMet(at=self.now(), **problem.model_dump()))
        self._budget(moment)
        if not last and self._progressed is not None and self._clock() < self._progressed + PROGRESS_EVERY_S:
            return
        self._progressed = self._clock()
        for teacher in moment.teachers:
            self._limit(teacher)
        self.tell(Progressed(at=self.now(), now=moment))

    def _limit(self, teacher: TeacherNow) -> None:
        before, limit = self._limits.get(teacher.name), teacher.limit or 0
        if before is not None and abs(limit - before) < max(1, LIMIT_MOVED * before):
            return
        self._limits[teacher.name] = limit
        most = teacher.most or limit
        self.tell(LimitFound(at=self.now(), teacher=teacher.name, limit=limit, before=before, most=most))

    def _budget(self, moment: Snapshot) -> None:
        caps = moment.caps
        uses: tuple[tuple[Cap, float, float | None], ...] = (
            ("usd", moment.spent_microusd / 1e6, caps.usd),
            ("tokens", moment.spent_tokens, caps.tokens),
            ("requests", moment.spent_requests, caps.requests),
            ("hours", (moment.seconds or 0.0) / 3600, caps.hours),
        )
        for cap, used, of in uses:
            share = 0.0 if not of else used / of
            reached = max((one for one in SHARES if share >= one), default=0.0)
            if reached > self._used.get(cap, 0.0) and of:
                words = f"{used:,.4g} of {of:,.4g} {cap}" if cap != "usd" else f"{usd(round(used * 1e6))} of ${of:,.2f}"
                text = f"{share:.0%} of the budget is used: {words}."
                self.tell(BudgetNear(at=self.now(), cap=cap, used=used, of=of, share=round(share, 4), text=text))
            self._used[cap] = reached  # raised by a person, it is told again when it comes near
