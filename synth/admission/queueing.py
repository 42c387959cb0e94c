"""The limit of a server that queues what is too much: told by its own figures, or found where it tells nothing.

In the latter case it is given as many requests as Little's law (1961) says it works on.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

START = 16
UNLOADED = 3 * START
"""So many requests, the first ones, show how long a token takes."""
FASTEST_GROWTH = 2.0
"""Growth per answer when it doubles every round."""
GAIN = 1.15
"""How many more requests than it works on a server that queues is given, at least."""
FIRST_GAIN = 2.0
WORTH = 0.4
"""A raise must bring this share of itself in throughput."""
STEP = 1.25
RAMP_WORTH = 1.5
"""Growth of throughput from round to round that shows the server is not full."""
FORGETS = 0.99
LOST = 0.8
"""Less of the best throughput lately shows that the limit has become too small."""
MOST_GAIN = 4.0
SHORTER = 0.95
"""Time a token took, to what it was thought to take, that shows that some of the latter was a wait."""
MEASURED = 256
"""Answers that show a throughput well enough to compare it with another."""
TRIAL_EVERY_S = 180.0
MEASURED_EVERY_S = 900.0
"""From one measurement of what a token takes that does not wait to the next."""


QUEUED = 0.1
"""What may wait in a server's line, as a share of what it runs, so that no place of it is ever empty."""
STEADY = 2
"""Looks in a row at which more waited: a heap that came at once is no line."""
FULL = 0.95
"""A cache so full has no room for more at once."""
FIRST_RAISE, RAISE = 1.5, 1.05
"""From look to look, before the first line and afterwards."""
LOWER = 0.9


class Load(NamedTuple):
    """What a server tells of itself."""

    running: float
    waiting: float
    cache: float = 0.0
    """The share of its cache of tokens that is taken."""
    preempted: float = 0.0
    """Requests it ever put back for want of room."""


class Told:
    """The limit of a server that tells what it runs and what waits: what it runs, and a little more."""

    def __init__(self, limit: float, most: int) -> None:
        self._limit = limit
        self.most = most
        self._ramp = True
        self._too_many = 0
        self._preempted: float | None = None
        self._used = False
        """Whether the limit was used since the last look."""

    def accepted(self, now: float, sent_at: float, tokens: int, number: int, *, busy: bool) -> float:
        """The limit, after an answer."""
        del now, sent_at, tokens, number
        self._used = self._used or busy
        if self._ramp and busy:
            self._limit = min(self.most, self._limit + FASTEST_GROWTH)
        return self._limit

    def look(self, load: Load, on_wire: int) -> float:
        """The limit, after a look at the server while so many of our requests were on the wire."""
        queue = max(1.0, QUEUED * load.running)
        put_back = self._preempted is not None and load.preempted > self._preempted
        self._preempted = load.preempted
        self._too_many = self._too_many + 1 if load.waiting > queue else 0
        if put_back or self._too_many >= STEADY:
            self._ramp = False
            ours = min(1.0, on_wire / max(1.0, load.running + load.waiting))
            fits = on_wire - ours * (load.waiting - queue)
            self._limit = max(1.0, min(self._limit, fits, LOWER * self._limit if put_back else self.most))
        elif self._is_used(on_wire) and load.waiting <= queue / 2 and load.cache < FULL:
            self._limit = min(self.most, max(self._limit + 1, self._limit * (FIRST_RAISE if self._ramp else RAISE)))
        self._used = False
        return self._limit

    def _is_used(self, on_wire: int) -> bool:
        """Whether the limit was used since the last look; at first, when nothing has come back yet, whether it is."""
        return self._used or (self._ramp and on_wire >= int(self._limit))


