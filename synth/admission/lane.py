"""The way to one endpoint: what is on it, how many more may go, and when the next one may."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import NamedTuple

from synth.admission.buckets import LONGEST_GATE_S, Allowance, Bucket
from synth.admission.concurrency import Concurrency
from synth.admission.meter import REFILLED_S
from synth.admission.queueing import START, Load
from synth.protocol.endpoint import Limits

LONGEST_UNSAID_S = 60.0
"""The longest wait after refusals that name none."""
SPREAD = 0.2
"""Over how much of a wait that many were asked for they come back, lest all meet the endpoint at once."""
STREAK = 6
"""So many failures, with no success of what was sent after the last refusal, close it for all until its Retry-After."""
SELDOM = 0.25
"""Where there are others, one that has failed at everything for longer than what is counted by the minute explains is
asked nothing for such a share of the time since then, up to LONGEST_UNSAID_S, even if it says to come back sooner: it
would draw what the others could serve."""
CANARY_S = 1.0
"""A canary's end is known only when it is on disk; until then none may follow it though its place is free."""


class Lane:
    """The way to one endpoint."""

    def __init__(
        self, place: int, limits: Limits, clock: Callable[[], float], *, queues_silently: bool, alone: bool = True
    ) -> None:
        self.place = place
        """Which of the teacher's endpoints it leads to."""
        self._seldom = 0.0 if alone else SELDOM
        most = limits.max_in_flight
        # whoever says how much a server of their own bears is believed half of it at once; nobody is refused there
        first = most // 2 if queues_silently and "max_in_flight" in limits.model_fields_set else START
        self.concurrency = Concurrency(most, queues_silently=queues_silently, first=max(START, first))
        self.in_flight = 0
        self.outstanding_tokens = 0
        self.streak = 0
        """Failures, and refusals one after the other in the order of sending, since a success that was sent later."""
        self._streak_began = 0.0
        self.last_refused = 0
        """The number of the last request that was refused."""
        self.unsaid, self._unsaid_since = 0, -inf
        """How often all were refused in a row and held back for a time that the endpoint did not say; since when."""
        self._guessed = False
        """Whether what holds it back is such a time, of which the next request shows whether it was long enough."""
        self.load: Load | None = None
        """What its server last told of itself."""
        self._clock = clock
        self.probed_until = 0.0
        """Until when nothing follows a canary."""
        self._not_before = 0.0
        self._pace_s = self._paced_until = 0.0
        """How far apart requests start for a while after a hold, and until when."""
        self._agreed = {"requests": limits.requests_per_minute, "tokens": limits.tokens_per_minute}
        self.buckets = {kind: Bucket(limit, clock) for kind, limit in self._agreed.items() if limit is not None}

    def pause_s(self, tokens: int) -> float:
        """Seconds until the next request of so many tokens may go."""
        now = self._clock()
        pause = max(self._not_before - now, self.probed_until - now, self.concurrency.closed_s(now))
        for kind, bucket in self.buckets.items():
            pause = max(pause, bucket.wait_s(tokens if kind == "tokens" else 1))
        return pause

    def board(self, tokens: int) -> Place:
        """Put a request on the wire."""
        debited = {kind: bucket.take(tokens if kind == "tokens" else 1) for kind, bucket in self.buckets.items()}
        if self._paced_until:
            now = self._clock()
            self._not_before = max(self._not_before, now + self._pace_s)
            self._paced_until *= now < self._paced_until
        self.in_flight += 1
        self.outstanding_tokens += tokens
        if self.concurrency.sending(self.in_flight) or self._guessed:
            self._guessed = False
            self.probed_until = self._clock() + CANARY_S
        taken = {kind: bucket.taken for kind, bucket in self.buckets.items()}
        control, debit = self.concurrency, debited.get("tokens", 0.0)
        return Place(self, tokens, taken, self._clock(), control.sent, debit, control.answered, control.late)

    def used(self, place: Place, tokens: int) -> None:
        """A request used so many tokens; limits that are learned are put right by what the host says is left."""
        if self._agreed["tokens"] is not None:
            self.buckets["tokens"].settle(place.tokens, place.debited, tokens)

    def refused(self, place: Place, retry_after_s: float | None) -> None:
        """A request met a rate limit."""
        requests = self.buckets.get("requests")
        if requests is not None and all(
            bucket.has_plenty(place.tokens if kind == "tokens" else 1) for kind, bucket in self.buckets.items()
        ):
            requests.use_evenly()
        by_pace = requests is not None and requests.excuses(place.sent_at)
        self.concurrency.refused(self._clock(), place.sent_at, place.number, by_pace=by_pace)
        if place.number > self.last_refused + 1:  # what was sent between them has not been refused
            self.streak = 0
        self.last_refused = max(self.last_refused, place.number)
        if retry_after_s is None and self.streak + 1 >= self.concurrency.row:
            retry_after_s = self._unsaid_s(place)
        self._hold(retry_after_s, self.concurrency.row)

    def _unsaid_s(self, place: Place) -> float | None:
        """How long to wait where the endpoint refuses one after the other and does not say: longer each time that what
        was sent after such a wait is refused as well. None for what was sent before it."""
        if place.sent_at < self._unsaid_since:
            return None
        self.unsaid += 1
        self._unsaid_since = self._clock()
        self._guessed = True
        return min(LONGEST_UNSAID_S, 2.0 ** min(self.unsaid - 1, 10))

    def failed(self, sent_at: float, retry_after_s: float | None, *, again: bool = False) -> None:
        """The endpoint did not answer, or said that it is out of order; `again` for a request that failed before.

        A few requests that fail whatever the endpoint's state must not close it for the others.
        """
        if not again or self.concurrency.half_open:
            self.concurrency.failed(self._clock(), sent_at)
        self._hold(retry_after_s)

    def overdue(self, place: Place) -> bool:
        """A request was not answered by its deadline; whether the endpoint is there, as others were."""
        return self.concurrency.overdue(self._clock(), place.sent_at, place.answered, place.late)

    def told(self, load: Load | None) -> None:
        """The server told its load, or nothing."""
        self.load = load
        if load is not None:
            self.concurrency.told(load)

    def learn(self, allowances: Sequence[Allowance], taken: dict[str, float], since_s: float) -> None:
        """Heed what a reply says is left, before a refusal comes; what the recipe sets goes before what is learned."""
        for allowance in allowances:
            per_s = allowance.per_s()
            if per_s is None or self._agreed[allowance.kind] is not None:
                continue
            bucket = self.buckets.get(allowance.kind)
            if bucket is None:
                bucket = self.buckets[allowance.kind] = Bucket(60 * per_s, self._clock)
            bucket.learn(allowance, per_s, taken.get(allowance.kind, bucket.taken), since_s)

    def _hold(self, retry_after_s: float | None, row: int = STREAK) -> None:
        """Start nothing for as long as the endpoint wishes, once it is plain that it means all requests."""
        now = self._clock()
        if not self.streak:
            self._streak_began = now
        self.streak += 1
        if retry_after_s is not None and self.streak >= row:
            unexplained_s = now - self._streak_began - REFILLED_S
            wait_s = max(min(retry_after_s, LONGEST_GATE_S), min(LONGEST_UNSAID_S, self._seldom * unexplained_s))
            self.concurrency.left_empty = 0  # after the hold all may go again
            self._not_before = max(self._not_before, now + wait_s)
            self._paced_until = max(self._paced_until, now + wait_s * (1 + SPREAD))
            self._pace_s = wait_s * SPREAD / max(1.0, self.concurrency.limit)


class Place(NamedTuple):
    """A place on the wire."""

    lane: Lane
    tokens: int
    taken: dict[str, float]
    """How much had been taken of each limit, with it, which `Lane.learn` wants to know."""
    sent_at: float
    number: int
    """How many had been sent on the lane, with this one."""
    debited: float = 0.0
    """How many tokens it was debited."""
    answered: int = 0
    late: int = 0
    """How many had been answered on the lane, and how many had missed their deadline."""
