"""A circuit breaker (Nygard, Release It!, 2007): it stands before an endpoint that fails."""

from __future__ import annotations

from collections import deque
from math import inf

BREAKER_WINDOW_S = 30.0
BREAKER_FAILURES = 20
BREAKER_PAUSE_S = 30.0
BREAKER_LONGEST_S = 600.0


class Breaker:
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
        if sent_at <= self._opened:
            self.old -= 1
        elif self.pause_s:
            self._open(now, max(BREAKER_PAUSE_S, (now - self._first_opened) / 4))  # the canary died
        elif sum(recent) >= BREAKER_FAILURES and 2 * sum(recent) >= len(recent):
            self.open(now, on_wire)

    def open(self, now: float, on_wire: int) -> None:
        """Open, unless it is open or half open."""
        if not self.pause_s:
            self.old, self._first_opened = on_wire, now
            self._open(now, BREAKER_PAUSE_S)

    def _open(self, now: float, pause_s: float) -> None:
        self.pause_s = min(BREAKER_LONGEST_S, pause_s)
        self._opened, self.until = now, now + self.pause_s
