"""Refusals that come from the load, told from those that come at any: there are more of them, by Page's cumulative sum
test (1954), and half the limit has fewer."""

from __future__ import annotations

from math import ceil, inf, log

ALARM = 11.0
"""The sum of log likelihood ratios that calls for a cut."""
LEAST_AMBIENT = 0.005
MUCH, MORE = 0.2, 2
"""The least share of refusals of which it is to be seen whether they come from the load, and how many times the known
one that is."""
ENOUGH = 80
"""So many requests with half the limit show whether that helped."""
FEW = 4
"""What is added to the requests of which a share is taken: few do not show much."""
KNOWN = 200
"""Requests after which the share of refusals that come at any load is known well enough to take a cut back."""
PLAIN = 0.6
"""A share of refusals that never comes at any load: it is too much, however little helped so far."""
BY_CHANCE = 1e-6
"""How seldom a row of refusals that calls for a halt may come at the ambient share."""
SHORTEST_ROW = 6
LEAST_OVERLOAD = 0.1
"""A share of refusals that is too high whatever the ambient one."""
MEMORY = 1000


class Refusals:
    """The sum of the evidence that there is too much load, and the share of refusals that come at any.

    Answers come much later than refusals, and both in heaps, so requests are looked at in the order they were sent in.
    """

    def __init__(self) -> None:
        self._sent, self._refused = 100.0, 10.0
        """What is known of the ambient share; at first as if there had been ten in a hundred."""
        self._known = self._last = 0
        """The number of the last request that is part of it, and of the last one looked at."""
        self._evidence = 0.0
        self.run = 0
        """Refusals since there is evidence of too much load."""
        self._began = -inf
        self.at_once = 0
        """How many of them were on the wire together."""
        self._weights = (0.0, 0.0)
        self._cut_at = self._refused_since = 0
        """The number of the last request before the last cut, and how many were refused since."""
        self._first: tuple[float, float] | None = None
        """The limit at the first of the cuts that did not end the refusals, and their share then."""
        self._below = 0, 0
        """Requests at half of that limit or less, and how many of them were refused."""
        self.doubtful = False
        """Whether it is time to see what comes of half as many: some cuts were of no avail."""
        self._evidence_goes_on = False
        """Whether there has been some ever since the last cut."""
        self._grounds = 0, 0
        """Of the requests that led to the last cuts in a row how many were refused, and how many were not."""
        self.row = 0
        """So many refusals one after the other are no chance."""
        self._weigh()

    def refused(self, now: float, sent_at: float, number: int) -> bool:
        """The `number`th request was refused; whether there are too many."""
        passed = max(0, number - self._last - 1)
        self._last += passed + (number > self._last)
        self._evidence = max(0.0, self._evidence + passed * self._weights[0])
        if self._evidence == 0:
            self._learn(number - 1, self.run)
            self.run = self.at_once = 0
            self._evidence_goes_on = False
        if not self.run:
            self._weigh()
            self._began = now
        self._evidence += self._weights[1]
        self.run += 1
        self._refused_since += 1
        self.at_once += sent_at < self._began
        return self._evidence > ALARM

    def forget(self, number: int) -> int:
        """Begin again after a cut, with what follows the `number`th request; how many refusals led to it.

        It takes less to find that the cut was too small.
        """
        refused = self.run
        before = self._grounds if self._evidence_goes_on else (0, 0)
        self._grounds = before[0] + refused, before[1] + self._last - self._known - refused
        self._known = self._last = self._cut_at = number
        self._refused_since = 0
        self._evidence, self._evidence_goes_on = ALARM / 2, True
        self.run = self.at_once = 0
        return refused

    def in_vain(self, limit: float) -> float | None:
        """The limit of before the first cut, when half of it had more than half of the refusals: they do not come from
        the load, and their share is known from then on. None as long as a cut may help."""
        sent = self._last - self._cut_at
        share = self._refused_since / (sent + FEW)
        little = max(MUCH, MORE * self._ambient())
        if self._first is None or limit > self._first[0] or share <= max(little, self._first[1] / 2):
            share = self.run / (self._last - self._known + FEW)
            self._first, self._below = (limit, share) if share < PLAIN else None, (0, 0)
        elif share >= PLAIN:
            self._first = None
        elif limit <= self._first[0] / 2:
            self._below = self._below[0] + sent, self._below[1] + self._refused_since
            if self._below[0] >= ENOUGH:
                self._sent, self._refused = self._below
                self._weigh()
                return self.before(limit)
        self.doubtful = self._first is not None and sent >= ENOUGH / 2 and limit < self._first[0]
        return None

    def before(self, limit: float) -> float:
        """The limit of before the first cut that was of no avail; `limit` where that is more, or there was none."""
        first, self._first = self._first, None
        return limit if first is None else max(limit, first[0])

    def unfounded(self) -> bool:
        """Whether what led to the last cuts is little, given what has come to be known of refusals at any load."""
        refused, passed = self._grounds
        return self._sent >= KNOWN and refused * self._weights[1] + passed * self._weights[0] < ALARM / 2

    def _learn(self, number: int, refused: int) -> None:
        self._sent += max(0, number - self._known)
        self._refused += refused
        self._known = max(self._known, number)

    def _ambient(self) -> float:
        """The share of refusals that come at any load, as far as is known."""
        return max(LEAST_AMBIENT, min(PLAIN, self._refused / self._sent))

    def _weigh(self) -> None:
        if self._sent > MEMORY:
            self._refused, self._sent = self._refused * MEMORY / self._sent, MEMORY
        ambient = self._ambient()
        overload = max(LEAST_OVERLOAD, min(4 * ambient, max(0.5, ambient + 0.2)))
        self.row = max(SHORTEST_ROW, ceil(log(BY_CHANCE) / log(ambient)))
        self._weights = log((1 - overload) / (1 - ambient)), log(overload / ambient)
