"""A limit of so much a minute that an endpoint holds to and does not tell, found from what it took.

A token bucket shows itself by refusing now what it bore a moment ago. Between two moments at which it was empty it let
through exactly what flowed in, however much of that was in hand on the way; so that is its rate. Probing beyond it is
brief and plain (after BBR's probing of bandwidth, Cardwell and others, 2016): little too much for long would cost as
many refusals and be hard to tell from those that come at any load.
"""

from __future__ import annotations

from math import inf

VARIES, FEW = 1.35, 4
"""An endpoint that bore so many times as much at once, and a few more, as it refused before does not count that."""
TELLING = 2
"""So often that must be seen: what an endpoint bears may have changed once."""
FEWEST = 100
"""Requests that must have been let through for a rate to be reckoned."""
FEW_TAKEN, MOSTLY = 10, 2
"""Or so many, where so many times as many were refused meanwhile: then nothing flowed in that was not used."""
STEADY = 1000
"""After so many, refusals where there had been some before are a sign that it does."""
BELOW = 0.985
"""The share of the rate that is used."""
BEYOND = 1.15
"""What is tried, in place of it, once in a while."""
WAIT_PER_REFUSAL = 200
"""Requests before the next try, for each refusal that the last one cost."""
REFILLED_S = 60.0
"""A standstill brings no more than this one: what is counted by the minute is whole again after a minute."""
IN_HAND_S = 0.5
"""How long a standstill of ours may be made up for at once."""


class Meter:
    """Watches what is sent and refused, and paces once a rate has shown itself."""

    def __init__(self) -> None:
        self.per_s: float | None = None
        """How many requests a second may start; None until that is known to matter."""
        self.peak = 0
        """The most on the wire since the last moment at which there was nothing left."""
        self._refused_at = inf
        self._seen = 0
        self._alone = False
        """Whether refusals of what flew alone have shown that it is no matter of how many fly."""
        self._base = 0.0
        self._let_through = self._refused = self._refused_then = 0
        self._since: float | None = None
        self._next_try = 0
        self._level, self._then = 1.0, -inf

    def wait_s(self, now: float, sent: int) -> float:
        """Seconds until the next request may start, after so many that were sent."""
        if self.per_s is None:
            return 0.0
        if sent >= self._next_try:
            self._base, self.per_s = self.per_s, BEYOND * self.per_s
            self._next_try = sent + WAIT_PER_REFUSAL
        room = max(1.0, IN_HAND_S * self.per_s)
        self._level = min(room, self._level + (now - self._then) * self.per_s)
        self._then = now
        return max(0.0, (1.0 - self._level) / self.per_s)

    def take(self) -> None:
        """One request starts."""
        self._level -= 1.0

    def stood_still(self, for_s: float) -> None:
        """Nothing was sent for longer than it takes to refill: what would have flowed in was lost."""
        if self._since is not None:
            self._since += for_s - REFILLED_S

    def refused(self) -> None:
        """One was refused."""
        self._refused += 1

    def refused_alone(self) -> None:
        """Some that flew alone were refused one after the other, and then one was not: it counts what it takes."""
        self._seen, self._alone = TELLING, True

    def nothing_left(self, now: float, sent: int, on_wire: int, cost: int) -> bool:
        """More was refused than comes at any load, `cost` requests. Whether pacing answers for it, and no cut."""
        taken = sent - self._refused - self._let_through
        was_trying = self.per_s is not None and self.per_s > self._base
        mostly = self._alone and self._refused - self._refused_then >= MOSTLY * taken
        enough = taken >= (FEW_TAKEN if mostly or (self._alone and was_trying) else FEWEST)
        rate = taken / (now - self._since) if self._since is not None and now > self._since else None
        if self.peak > VARIES * self._refused_at + FEW:
            self._seen = min(TELLING, self._seen + 1)
        elif taken >= STEADY:
            self._seen = max(0, self._seen - 1)
        if enough or not mostly or self._since is None:
            self._since, self._let_through, self._refused_then = now, sent - self._refused, self._refused
        self.peak, self._refused_at = 0, on_wire if taken >= FEWEST else min(on_wire, self._refused_at)
        if rate is not None and enough and (was_trying or (self.per_s is None and self._seen >= TELLING)):
            self.per_s = self._base = BELOW * rate
            self._level, self._then = 0.0, now
            self._next_try = sent + (WAIT_PER_REFUSAL * cost if taken >= FEWEST else taken)
            return True
        if self.per_s is not None:  # refused at what it had borne: something else is the matter
            self.per_s, self._seen, self._alone = None, TELLING - 1, False
        return False
