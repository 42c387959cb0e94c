"""What one endpoint is sent and when, on a clock that the test moves."""

from __future__ import annotations

import math

import pytest

from synth.admission.admission import Admission
from synth.admission.buckets import LONGEST_GATE_S, Allowance
from synth.admission.lane import CANARY_S, STREAK, Lane, Place
from synth.admission.queueing import START
from synth.protocol.endpoint import Limits
from tests.admission.clocks import Clock


def lane(clock, **limits) -> Lane:
    return Lane(0, Limits(**limits), clock, queues_silently=False)


@pytest.mark.parametrize("asked", [4196, 16_100])
def test_a_limit_of_tokens_in_the_recipe_is_used_up_by_replies_far_below_their_cap(asked):
    clock = Clock()
    agreed = lane(clock, tokens_per_minute=100_000)
    flying: list[tuple[float, Place]] = []
    used: list[float] = []
    while clock.now < 1800:
        wait_s = agreed.pause_s(asked)
        if wait_s <= 0:
            flying.append((clock.now + 10, agreed.board(asked)))
        clock.now += min([max(wait_s, 1e-3), *(until - clock.now for until, _ in flying[:1])])
        while flying and flying[0][0] <= clock.now + 1e-9:
            agreed.used(flying.pop(0)[1], 300)
            used.append(clock.now)
    settled = [moment for moment in used if 600 <= moment < 1800]
    assert 0.93 * 20 * 100_000 < 300 * len(settled) < 0.97 * 20 * 100_000
    assert 300 * len(used) < 30 * 100_000


def test_what_replies_use_puts_no_limit_right_that_the_host_tells_itself():
    clock = Clock()
    told = lane(clock)
    place = told.board(1000)
    told.learn([Allowance("tokens", 6000, 3000, 30)], place.taken, since_s=0.0)
    before = told.pause_s(4000)
    told.used(place, 10)
    assert told.pause_s(4000) == before > 0


def test_what_a_reply_says_is_left_slows_the_lane_before_a_refusal_comes():
    clock = Clock()
    learning = lane(clock)
    taken = learning.board(1).taken
    assert learning.pause_s(1) == 0
    learning.learn([Allowance("requests", 60, 1, 59)], taken, since_s=0.1)
    learning.board(1)
    assert 0.5 < learning.pause_s(1) < 2  # one a second
    clock.now = 30
    assert learning.pause_s(1) == 0


@pytest.mark.parametrize("reset_s", [99_999_999, math.inf, 1e-320])
def test_a_reset_that_cannot_be_meant_neither_stops_the_lane_for_days_nor_the_run(reset_s):
    clock = Clock()
    told = lane(clock)
    taken = told.board(1).taken
    told.learn([Allowance("requests", 10, 0, reset_s)], taken, since_s=0.0)
    for _ in range(3):
        assert told.pause_s(1) <= LONGEST_GATE_S
        clock.now += LONGEST_GATE_S
        assert told.pause_s(1) == 0
        told.board(1)
    assert told.pause_s(1) > 0 or reset_s < 1


def test_what_the_recipe_says_is_waited_for_as_long_as_it_takes():
    clock = Clock()
    agreed = lane(clock, tokens_per_minute=1000)
    agreed.board(1_000_000)
    assert agreed.pause_s(1) > 10 * LONGEST_GATE_S


def test_what_the_recipe_says_goes_before_what_a_reply_says():
    clock = Clock()
    told = lane(clock, requests_per_minute=6000)
    taken = told.board(1).taken
    told.learn([Allowance("requests", 60, 0, 60)], taken, since_s=0.1)
    assert told.pause_s(1) == 0


def test_refusals_between_which_others_passed_hold_nobody_back_however_they_come_in_a_row():
    clock = Clock()
    only = lane(clock)
    for number in range(1, 10 * STREAK, 2):
        only.refused(Place(only, 1, {}, 0.0, number), 60)
    assert only.pause_s(1) == 0
    for number in range(101, 101 + STREAK):
        only.refused(Place(only, 1, {}, 0.0, number), 60)
    assert only.pause_s(1) >= 60


def test_refusals_of_requests_sent_in_a_row_hold_all_back_in_whatever_order_they_come():
    clock = Clock()
    only = lane(clock)
    for number in (3, 1, 2, 6, 5, 4, 9, 7, 8, 10, 11, 12, 13, 14):
        only.refused(Place(only, 1, {}, 0.0, number), 60)
    assert only.pause_s(1) >= 60


@pytest.mark.parametrize(("alone", "least", "most"), [(True, 3000, 3700), (False, 120, 180)])
def test_one_of_several_that_refuses_all_is_asked_seldom_whatever_it_says_until_something_passes(alone, least, most):
    clock, sent = Clock(), 0
    refusing = Lane(0, Limits(), clock, queues_silently=False, alone=alone)
    while clock.now < 3600:
        refusing.refused(refusing.board(1), 1.0)
        sent += 1
        clock.now += 1e-6 + refusing.pause_s(1)
    assert least < sent < most
    assert refusing.pause_s(1) == 0
    refusing.streak = 0  # as when one passed
    for _ in range(refusing.concurrency.row):
        refusing.refused(refusing.board(1), 1.0)
    assert refusing.pause_s(1) <= 1


