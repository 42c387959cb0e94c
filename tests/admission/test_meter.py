"""A hidden limit of so many requests a minute, found from what an endpoint takes and refuses."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import pairwise
from math import inf

import pytest

from synth.admission.admission import Admission
from synth.admission.concurrency import Concurrency
from synth.admission.meter import BELOW, BEYOND, STEADY, WAIT_PER_REFUSAL, Meter
from synth.protocol.endpoint import Limits
from tests.admission.clocks import Clock


class Watched:
    """A meter with the count of what is sent."""

    def __init__(self) -> None:
        self.meter = Meter()
        self.sent = 0

    def send(self, count: int, on_wire: int) -> None:
        self.sent += count
        self.meter.peak = max(self.meter.peak, on_wire)

    def nothing_left(self, now: float) -> bool:
        return self.meter.nothing_left(now, self.sent, 50, 5)


def shown(*, twice: bool = True) -> Watched:
    """Refused at 50, and again after 100 had been borne: a bucket that fills and empties; it let 10 a second through."""
    watched = Watched()
    watched.nothing_left(0.0)
    watched.send(1000, 100)
    assert not watched.nothing_left(100.0)
    if twice:
        watched.send(1000, 100)
        assert watched.nothing_left(200.0)
    return watched


def test_the_rate_is_what_was_let_through_between_two_moments_at_which_nothing_was_left():
    assert shown().meter.per_s == pytest.approx(BELOW * 10)


class Metered:
    """An endpoint that lets 10 a second through and 300 at once after a standstill, asked in simulated time."""

    def __init__(self) -> None:
        self.concurrency = Concurrency(256)
        self.now = self._then = 0.0
        self._level = 300.0
        self._numbers = 0

    def burst(self, answers: int) -> float:
        """The seconds that it takes to get so many answers."""
        began, left, under_way, one = self.now, answers, list[tuple[float, int, float, bool]](), self.concurrency
        while left or under_way:
            while left and len(under_way) < one.allowed() and one.closed_s(self.now) <= 0:
                left -= 1
                self._numbers += 1
                one.sending(len(under_way) + 1)
                is_let = self._is_let_through()
                heappush(under_way, (self.now + (1.0 if is_let else 0.05), self._numbers, self.now, is_let))
            waits = left > 0 and len(under_way) < one.allowed()
            starts = self.now + max(0.001, one.closed_s(self.now)) if waits else inf
            if not under_way or under_way[0][0] > starts:
                self.now = starts
                continue
            self.now, number, sent_at, is_let = heappop(under_way)
            if is_let:
                one.accepted(self.now, sent_at, 10, number)
            else:
                left += 1
                one.refused(self.now, sent_at, number)
        return self.now - began

    def _is_let_through(self) -> bool:
        self._level = min(300.0, self._level + 10 * (self.now - self._then))
        self._then = self.now
        if self._level < 1:
            return False
        self._level -= 1
        return True


def test_hours_in_which_nothing_was_sent_do_not_make_the_rate_look_small():
    metered = Metered()
    for _ in range(8):
        assert metered.burst(1500) < 200  # 120 at best
        metered.now += 3600


def test_requests_that_were_refused_are_not_among_what_was_let_through():
    watched = shown(twice=False)
    watched.send(1010, 100)
    for _ in range(10):
        watched.meter.refused()
    watched.nothing_left(200.0)
    assert watched.meter.per_s == pytest.approx(BELOW * 10)


def test_an_endpoint_that_came_to_bear_more_once_is_not_paced():
    assert shown(twice=False).meter.per_s is None


def test_an_endpoint_that_refuses_where_it_refused_before_is_not_paced():
    watched = Watched()
    for turn in range(10):
        watched.send(STEADY, 50)
        assert not watched.nothing_left(100.0 * turn)


def test_a_change_of_what_is_borne_that_lies_far_back_does_not_count():
    watched = shown(twice=False)
    watched.send(STEADY, 50)
    watched.nothing_left(200.0)
    watched.send(1000, 100)
    assert not watched.nothing_left(300.0)


def test_requests_start_at_the_rate():
    watched, now = shown(), 200.0
    starts: list[float] = []
    while len(starts) < 100:
        now += watched.meter.wait_s(now, watched.sent)
        watched.meter.take()
        starts.append(now)
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert gaps == pytest.approx([1 / (BELOW * 10)] * 99)


def test_more_is_tried_the_later_the_more_the_last_try_cost_and_then_kept_while_nothing_is_refused():
    watched = shown()
    rates: list[float | None] = []
    for more in (5 * WAIT_PER_REFUSAL - 1, 1, WAIT_PER_REFUSAL):
        watched.send(more, 20)
        watched.meter.wait_s(300.0, watched.sent)
        rates.append(watched.meter.per_s)
    assert rates == pytest.approx([BELOW * 10, BEYOND * BELOW * 10, BEYOND**2 * BELOW * 10])


def test_refusals_at_the_rate_itself_end_the_pacing():
    watched = shown()
    watched.send(200, 20)
    assert not watched.nothing_left(220.0)
    assert watched.meter.per_s is None


def test_while_an_endpoint_is_paced_its_limit_of_requests_at_once_is_not_cut():
    control, now = Concurrency(256), 0.0
    level, rate, sent_at = 500.0, 300.0, [0.0]
    refused_by_half_minute = [0] * 5
    while now < 120:
        now += 0.0025
        level = min(1500.0, level + 0.0025 * rate)
        while sent_at and now - sent_at[0] > 0.15:
            control.accepted(now, sent_at.pop(0), 100, control.sent)
        while len(sent_at) < control.allowed() and control.closed_s(now) == 0:
            control.sending(len(sent_at) + 1)
            if level < 1:
                control.refused(now, now, control.sent)
                refused_by_half_minute[int(now // 30)] += 1
                break
            level -= 1
            sent_at.append(now)
    assert control.limit == 256
    assert sum(refused_by_half_minute[2:]) <= 0.01 * 60 * rate


@pytest.mark.parametrize("per_minute", [5, 20, 60])
def test_a_small_limit_a_minute_of_which_nothing_is_told_is_found(per_minute: int):
    clock = Clock()
    admission = Admission(Limits(max_in_flight=8), clock)
    lane, left, sends, answers = admission.lanes[0], float(per_minute), 0, 0
    while answers < 300:
        before, pause_s = clock.now, lane.pause_s(1)
        clock.now += pause_s + 0.05
        left = min(per_minute, left + (clock.now - before) * per_minute / 60)
        place = lane.board(1)
        sends += 1
        admission.land(place)
        if left < 1:
            admission.refused(place, None)
        else:
            left, answers = left - 1, answers + 1
            admission.accepted(place, 1)
    assert sends < 2 * answers
    assert clock.now < 1.2 * 60 * answers / per_minute
