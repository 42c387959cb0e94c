"""Token buckets: so many requests or tokens a minute, by the recipe or by what a host says is left."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Literal, NamedTuple

BURST_S = 5.0
EVEN_BURST_S = 0.25
SHORT_S = 5.0
"""So short may the times be by which hosts judge that tell of a minute; until one is over all is refused."""
PLENTY = 4
"""Who is refused though so many more requests should be borne is judged by shorter times than is told."""
REMEMBERED = 0.95
"""How much each reply leaves of the weight of those before it in what share of their tokens requests use."""
HEADROOM = 0.95
LEARNED_HEADROOM = 0.98
"""Each reply puts what was learned right."""
BELIEVED_S, DOUBLED = 300.0, 100
"""For how long what was told is believed while no reply tells any more. From then on as much again is tried after each
so many replies, as it may have risen: bit by bit, for the sake of hosts that tell only as they refuse."""
LONGEST_GATE_S = 3600.0
"""The longest that a host's word makes anybody wait."""
DAY_S = 86_400.0
"""The longest time a limit is counted over; a reset that is further away is a mistake."""


class Allowance(NamedTuple):
    """What a reply's headers say is left of one limit."""

    kind: Literal["requests", "tokens"]
    limit: float
    remaining: float
    reset_s: float | None
    """Seconds until all of the limit is there again."""

    def per_s(self) -> float | None:
        """How fast it refills; None when the reply does not tell."""
        used = self.limit - self.remaining
        if self.reset_s is not None and self.reset_s > 0 and used > 0:
            return used / max(0.001, min(self.reset_s, DAY_S))
        return self.limit / 60 if self.reset_s is None else None


class Bucket:
    """A token bucket that refills continuously; its debt is what the next one waits for.

    Of a limit that the recipe sets it holds five seconds' worth at most, which keeps bursts inside the short windows
    some hosts judge by. What a host says is left may all be used at once: it has counted what was used before. Only
    where it refuses all the same is that used evenly, and no slower than the host ever said that it refills.

    Who tells what its requests used is debited what of theirs the last ones did use, at first all of it; and whatever
    that was, once a reply has told its use that alone has been taken.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float]) -> None:
        self.taken = 0.0
        """Everything debited so far."""
        self._asked = self._used = 0.0
        self._longest_s = inf
        """However long what was told would make one wait, so long after the last start the next one finds out."""
        self._rate = HEADROOM * per_minute / 60
        self._room: float = self._rate * BURST_S
        self._level = self._room
        self._is_told = self._is_even = False
        self._told_rate, self._told_at = 0.0, inf
        """How fast it was last told to refill, and when."""
        self._even_since = -inf
        """When the host was found to refuse though it had told that there is enough."""
        self._pace = self._rate
        self._even = 0.0
        """How fast it is used evenly, and how much may be used so at once."""
        self._clock = clock
        self._then = self._started = clock()

    def wait_s(self, amount: float) -> float:
        """Seconds until `amount` may be taken."""
        now = self._clock()
        since_s, self._then = now - self._then, now
        self._level = min(self._room, self._level + since_s * self._rate)
        self._even = min(max(1.0, EVEN_BURST_S * self._pace), self._even + since_s * self._pace)
        # an amount larger than the bucket may go when the bucket is full; it leaves a debt
        wait_s = (min(self._share(amount), self._room) - self._level) / self._rate
        if self._is_even:
            wait_s = max(wait_s, (amount - self._even) / self._pace)
        return max(0.0, min(wait_s, self._started + self._longest_s - now))

    def take(self, amount: float) -> float:
        """Debit `amount`, or what of it is likely to be used, and return that; the level may become negative."""
        debited = self._share(amount)
        self._level -= debited
        self._even -= amount
        self.taken += debited
        self._started = self._then
        return debited

    def settle(self, amount: float, debited: float, used: float) -> None:
        """A request of `amount` used so much: give back what was debited beyond that, or take the rest.

        What it says beyond that and beyond what there is in a minute is a mistake, for which nobody waits.
        """
        used = min(used, max(amount, 60 * self._rate))
        self._level += debited - used
        self._asked = (self._asked or amount) * REMEMBERED + amount
        self._used = (self._used or amount) * REMEMBERED + used

    def passed(self) -> None:
        """A request came through; if nothing has been told for long the limit may have risen."""
        if self._clock() - self._told_at > BELIEVED_S:
            self._rate += self._told_rate / DOUBLED
            self._pace = max(self._pace, self._rate)

    def has_plenty(self, amount: float) -> bool:
        """Whether, by what is known, more of such an amount should be borne."""
        return not self._is_told or self._level > PLENTY * amount

    def use_evenly(self) -> None:
        """The host refuses though it told that there is enough, and more went lately than it refills in the time."""
        if self._is_told and not self._is_even and self._even < 0:
            self._is_even, self._even = True, 0.0
            self._even_since = self._clock()

    def excuses(self, sent_at: float) -> bool:
        """Whether a refusal of what was sent then comes from a time shorter than the host tells of."""
        return sent_at < self._even_since + SHORT_S

    def _share(self, amount: float) -> float:
        return amount * self._used / self._asked if self._asked else amount

    def learn(self, told: Allowance, per_s: float, taken_then: float, since_s: float) -> None:
        """Follow what a reply told of the limit, less what was taken since its request was sent, `since_s` ago."""
        self.wait_s(0.0)  # what the reply tells is of now
        self._longest_s = LONGEST_GATE_S
        if not self._is_told or told.limit != self._room:
            self._pace = LEARNED_HEADROOM * told.limit / 60
        self._is_told = True
        self._rate, self._room = LEARNED_HEADROOM * per_s, told.limit
        self._pace = max(self._pace, self._rate)
        self._told_rate, self._told_at = self._rate, self._then
        self._level = min(self._room, told.remaining + since_s * self._rate - (self.taken - taken_then))