@pytest.mark.parametrize(("retry_after_s", "alone"), [(None, True), (4.0, False)])
def test_one_alone_sees_whether_a_wait_that_was_guessed_was_long_enough(retry_after_s, alone):
    clock = Clock()
    only = lane(clock)
    for _ in range(STREAK):
        only.refused(only.board(1), retry_after_s)
    clock.now += only.pause_s(1)
    only.board(1)
    assert (only.pause_s(1) == CANARY_S) == alone
    clock.now += CANARY_S
    only.board(1)
    assert only.pause_s(1) < CANARY_S, "what follows it does so as after any wait"


@pytest.mark.parametrize(
    ("limits", "queues_silently", "first"),
    [
        (Limits(max_in_flight=1024), True, 512),
        (Limits(max_in_flight=32), True, START),
        (Limits(max_in_flight=8), True, 8),
        (Limits(), True, START),
        (Limits(max_in_flight=1024), False, START),
    ],
)
def test_a_server_of_ones_own_is_sent_half_of_what_it_is_said_to_bear_at_once(limits, queues_silently, first):
    assert Lane(0, limits, Clock(), queues_silently=queues_silently).concurrency.limit == first


def started_in(lane, clock, seconds):
    """How many requests start in so many seconds when each goes as soon as the limit of them lets it."""
    requests = lane.buckets["requests"]
    until, before = clock.now + seconds, requests.taken
    while clock.now + (wait_s := requests.wait_s(1)) <= until:
        clock.now += wait_s + 1e-9 * (wait_s > 0)
        requests.take(1)
    clock.now = until
    return requests.taken - before


def told_lane(clock, *allowances):
    """A lane whose first request brought word of limits, and that request."""
    told = lane(clock, max_in_flight=10_000)
    place = told.board(100)
    told.learn(allowances, place.taken, since_s=0.0)
    return told, place


PLENTY_LEFT = Allowance("requests", 6000, 5990, 0.1)


def test_what_is_left_may_go_at_once_and_evenly_where_it_is_refused_all_the_same():
    clock = Clock()
    told, place = told_lane(clock, PLENTY_LEFT, Allowance("tokens", 1e9, 1e9 - 100, 0.001))
    assert started_in(told, clock, 0.1) > 5900
    told, place = told_lane(clock, PLENTY_LEFT, Allowance("tokens", 1e9, 1e9 - 100, 0.001))
    for _ in range(200):
        told.board(1)
    told.refused(place, None)
    assert 480 <= started_in(told, clock, 5.0) <= 490 + 25, "98 % of 100 a second, and a quarter of a second's worth"
    told.learn([PLENTY_LEFT], place.taken, since_s=10.0)
    assert started_in(told, clock, 5.0) <= 490 + 25, "as long as the limit is the same"
    told.learn([Allowance("requests", 6000, 3000, 1.0)], {}, since_s=0.0)
    assert started_in(told, clock, 1.0) > 2000, "but no slower than the host says that it refills"


def test_what_is_refused_by_the_second_is_not_taken_for_too_much_at_once():
    def limit_after(gone: int, paused_s: float) -> float:
        clock = Clock()
        told, place = told_lane(clock, PLENTY_LEFT, Allowance("tokens", 1e9, 1e9 - 100, 0.001))
        for _ in range(gone):
            told.board(1)
        told.refused(place, None)
        clock.now += paused_s
        told.pause_s(1)
        before = told.concurrency.limit
        for place in [told.board(1) for _ in range(12)]:
            told.refused(place, None)
        return told.concurrency.limit / before

    assert limit_after(gone=200, paused_s=1.0) == 1
    assert limit_after(gone=200, paused_s=6.0) < 1, "once the short time is over it is"
    assert limit_after(gone=0, paused_s=1.0) < 1, "and where few had gone"


@pytest.mark.parametrize(
    "allowances",
    [
        [Allowance("requests", 6000, 3, 59.97)],
        [PLENTY_LEFT, Allowance("tokens", 6000, 300, 57.0)],
        [Allowance("tokens", 1e9, 1e9 - 100, 0.001)],
        [PLENTY_LEFT],
    ],
    ids=["no requests left", "no tokens left", "of requests nothing is told", "few had gone"],
)
def test_a_refusal_that_what_is_told_explains_or_does_not_speak_of_spreads_nothing(allowances):
    clock = Clock()
    told, place = told_lane(clock, *allowances)
    for _ in range(0 if allowances == [PLENTY_LEFT] else 200):
        told.board(1)
    told.refused(place, None)
    told.learn([PLENTY_LEFT, Allowance("tokens", 1e9, 1e9 - 100, 0.001)], {}, since_s=0.0)
    assert started_in(told, clock, 0.1) > 5000


def test_a_limit_of_which_replies_tell_no_more_is_exceeded_and_one_of_which_they_do_is_not():
    def started(*allowances: Allowance) -> int:
        clock = Clock()
        admission = Admission(Limits(max_in_flight=10_000), clock)
        told = admission.lanes[0]
        told.learn([Allowance("requests", 60, 0, 60.0)], {}, since_s=0.0)
        clock.now, starts = 3000.0, 0
        flying: list[tuple[float, Place]] = []
        while clock.now < 4000 and starts < 2000:
            if (wait_s := told.pause_s(100)) <= 0:
                flying.append((clock.now + 20, told.board(100)))
                starts += 1
            clock.now += 1e-9 + min([wait_s, *(until - clock.now for until, _ in flying[:1])])
            while flying and flying[0][0] <= clock.now:
                place = flying.pop(0)[1]
                admission.land(place)
                told.learn(allowances, {}, since_s=0.0)
                admission.accepted(place, 10)
        return starts

    assert started() == 2000
    assert started(Allowance("requests", 60, 0, 60.0)) < 60 + 1000
