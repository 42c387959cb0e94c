"""How many requests one endpoint can bear, found from what it says. Pure decisions: time comes in, a number comes out.

Additive increase, multiplicative decrease (Chiu and Jain, 1989) on rate signals only, never on raw latency, which
differs with the length of answers. Each answer raises the limit a little: by two in slow start (Jacobson, 1988), by
nothing for a while after a cut, then faster and faster (after CUBIC, Ha, Rhee and Xu, 2008). Before the first cut it
also grows with time, as an answer may take minutes and a refusal never does. When to cut is told by `refusals`, when an
endpoint is not there by `breaker`. What queues in silence is left to `queueing`, what counts by the minute to `meter`.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from synth.admission.breaker import Breaker
from synth.admission.meter import REFILLED_S, Meter
from synth.admission.queueing import FASTEST_GROWTH, START, Load, Search, Told
from synth.admission.refusals import Refusals

SATURATED = 0.8
"""A limit grows only when so much of it was used at once."""
OPENING = 0.25
"""The share of itself by which a limit that is used grows in a second until the first cut, answers or not."""
LEFT_EMPTY = 0.125
"""Where more of the places are left empty, as so many were refused, none opens before answers come."""
HOLD = 210
"""Answers to wait for, for each refusal that led to a cut, before probing again: it keeps refusals rare."""
PROBE_S, FAR_BELOW = 60.0, 4
"""After how long at first it is probed again all the same, and twice as long each time in vain, where what is left is
so many times less than was borne for long: a limit shared with others comes back when they are done."""
CASCADE = 3
"""After so many cuts in a row all were refused, however few: as where what a minute bears is used up."""
ALONE = 3
"""So many refusals in a row of requests that flew alone show that it was not how many flew at once."""
SLOWEST_GROWTH = 0.02
"""Growth per answer when probing begins; it quickens every round up to that of slow start, which is tripling."""
REOPENED = 0.5
"""The share of the limit that is given again when the breaker closes."""
WITHIN = 0.6
"""Of a deadline that many missed the share within which a line is to be served."""
LATE, LATE_SHARE = 3, 0.25
"""So many, and so large a share, that missed it in the time of a deadline show that the line is too long for it."""
VAIN = 0.75
"""A shorter line that brings less than this share of the answers was not too long: it takes the endpoint that long."""


class _Cut(NamedTuple):
    leaves: float
    """The share of the limit."""
    costliest: int
    """The most refusals that are waited for."""
    quickens: float
    """How growth quickens from round to round when probing begins again."""


CUTS = (_Cut(0.97, 8, 1.5), _Cut(0.85, 8, 1.5), _Cut(0.85, 8, 1.5), _Cut(0.75, 9, 1.15))
"""A first cut, and those that follow as the one before did not end the refusals. What calls for a fourth one had let
more through for a while, as a token bucket does that has filled up: it is probed more carefully."""


class Concurrency:
    """The limit of one endpoint. `now` is in seconds of any clock that does not run backwards."""

    def __init__(self, most: int, *, queues_silently: bool = False, first: int = START) -> None:
        """Begin with `first` requests at once."""
        self.most = most
        self.limit = float(min(first, most))
        self.opening = not queues_silently
        """Whether the limit still grows by itself, one place after the other, as long as all of it is used."""
        self._opens, self._looked = inf, 0.0
        """When the next place opens, and when somebody last asked."""
        self.sent = 0
        """Requests so far."""
        self._on_wire = 0
        self._full = self._was_full = False
        """Whether the limit was used in this round of answers or in the one before, as they come in bursts."""
        self._round_left = self.limit
        self._growth = FASTEST_GROWTH
        self._quickens = CUTS[0].quickens
        self._hold = 0.0
        self._proven = 0.0
        """The highest limit that was used for long without a cut."""
        self._probe_s, self._probe_at = PROBE_S, inf
        """After how long it is probed again however few answers came, and when that is."""
        self._alone = 0
        """Refusals since the last answer of requests that flew alone."""
        self._last_cut = -inf
        self._before_cut = self.limit
        self._unproven = False
        """Whether the places that are cut were opened before any answer: a server that counts tokens bears them for a
        while, so where one cut does not end the refusals the next one halves."""
        self._excess = 0
        """Refusals that were on their way at the last cut, and the one that called for it."""
        self._since_cut = inf
        self._cascade, self._cascade_began = 0, 0.0
        """Cuts since anything passed that was sent after the first of them."""
        self._cuts = self._cost = 0
        """Cuts of which each followed before a round had passed, and the refusals that led to them."""
        self._refusals = Refusals()
        self._search: Search | Told | None = Search(self.limit, most) if queues_silently else None
        self._refuses = False
        self._breaker = Breaker()
        self._meter = Meter()
        self._landed = inf
        """When the last request ended."""
        self.answered = self.late = 0
        """Requests that brought an answer, and those sent since the line was last shortened that had none in time."""
        self._answered_at = -inf
        self._shortened = -inf, 0.0, 0
        """When the line was shortened, the limit before that, and how many were answered in a deadline."""
        self._is_slow = False
        """Whether a shorter line did not help."""
        self.left_empty = 0
        """Places of what was refused before the first cut: the next one there would be refused too, if the first limit
        of all is too high. Each answer gives one back."""

    def allowed(self) -> int:
        """The most requests that may be on the wire: one canary more than before while the breaker is half open."""
        if self._breaker.pause_s:
            return max(0, self._breaker.old) + 1
        limit = int(self.limit)
        opens = self.opening and limit < self.most and self.left_empty <= LEFT_EMPTY * limit
        return max(1, limit + opens - self.left_empty)

    @property
    def row(self) -> int:
        """So many refusals of requests that were sent one after the other are no chance: the endpoint means all."""
        return self._refusals.row

    @property
    def half_open(self) -> bool:
        """Whether the breaker waits for its canary."""
        return self._breaker.pause_s > 0

    def lower_most(self, most: int) -> None:
        """Never allow more than this from now on."""
        self.most = most
        self.limit, self._before_cut = min(self.limit, float(most)), min(self._before_cut, float(most))
        if self._search is not None:
            self._search.most = most

    def told(self, load: Load) -> None:
        """The server told its load: a better sign than what its answers show."""
        if self._refuses or self._breaker.pause_s:
            return
        if not isinstance(self._search, Told):
            self._search = Told(self.limit, self.most)
        self.limit = min(self._search.look(load, self._on_wire), float(self.most))

    def closed_s(self, now: float) -> float:
        """Seconds for which nothing may start, by the breaker or by the rate that was found; 0 when it may."""
        closed_s = max(0.0, self._breaker.until - now)
        if self.opening:
            self._looked = now
            if self._opens < inf and self._on_wire >= int(self.limit) - self.left_empty:
                closed_s = max(closed_s, self._opens - now)
        return closed_s if self._meter.per_s is None else max(closed_s, self._meter.wait_s(now, self.sent))

    def sending(self, in_flight: int) -> bool:
        """A request goes out, the `in_flight`th on the wire. Whether it is the breaker's canary."""
        self._on_wire = in_flight
        self.sent += 1
        meter = self._meter
        if in_flight > meter.peak:
            meter.peak = in_flight
        if meter.per_s is not None:
            meter.take()
        limit = self.limit
        if in_flight >= SATURATED * limit or in_flight >= int(limit):  # of 1.3 places one is all there is
            self._full = True
            if self.opening:
                self._open_up(in_flight)
        self._breaker.old = min(self._breaker.old, in_flight - 1)
        return self._breaker.pause_s > 0

    def accepted(self, now: float, sent_at: float, tokens: int, number: int) -> None:
        """The `number`th request, sent at `sent_at`, brought an answer of so many tokens."""
        self.answered += 1
        self._answered_at = now
        if self._breaker.recent and self._breaker.worked(now, sent_at):
            self.limit = max(min(START, self.limit), self.limit * REOPENED)  # a storm lets some through as well
            self._growth = FASTEST_GROWTH
        if sent_at - self._landed > REFILLED_S:
            self._meter.stood_still(sent_at - self._landed)
        self._landed = now
        busy = self._full or self._was_full
        self._on_wire -= 1
        self._round_left -= 1
        if self._round_left <= 0:
            self._was_full, self._full, self._round_left = self._full, False, self.limit
        if self._search is not None:
            found = self._search.accepted(now, sent_at, tokens, number, busy=busy)
            self.limit = min(found, float(self.most))  # which may have been lowered since
            return
        self._since_cut += 1
        if self._cascade and sent_at > self._cascade_began:
            if self._cascade >= CASCADE:
                self._hold, self._growth = 0.0, FASTEST_GROWTH
            self._cascade = 0
        if self._alone >= ALONE:
            self._hold, self._growth = 0.0, FASTEST_GROWTH
            self._meter.refused_alone()
        self._alone = 0
        if self.left_empty:
            self.left_empty -= 1
        if self._hold > 0 and now < self._probe_at:
            self._hold -= 1
        elif busy:
            self._hold = 0.0
            if self._since_cut >= HOLD <= self.answered:
                self._proven = max(self._proven, self.limit)
            self.limit = min(self.most, self.limit + self._growth)
            self._growth = min(FASTEST_GROWTH, self._growth * self._quickens ** (1 / self.limit))

    def refused(self, now: float, sent_at: float, number: int, *, by_pace: bool = False) -> None:
        """The `number`th request, sent at `sent_at`, met a rate limit; `by_pace` when known to be one of time."""
        self._search, self._refuses = None, True  # it does say when it is too much
        if self._breaker.recent:
            self._breaker.worked(now, sent_at)
        if sent_at - self._landed > REFILLED_S:
            self._meter.stood_still(sent_at - self._landed)
        self._landed = now
        self._on_wire -= 1
        self.left_empty += self._last_cut == -inf
        self._meter.refused()
        if by_pace:
            self.opening = False
            return
        self._alone += self._on_wire == 0
        if sent_at <= self._last_cut:  # on its way before the cut: it calls for no other one, but for a deeper one
            self._excess += 1
            if self._meter.per_s is None:
                self._shrink(self.limit)
        elif self._refusals.refused(now, sent_at, number):
            self._cut(now)
        elif self._hold and self._refusals.unfounded():
            self._take_back(now, self._refusals.before(self._before_cut))

    def eject(self, now: float) -> None:
        """The endpoint says that no request can work there: only canaries find out whether that has changed."""
        self._breaker.recent.append((now, True))
        self._breaker.open(now, self._on_wire)
        self.opening = False

    def failed(self, now: float, sent_at: float) -> None:
        """A request failed in a way that is the endpoint's fault: no connection, no reply, a server error."""
        self._on_wire -= 1
        self._breaker.failed(now, sent_at, self._on_wire)
        self.opening = self.opening and not self._breaker.pause_s

    def overdue(self, now: float, sent_at: float, answered: int, late: int) -> bool:
        """A request, at whose start so many had been answered and were late, was not answered by its deadline. Whether
        the endpoint is there: others were answered lately.

        Where many are late all the same they stand in a line that the endpoint does not tell of. Then no more may be on
        the wire than it serves well within a deadline: else each is given up when its turn has all but come, and the
        endpoint works for nobody.
        """
        if 2 * (now - self._answered_at) > now - sent_at:
            return False
        self._on_wire -= 1
        since, before, served = self._shortened
        if not self._is_slow and sent_at > since:
            self.late += 1
            meanwhile, lately = self.answered - answered, self.late - late
            if lately >= max(LATE, LATE_SHARE * (lately + meanwhile)):
                self._is_slow = meanwhile < VAIN * served
                self._shorten(now, before if self._is_slow else WITHIN * meanwhile, meanwhile, now - sent_at)
        return True

    def _shorten(self, now: float, fits: float, served: int, deadline_s: float) -> None:
        """Go on with what fits, or with what there was before where a shorter line did not help."""
        self._shortened = now, self.limit, served
        self.limit = max(1.0, min(fits, float(self.most), inf if self._is_slow else self.limit))
        self.opening = False
        self._hold, self._growth, self._quickens = float(HOLD), SLOWEST_GROWTH, CUTS[-1].quickens
        if isinstance(self._search, Search):
            self._search.shorten(self.limit, inf if self._is_slow else WITHIN * deadline_s)

    def _open_up(self, in_flight: int) -> None:
        """Nearly all places are taken; when all are, the next one opens in a while."""
        if self.limit >= self.most:
            self.opening = False
            return
        places = int(self.limit) - self.left_empty
        if in_flight > places:
            self.limit = min(self.limit + 1, float(self.most))
        elif in_flight < places or self._opens < inf:
            return
        self._opens = self._looked + 1 / (OPENING * self.limit)

    def _cut(self, now: float) -> None:
        opened, self.left_empty, self.opening = self.opening, 0, False
        before = None if self._meter.per_s else self._refusals.in_vain(self.limit)
        if before is not None:
            self._refusals.forget(self.sent)
            self._take_back(now, before)
            return
        paced, peak = self._meter.per_s is not None, self._meter.peak
        if self._meter.nothing_left(now, self.sent, self._on_wire, self._refusals.run):
            self._refusals.forget(self.sent)
            self._last_cut = now
            self._hold, self._growth = 0.0, FASTEST_GROWTH
            return
        if paced:  # as long as few were let out a second nothing showed that more may be out at once
            self.limit = max(1.0, min(self.limit, float(peak)))
        if self._since_cut >= self.limit:
            self._cuts = self._cost = 0
        if FAR_BELOW * self.limit > self._proven:
            self._probe_s = PROBE_S
        elif now >= self._probe_at:
            self._probe_s *= 2
        self._unproven = opened or (self._unproven and self._cuts > 0)
        halves = self._refusals.doubtful or (self._unproven and self._cuts > 1)
        cut = CUTS[min(self._cuts, len(CUTS) - 1)]
        self._excess = self._refusals.at_once
        if not self._cascade:
            self._cascade_began = now
        self._cascade += 1
        self._cuts += 1
        self._cost += self._refusals.forget(self.sent)
        self._hold = HOLD * min(self._cost, cut.costliest)
        self._last_cut, self._before_cut, self._since_cut = now, self.limit, 0
        self._growth, self._quickens = SLOWEST_GROWTH, cut.quickens
        self._shrink(self.limit * (0.5 if halves else cut.leaves))
        self._probe_at = now + self._probe_s if FAR_BELOW * self.limit <= self._proven else inf

    def _take_back(self, now: float, limit: float) -> None:
        """A cut was no answer to refusals that come at any load: go on as if there had been none."""
        self.limit = self._before_cut = max(self.limit, min(limit, float(self.most)))
        self._last_cut, self._excess, self._since_cut = now, 0, inf
        self._hold, self._growth = 0.0, FASTEST_GROWTH
        self._meter = Meter()

    def _shrink(self, limit: float) -> None:
        """Less by as many as were refused, but not below half: refusals of many at once say little of how many."""
        least = max(1.0, self._before_cut / 2)
        self.limit = max(least, min(limit, self._before_cut - self._excess))
