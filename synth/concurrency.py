"""How many requests one endpoint can bear, found from what it says. Pure decisions: time comes in, a number comes out.

Additive increase, multiplicative decrease (Chiu and Jain, 1989) on rate signals only, never on latency, which differs
with the length of answers; slow start as in TCP (Jacobson, 1988). Added are probing that starts small after a refusal
and then speeds up (after CUBIC, Ha, Rhee and Xu, 2008), an experiment that tells refusals which have nothing to do with
load from those that have, and a circuit breaker (Nygard, Release It!, 2007) for an endpoint that fails. Servers that
queue in silence get a search for the smallest limit with the full throughput instead.
"""

from __future__ import annotations

from collections import deque
from math import inf, sqrt

START = 16
CUT = 0.95
DEEP_CUT = 0.85
"""When the refusals of a round before the last cut did not end with it."""
SATURATED = 0.8
"""A limit grows only when so much of it was used."""
PROBE = 0.005
"""Growth in the first round after a cut, and how it speeds up each round."""
PROBE_SPEEDS_UP = 1.5
FASTEST_PROBE = 0.3
SUSPICIOUS = (0.01, 0.2)
"""Shares of refusals that may not depend on load; above, they always do."""
EPISODES = 6
TRIAL_OUTCOMES = 50
STREAK = 4
"""So many refusals with no success between them close the endpoint for all until its Retry-After."""
WORTH = 0.25
"""A raise must bring this share of itself in throughput."""
STEP_UP = 1.25
STEP_DOWN = 0.8
HOLD_S = 180.0
BREAKER_WINDOW_S = 30.0
BREAKER_FAILURES = 20
BREAKER_PAUSE_S = 30.0
BREAKER_LONGEST_S = 600.0


class Concurrency:
    """The limit of one endpoint. `now` is in seconds of any clock that does not run backwards."""

    def __init__(self, most: int, *, queues_silently: bool = False) -> None:
        self.most = most
        self.limit = float(min(START, most))
        self.ambient = 0.0
        """The share of refusals that does not depend on load."""
        self._signalled = False
        self._last_cut = -inf
        self._outcomes = 0
        self._refused = 0
        self._streak = 0
        self._episodes: deque[tuple[int, int]] = deque(maxlen=EPISODES)
        """Refusals and outcomes from one cut to the next."""
        self._patience = self._suspicions = EPISODES
        """How many more cuts until it is asked whether load is what causes them."""
        self._trial: float | None = None
        """The limit before it was halved to see whether refusals stay."""
        self._rounds = 0
        self._round_done = 0
        self._round_peak = 0
        self._search = _Search(self.limit, most) if queues_silently else None
        self._recent: deque[tuple[float, bool]] = deque(maxlen=2 * BREAKER_FAILURES)
        self._pause_s = 0.0
        self._open_until = -inf

    def allowed(self) -> int:
        """The most requests that may be on the wire: one canary while the breaker is half open."""
        return 1 if self._pause_s else max(1, int(self.limit))

    @property
    def half_open(self) -> bool:
        """Whether the breaker waits for its canary."""
        return self._pause_s > 0

    def lower_most(self, most: int) -> None:
        """Never allow more than this from now on."""
        self.most = most
        self.limit = min(self.limit, float(most))

    def closed_s(self, now: float) -> float:
        """Seconds for which the breaker lets nothing through; 0 when it does."""
        return max(0.0, self._open_until - now)

    def sending(self, in_flight: int) -> None:
        """A request goes out, the `in_flight`th on the wire."""
        self._round_peak = max(self._round_peak, in_flight)

    def accepted(self, now: float, sent_at: float, tokens: int) -> bool:
        """A request sent at `sent_at` brought an answer of so many tokens. Whether the limit may have changed."""
        self._streak = 0
        self._recent.append((now, False))
        was_open, self._pause_s = self._pause_s > 0, 0.0
        if self._search is not None and not self._signalled:
            self.limit = self._search.accepted(now, tokens, busy=self._round_peak >= SATURATED * self.limit)
            return True
        self._outcomes += sent_at > self._last_cut
        if self._trial is not None:
            return self._tried(now)
        if not self._signalled:
            if self._round_peak >= SATURATED * self.limit:
                self.limit = min(self.most, self.limit + 1)
            return True
        self._round_done += 1
        if self._round_done < max(int(self.limit), 4):
            return was_open
        if self._round_peak >= SATURATED * self.limit:
            growth = min(FASTEST_PROBE, PROBE * PROBE_SPEEDS_UP**self._rounds)
            self.limit = min(self.most, max(self.limit * (1 + growth), self.limit + growth * 2 * START))
            self._rounds += 1
        self._round_done = self._round_peak = 0
        return True

    def refused(self, now: float, sent_at: float) -> bool:
        """A request sent at `sent_at` met a rate limit. Whether all others should heed its Retry-After too."""
        self._streak += 1
        if sent_at > self._last_cut:  # else it was on its way before the last cut, and says nothing new
            self._outcomes += 1
            self._refused += 1
            expected = self.ambient * self._outcomes
            if self._trial is not None:
                self._tried(now)
            elif self._refused > expected + 3 * sqrt(expected):
                self._cut(now)
            elif self._outcomes >= 10 * TRIAL_OUTCOMES:
                self.ambient = (self.ambient + self._refused / self._outcomes) / 2
                self._outcomes = self._refused = 0
        return self._streak >= STREAK

    def failed(self, now: float) -> None:
        """A request failed in a way that is the endpoint's fault: no connection, no reply, a server error."""
        self._recent.append((now, True))
        if self._pause_s:
            self._open(now)  # the canary died
            return
        recent = [bad for then, bad in self._recent if now - then <= BREAKER_WINDOW_S]
        if sum(recent) >= BREAKER_FAILURES and 2 * sum(recent) >= len(recent):
            self._open(now)

    def _open(self, now: float) -> None:
        if now < self._open_until:
            return  # one of those that were under way when it opened
        self._pause_s = min(BREAKER_LONGEST_S, max(BREAKER_PAUSE_S, 2 * self._pause_s))
        self._open_until = now + self._pause_s

    def _cut(self, now: float) -> None:
        """Less, and when refusals keep coming in the same small share, half as much for a while to see why."""
        self._signalled = True
        self._episodes.append((self._refused, self._outcomes))
        self._patience -= 1
        refused, outcomes = (sum(counts) for counts in zip(*self._episodes, strict=True))
        if self._patience <= 0 and SUSPICIOUS[0] <= refused / outcomes <= SUSPICIOUS[1]:
            self._trial = self.limit
            self._back_to(now, self.limit / 2)
        else:
            self._back_to(now, self.limit * (CUT if self._rounds else DEEP_CUT))

    def _tried(self, now: float) -> bool:
        """Whether the trial at half the limit is over: refusals that stayed do not depend on load."""
        if self._trial is None or self._outcomes < TRIAL_OUTCOMES:
            return False
        limit, self._trial = self._trial, None
        refused, outcomes = (sum(counts) for counts in zip(*self._episodes, strict=True))
        self._episodes.clear()
        if self._refused and self._refused / self._outcomes >= refused / outcomes / 4:
            self.ambient = min(SUSPICIOUS[1], (refused + self._refused) / (outcomes + self._outcomes))
            self._patience = self._suspicions = EPISODES
            self._signalled = False  # the limit has yet to be found
            self._back_to(now, limit)
        else:
            self._suspicions *= 2  # it was load: ask less often
            self._patience = self._suspicions
            self._back_to(now, limit * CUT)
        return True

    def _back_to(self, now: float, limit: float) -> None:
        self.limit = max(1.0, limit)
        self._last_cut = now
        self._rounds = self._outcomes = self._refused = self._round_done = self._round_peak = 0