class Search:
    """The smallest limit with the full throughput of a server that queues what is too much.

    It doubles while that pays. Then the limit is what Little's law says is worked on, throughput times the time a token
    takes that does not wait, times a gain; every three minutes it is tried whether more of it pays, or less costs
    nothing, for batches may slow each other down long before they are too large. How long a token takes is learned from
    the first requests, for which connections are opened and a server may still warm up, and therefore again from less
    than the smallest gain, with which nothing waits.
    """

    def __init__(self, limit: float, most: int) -> None:
        self._limit = limit
        self.most = most
        self._ramp = True
        self._best = 0.0
        self._gain = FIRST_GAIN
        self._unloaded = (0.0, 0.0)
        """Seconds and tokens of the first requests: who stands first in a line does not wait, however long it is."""
        self._measured_again = 0.0
        self._done = 0
        self._round_ends = 2.0 * START
        self._tokens = 0
        self._seconds = 0.0
        """What the answers of this round took, each by itself."""
        self._began: float | None = None
        self._answered_at = inf
        self._until = 0.0
        self._changed_at: float | None = None
        """Until an answer comes that was asked for since then, what comes shows what another limit does."""
        self._longest_s = inf
        """In what time all that are on the wire are to be answered."""
        self._before: tuple[float, float] | None = None
        """The gain and the throughput before the trial under way."""
        self._up = False

    def accepted(self, now: float, sent_at: float, tokens: int, number: int, *, busy: bool) -> float:
        """The limit, after an answer of so many tokens to the `number`th request."""
        if number <= UNLOADED:
            self._unloaded = (self._unloaded[0] + now - sent_at, self._unloaded[1] + tokens)
        if self._began is None:
            self._began = sent_at
        elif sent_at - self._answered_at > now - sent_at:  # nothing came before it was sent, as in a pause or an outage
            self._began += sent_at - self._answered_at
        self._answered_at = now
        self._done += 1
        self._tokens += tokens
        self._seconds += now - sent_at
        if self._ramp and busy and not (self._done >= START and self._took(FIRST_GAIN)):
            self._limit = min(self.most, self._limit + FASTEST_GROWTH)
        if self._done >= self._round_ends and (self._changed_at is None or sent_at >= self._changed_at):
            took_s = max(1e-9, now - self._began)
            rate, in_time = self._tokens / took_s, self._done / took_s * self._longest_s
            if busy:
                self._round(now, rate)
                self._limit = max(1.0, min(self._limit, in_time))
            self._done, self._tokens, self._seconds, self._began = 0, 0, 0.0, now
            self._round_ends = max(self._limit, MEASURED if not self._ramp and self._changed_at is None else 2 * START)
        return self._limit

    def shorten(self, limit: float, longest_s: float) -> None:
        """Go on with this limit, and with no more than are answered in so long."""
        self._limit, self._longest_s, self._ramp = limit, longest_s, False
        self._gain = max(GAIN, self._gain)
        self._done, self._tokens, self._seconds, self._began, self._before = 0, 0, 0.0, None, None
        self._round_ends, self._changed_at = MEASURED, None

    def _round(self, now: float, rate: float) -> None:
        if not self._unloaded[1]:  # the first requests all failed, as where a server is still being started
            self._unloaded = (self._seconds, self._tokens)
        if self._changed_at is not None:
            self._changed_at = None
            return
        if not self._ramp:
            gain = self._gain
            self._refine(now, rate)
            if self._gain != gain:
                self._changed_at = now
        elif rate < self._best * RAMP_WORTH:
            self._ramp, self._best, self._changed_at = False, 0.0, now
        self._best = max(self._best * FORGETS, rate)
        if not self._ramp:
            seconds, tokens = self._unloaded
            self._limit = max(1.0, min(self.most, self._gain * rate * seconds / tokens))

    def _refine(self, now: float, rate: float) -> None:
        """Keep the gain that was tried or go back; try another one if it is time."""
        if (
            rate < LOST * self._best and self._gain >= GAIN
        ):  # too little is given: a token takes longer than was thought
            self._gain, self._before, self._up, self._best = min(MOST_GAIN, self._gain * STEP), None, True, 0.0
            return
        if self._before is not None:
            gain, before = self._before
            if self._up:
                better = rate >= before * (1 + WORTH * (self._gain / gain - 1))
            elif self._gain >= GAIN:
                better = before < rate * (1 + WORTH * (gain / self._gain - 1))
            else:
                better = self._measured_unloaded(now)
            back = not better or self._gain < GAIN
            if not better:
                self._up, self._until = not self._up, now + TRIAL_EVERY_S
            self._before = None
            if back:
                self._gain = gain
                return
        if now >= self._until:
            self._before = (self._gain, rate)
            known = now < self._measured_again or not self._took(1 / SHORTER)
            self._up = self._up or (self._gain == GAIN and known)
            if self._up:
                self._gain *= STEP
            else:
                self._gain = max(GAIN, self._gain / STEP) if self._gain > GAIN else GAIN / STEP

    def _took(self, times: float) -> bool:
        """Whether the tokens of this round took more than so many times what one takes that does not wait."""
        seconds, tokens = self._unloaded
        return self._seconds * tokens > times * seconds * self._tokens

    def _measured_unloaded(self, now: float) -> bool:
        """Learn from this round what a token takes that does not wait: whether clearly less than was thought."""
        if not self._took(SHORTER):
            self._unloaded = (self._seconds, self._tokens)
            return True
        seconds, tokens = self._unloaded
        self._unloaded = ((seconds + self._seconds) / 2, (tokens + self._tokens) / 2)
        self._measured_again = now + MEASURED_EVERY_S
        return False
