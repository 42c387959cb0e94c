"""How many requests one endpoint can bear, found from what it says. Pure decisions: time comes in, a number comes out.

Additive increase, multiplicative decrease (Chiu and Jain, 1989) on rate signals only, never on raw latency, which
differs with the length of answers. Each answer raises the limit a little: by two in slow start (Jacobson, 1988), by
nothing for a while after a cut, then faster and faster (after CUBIC, Ha, Rhee and Xu, 2008). What calls for a cut is
not one refusal but more than come at any load, by Page's cumulative sum test (1954). A circuit breaker (Nygard,
Release It!, 2007) stands before an endpoint that fails. Servers that queue in silence are given as many requests as
Little's law (1961) says they work on.
"""

from __future__ import annotations

from collections import deque
from math import inf, log
from typing import NamedTuple

START = 16
SATURATED = 0.8
"""A limit grows only when so much of it was used at once."""
HOLD = 200
"""Answers to wait for, for each refusal that led to a cut, before probing again: it keeps refusals rare."""
SLOWEST_GROWTH = 0.02
FASTEST_GROWTH = 2.0
"""Growth per answer when probing begins; it quickens every round up to that of slow start, which is tripling."""
ALARM = 11.0
"""The sum of log likelihood ratios that calls for a cut."""
LEAST_AMBIENT = 0.005
LEAST_OVERLOAD = 0.1
"""A share of refusals that is too high whatever the ambient one."""
MEMORY = 1000
BREAKER_WINDOW_S = 30.0
BREAKER_FAILURES = 20
BREAKER_PAUSE_S = 30.0
BREAKER_LONGEST_S = 600.0
REOPENED = 0.5
"""The share of the limit that is given again when the breaker closes."""


class _Cut(NamedTuple):
    leaves: float
    """The share of the limit."""
    costliest: int
    """The most refusals that are waited for."""
    quickens: float
    """How growth quickens from round to round when probing begins again."""


CUTS = (_Cut(0.97, 5, 1.5), _Cut(0.85, 5, 1.5), _Cut(0.85, 5, 1.5), _Cut(0.75, 10, 1.15))
"""A first cut, and those that follow as the one before did not end the refusals. What calls for a fourth one had let
more through for a while, as a token bucket does that has filled up: it is probed more carefully."""


class Concurrency:
    """The limit of one endpoint. `now` is in seconds of any clock that does not run backwards."""

    def __init__(self, most: int, *, queues_silently: bool = False) -> None:
        self.most = most
        self.limit = float(min(START, most))
        self._on_wire = 0
        self._full = self._was_full = False
        """Whether the limit was used in this round of answers or in the one before, as they come in bursts."""
        self._round_left = self.limit
        self._growth = FASTEST_GROWTH
        self._quickens = CUTS[0].quickens
        self._hold = 0.0
        self._last_cut = -inf
        self._before_cut = self.limit
        self._excess = 0
        """Refusals that were on their way at the last cut, and the one that called for it."""
        self._since_cut = inf
        self._cuts = self._cost = 0
        """Cuts of which each followed before a round had passed, and the refusals that led to them."""
        self._refusals = _Refusals()
        self._search = _Search(self.limit, most) if queues_silently else None
        self._breaker = _Breaker()

    def allowed(self) -> int:
        """The most requests that may be on the wire: one canary more than before while the breaker is half open."""
        return max(0, self._breaker.old) + 1 if self._breaker.pause_s else max(1, int(self.limit))

    @property
    def half_open(self) -> bool:
        """Whether the breaker waits for its canary."""
        return self._breaker.pause_s > 0

    def lower_most(self, most: int) -> None:
        """Never allow more than this from now on."""
        self.most = most
        self.limit = min(self.limit, float(most))
        if self._search is not None:
            self._search.most = most

    def closed_s(self, now: float) -> float:
        """Seconds for which the breaker lets nothing through; 0 when it does."""
        return max(0.0, self._breaker.until - now)

    def sending(self, in_flight: int) -> bool:
        """A request goes out, the `in_flight`th on the wire. Whether it is the breaker's canary."""
        self._on_wire = in_flight
        if in_flight >= SATURATED * self.limit:
            self._full = True
        if self._refusals.suspicious:
            self._refusals.count_sent()
        else:
            self._refusals.sent += 1
        self._breaker.old = min(self._breaker.old, in_flight - 1)
        return self._breaker.pause_s > 0

    def accepted(self, now: float, sent_at: float, tokens: int) -> None:
        """A request sent at `sent_at` brought an answer of so many tokens."""
        if self._breaker.recent and self._breaker.worked(now, sent_at):
            self.limit = max(min(START, self.limit), self.limit * REOPENED)  # a storm lets some through as well
            self._growth = FASTEST_GROWTH
        busy = self._full or self._was_full
        self._on_wire -= 1
        self._round_left -= 1
        if self._round_left <= 0:
            self._was_full, self._full, self._round_left = self._full, False, self.limit
        if self._search is not None:
            self.limit = self._search.accepted(now, sent_at, tokens, busy=busy)
            return
        self._since_cut += 1
        if self._hold > 0:
            self._hold -= 1
        elif busy:
            self.limit = min(self.most, self.limit + self._growth)
            self._growth = min(FASTEST_GROWTH, self._growth * self._quickens ** (1 / self.limit))

    def refused(self, now: float, sent_at: float) -> None:
        """A request sent at `sent_at` met a rate limit."""
        self._search = None  # it does say when it is too much
        if self._breaker.recent:
            self._breaker.worked(now, sent_at)
        self._on_wire -= 1
        if sent_at <= self._last_cut:  # on its way before the cut: it calls for no other one, but for a deeper one
            self._excess += 1
            self._shrink(self.limit)
        elif self._refusals.refused(now, sent_at):
            self._cut(now)

    def failed(self, now: float, sent_at: float = inf) -> None:
        """A request failed in a way that is the endpoint's fault: no connection, no reply, a server error."""
        self._on_wire -= 1
        self._breaker.failed(now, sent_at, self._on_wire)

    def _cut(self, now: float) -> None:
        if self._since_cut >= self.limit:
            self._cuts = self._cost = 0
        cut = CUTS[min(self._cuts, len(CUTS) - 1)]
        self._excess = self._refusals.at_once
        self._cuts += 1
        self._cost += self._refusals.forget()
        self._hold = HOLD * min(self._cost, cut.costliest)
        self._last_cut, self._before_cut, self._since_cut = now, self.limit, 0
        self._growth, self._quickens = SLOWEST_GROWTH, cut.quickens
        self._shrink(self.limit * cut.leaves)

    def _shrink(self, limit: float) -> None:
        """Less by as many as were refused, but not below half: refusals of many at once say little of how many."""
        least = max(1.0, self._before_cut / 2)
        self.limit = max(least, min(limit, self._before_cut - self._excess))


