"""What a controller does with an endpoint that fails, in virtual time."""

from __future__ import annotations

import random

import pytest

from synth.admission.concurrency import Concurrency
from synth.admission.queueing import START
from tests.admission.simulated import bench, opened, ramped


def first_hour(now: float) -> bool:
    return now < 3600


def test_fault_35_the_breaker_opens_and_a_canary_closes_it():
    control, now = ramped()
    for _ in range(20):
        control.sending(1)
        control.failed(now, now - 0.1)
    assert control.closed_s(now) == pytest.approx(30)
    assert control.closed_s(now + 30.001) == 0
    assert control.allowed() == 1
    control.sending(1)
    control.accepted(now + 31, now + 30, 100, control.sent)
    assert 250 <= control.allowed() < 260, "half of what it was: a storm lets some through as well"


def test_a_canary_that_dies_opens_the_breaker_again():
    control, now = ramped()
    for _ in range(20):
        control.sending(1)
        control.failed(now, now - 0.1)
    control.sending(1)
    control.failed(now + 31, now + 30)
    assert control.closed_s(now + 31) == pytest.approx(30)
    assert control.allowed() == 1


def test_what_was_under_way_when_the_breaker_opened_neither_closes_it_nor_holds_up_the_canary():
    control, now = ramped()
    for place in range(100):
        control.sending(place + 1)
    for _ in range(20):
        control.failed(now, now - 0.1)
    for _ in range(30):
        control.accepted(now + 5, now - 0.1, 100, control.sent)
    assert control.closed_s(now + 5) == pytest.approx(25)
    assert control.allowed() == 100 - 20 - 30 + 1


def test_a_few_failures_among_answers_leave_the_breaker_shut():
    control, now = ramped()
    for turn in range(200):
        control.sending(2)
        if turn % 3:
            control.accepted(now, now - 0.1, 100, control.sent)
        else:
            control.failed(now, now - 0.1)
    assert control.closed_s(now) == 0


def test_while_the_breaker_is_open_and_afterwards_no_place_opens_without_an_answer():
    control = Concurrency(2000)
    flying = opened(control, 5.0)
    for _ in range(20):
        control.failed(6.0, 5.9)
    assert not control.opening
    assert control.allowed() == flying - 20 + 1


def test_an_endpoint_that_is_down_for_an_hour_is_asked_rarely_and_found_when_it_is_up():
    server = bench.Failing(random.Random(1), down=first_hour)
    found = bench.simulate(server, 5400)
    assert found.sent - found.useful < 500
    assert sum(found.done_by_minute[70:72]) > 0
    assert found.goodput >= 0.6


def test_fault_01_refused_10000_times_an_endpoint_is_never_asked_less_often_than_every_ten_minutes():
    control, now = Concurrency(100), 0.0
    for _ in range(20):
        control.sending(1)
        control.failed(now, now)
    for _ in range(10_000):
        now += control.closed_s(now)
        control.sending(1)
        control.failed(now + 0.001, now)
        assert 30 <= control.closed_s(now) <= 601
    now += control.closed_s(now)
    control.sending(1)
    control.accepted(now + 1, now, 100, control.sent)
    assert control.allowed() >= START