class _Search:
    """The smallest limit with the full throughput of a server that queues what is too much.

    It doubles while that pays; the rate a round shows is mostly that of the limit before. Then, every three minutes, a
    little less or a little more is tried, with a round to settle and a round to measure each.
    """

    def __init__(self, limit: float, most: int) -> None:
        self._limit = limit
        self._most = most
        self._ramp = [limit]
        self._rates: list[float] = []
        self._doubtful = False
        self._base: tuple[float, float] | None = None
        self._settling = True
        self._up = False
        self._until = -inf
        self._done = 0
        self._tokens = 0
        self._began: float | None = None

    def accepted(self, now: float, tokens: int, *, busy: bool) -> float:
        """The limit, after an answer of so many tokens."""
        if self._began is None:
            self._began = now
        self._done += 1
        self._tokens += tokens
        if self._done >= max(int(self._limit), 2 * START):
            rate = self._tokens / max(1e-9, now - self._began)
            self._done, self._tokens, self._began = 0, 0, now
            if busy:
                self._round(now, rate)
        return self._limit

    def _round(self, now: float, rate: float) -> None:
        if self._ramp:
            self._ramp_up(now, rate)
        elif now >= self._until and not (self._settling and self._settle()):
            self._try(now, rate)

    def _ramp_up(self, now: float, rate: float) -> None:
        worth = len(self._rates) < 2 or rate >= self._rates[-1] * (1 + WORTH)
        if not worth and not self._doubtful:
            self._doubtful = True  # one round may deceive: look at another at the same limit
            return
        self._doubtful = False
        self._rates.append(rate)
        if not worth:
            self._limit, self._ramp = self._ramp[max(0, len(self._ramp) - 3)], []
            self._until = now + HOLD_S / 3
        elif self._limit >= self._most:
            self._ramp = []
        else:
            self._limit = min(self._most, 2 * self._limit)
            self._ramp.append(self._limit)

    def _settle(self) -> bool:
        self._settling = False
        return True

    def _try(self, now: float, rate: float) -> None:
        """Measure, change, measure again, keep or go back."""
        self._settling = True
        if self._base is None:
            self._base = (self._limit, rate)
            self._limit = max(1.0, min(self._most, self._limit * (STEP_UP if self._up else STEP_DOWN)))
            return
        limit, before = self._base
        worth = rate >= before * (1 + WORTH * (self._limit / limit - 1))
        if not worth:
            self._limit, self._up = limit, not self._up
        self._base, self._until = None, now + (HOLD_S / 3 if worth else HOLD_S)