class _Refusals:
    """Tells refusals that come at any load from those that show too much of it: Page's cumulative sum of evidence.

    Answers come much later than refusals, so refusals are compared with what was sent, not with what was answered.
    """

    def __init__(self) -> None:
        self.sent = 100.0
        self._refused = 10.0
        """What is known of the ambient share; at first as if there had been ten in a hundred."""
        self.suspicious = False
        """Whether there is evidence of too much load."""
        self._evidence = 0.0
        self._run = 0
        """Refusals since there is evidence, and how many were sent."""
        self._run_sent = 0
        self._began = -inf
        self.at_once = 0
        """How many of them were on the wire together."""
        self._weights = (0.0, 0.0)

    def count_sent(self) -> None:
        """A request went out while there is evidence."""
        self._evidence += self._weights[0]
        self._run_sent += 1
        if self._evidence <= 0:
            self.sent += self._run_sent
            self._refused += self._run
            self._start(0.0)

    def refused(self, now: float, sent_at: float) -> bool:
        """One was refused; whether there are too many."""
        if not self._run:
            self._weigh()
            self._began = now
        self.suspicious = True
        self._evidence += self._weights[1]
        self._run += 1
        self.at_once += sent_at < self._began
        return self._evidence > ALARM

    def forget(self) -> int:
        """Begin again after a cut; how many refusals led to it. It takes less to find that the cut was too small."""
        refused = self._run
        self._start(ALARM / 2)
        return refused

    def _weigh(self) -> None:
        if self.sent > MEMORY:
            self._refused, self.sent = self._refused * MEMORY / self.sent, MEMORY
        ambient = max(LEAST_AMBIENT, self._refused / self.sent)
        overload = max(LEAST_OVERLOAD, min(0.5, 4 * ambient))
        self._weights = log((1 - overload) / (1 - ambient)), log(overload / ambient)

    def _start(self, evidence: float) -> None:
        self._evidence, self.suspicious = evidence, evidence > 0
        self._run = self._run_sent = self.at_once = 0


class _Breaker:
    """Opens when most requests fail, and closes when a request sent afterwards comes through."""

    def __init__(self) -> None:
        self.pause_s = 0.0
        """Not 0 while it is open or half open."""
        self.until = -inf
        self.old = 0
        """Requests on the wire that were sent before it opened."""
        self._opened = self._first_opened = -inf
        self.recent: deque[tuple[float, bool]] = deque(maxlen=2 * BREAKER_FAILURES)

    def worked(self, now: float, sent_at: float) -> bool:
        """The endpoint is there; of no interest unless something failed lately. Whether this closes the breaker."""
        self.recent.append((now, False))
        if sent_at <= self._opened:
            self.old -= 1
            return False
        closes, self.pause_s = self.pause_s > 0, 0.0
        if not any(bad for _, bad in self.recent):
            self.recent.clear()
        return closes

    def failed(self, now: float, sent_at: float, on_wire: int) -> None:
        """The endpoint is not there."""
        self.recent.append((now, True))
        recent = [bad for then, bad in self.recent if now - then <= BREAKER_WINDOW_S]
        if now < self.until or sent_at <= self._opened:
            self.old -= 1  # one of those that were under way when it opened
        elif self.pause_s:
            self._open(now, max(BREAKER_PAUSE_S, (now - self._first_opened) / 4))  # the canary died
        elif sum(recent) >= BREAKER_FAILURES and 2 * sum(recent) >= len(recent):
            self.old, self._first_opened = on_wire, now
            self._open(now, BREAKER_PAUSE_S)

    def _open(self, now: float, pause_s: float) -> None:
        self.pause_s = min(BREAKER_LONGEST_S, pause_s)
        self._opened, self.until = now, now + self.pause_s


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
MEASURED = 128
"""Answers that show a throughput well enough to compare it with another."""
TRIAL_EVERY_S = 180.0


class _Search:
    """The smallest limit with the full throughput of a server that queues what is too much.

    It doubles while that pays. Then the limit is what Little's law says is worked on, throughput times the time a token
    took at the start, times a gain; every three minutes it is tried whether more of it pays, or less costs nothing, for
    batches may slow each other down long before they are too large.
    """

    def __init__(self, limit: float, most: int) -> None:
        self._limit = limit
        self.most = most
        self._ramp = True
        self._best = 0.0
        self._gain = FIRST_GAIN
        self._unloaded_until = inf
        self._unloaded = (0.0, 0)
        """Seconds and tokens of the requests sent before the limit was three times the first."""
        self._done = 0
        self._round_ends = 2.0 * START
        self._tokens = 0
        self._began: float | None = None
        self._until = 0.0
        self._settled = False
        self._before: tuple[float, float] | None = None
        """The gain and the throughput before the trial under way."""
        self._up = False

    def accepted(self, now: float, sent_at: float, tokens: int, *, busy: bool) -> float:
        """The limit, after an answer of so many tokens."""
        if sent_at <= self._unloaded_until:
            self._unloaded = (self._unloaded[0] + now - sent_at, self._unloaded[1] + tokens)
        if self._began is None:
            self._began = sent_at
        self._done += 1
        self._tokens += tokens
        if self._ramp and busy:
            self._limit = min(self.most, self._limit + FASTEST_GROWTH)
            if self._limit >= 3 * START:
                self._unloaded_until = min(self._unloaded_until, now)
        if self._done >= self._round_ends:
            rate = self._tokens / max(1e-9, now - self._began)
            self._done, self._tokens, self._began = 0, 0, now
            if busy:
                self._round(now, rate)
            self._round_ends = max(self._limit, 2 * START if self._ramp else MEASURED)
        return self._limit

    def _round(self, now: float, rate: float) -> None:
        if not self._ramp:
            self._refine(now, rate)
        elif rate < self._best * RAMP_WORTH:
            self._ramp = False
        self._best = max(self._best * FORGETS, rate)
        if not self._ramp:
            seconds, tokens = self._unloaded
            self._limit = max(1.0, min(self.most, self._gain * rate * seconds / tokens))

    def _refine(self, now: float, rate: float) -> None:
        """Measure, change the gain, measure again, keep it or go back."""
        if rate < LOST * self._best:  # too little is given: the time a token took at the start was too short a sample
            self._gain, self._before = min(MOST_GAIN, self._gain * STEP), None
        elif self._before is None:
            if now >= self._until:
                self._up = self._up or self._gain == GAIN
                self._before = (self._gain, rate)
                self._gain = max(GAIN, self._gain * STEP if self._up else self._gain / STEP)
                self._settled = False
        elif not self._settled:
            self._settled = True
        else:
            gain, before = self._before
            if self._up:
                better = rate >= before * (1 + WORTH * (self._gain / gain - 1))
            else:
                better = before < rate * (1 + WORTH * (gain / self._gain - 1))
            if not better:
                self._gain, self._up, self._until = gain, not self._up, now + TRIAL_EVERY_S
            self._before = None
