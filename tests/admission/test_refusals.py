"""Refusals that come at any load, told from those that show too much of it, in virtual time."""

from __future__ import annotations

import random
from collections.abc import Callable

from synth.admission.concurrency import Concurrency
from synth.admission.refusals import SHORTEST_ROW
from tests.admission.simulated import bench, boundless, ramped


def fifth_of_a_second(_: random.Random) -> float:
    return 0.2


def in_flight_of(control: Concurrency, refused: Callable[[int], bool], requests: int, now: float = 0.0) -> None:
    """So many requests, each refused at once or answered later."""
    under_way: list[int] = []
    for turn in range(requests):
        now += 0.01
        while under_way and len(under_way) >= control.allowed():
            control.accepted(now, now - 0.001, 100, under_way.pop(0))
        under_way.append(control.sent + 1)
        control.sending(len(under_way))
        if refused(turn):
            control.refused(now, now - 0.001, under_way.pop())


def test_one_refusal_among_many_answers_is_no_reason_to_cut():
    control, now = ramped()
    for turn in range(1000):
        now += 0.01
        control.sending(500)
        if turn % 100 == 50:
            control.refused(now, now - 0.005, control.sent)
        else:
            control.accepted(now, now - 0.005, 100, control.sent)
    assert control.limit == 500


def test_refusals_that_are_noticed_in_one_heap_are_held_against_all_that_was_sent_with_them():
    control, now = ramped(256)
    for wave in range(100):
        now += 0.2
        first = control.sent + 1
        for place in range(256):
            control.sending(place + 1)
        sent_at, now = now, now + 0.2
        for number in range(first, first + 256):
            if (number + wave) % 20 == 0:  # one in twenty, at any load
                control.refused(now, sent_at, number)
        for _ in range(243):
            control.accepted(now, sent_at, 100, control.sent)
        assert control.limit == 256


def test_refusals_at_any_load_do_not_make_for_one_cut_after_the_other():
    server = bench.Capped(random.Random(0), cap=boundless, ambient=0.05, latency=fifth_of_a_second, mean_s=0.2)
    assert bench.simulate(server, 3600, most=256, wanted=20_000).took_s <= 1.15 * 20_000 / 0.95 / 256 * 0.2


def test_cuts_that_do_not_lower_the_share_of_refusals_are_taken_back():
    control, _ = ramped()
    rng = random.Random(5)
    in_flight_of(control, lambda _: rng.random() < 0.33, 150, 100.0)
    assert control.limit < 500
    in_flight_of(control, lambda _: rng.random() < 0.33, 2000, 200.0)
    assert control.limit == 500


def test_cuts_that_end_the_refusals_are_kept():
    control, _ = ramped()
    in_flight_of(control, lambda _: control.limit > 300 and control.sent % 2 > 0, 2000, 100.0)
    assert 100 < control.limit <= 300


def test_all_that_is_refused_is_too_much_however_many_cuts_were_in_vain():
    control, _ = ramped()
    in_flight_of(control, lambda turn: turn % 4 > 0, 2000, 100.0)
    assert control.limit <= 50


def test_the_more_is_refused_at_any_load_the_longer_is_a_row_that_is_no_chance():
    control, now = ramped()
    assert control.row == SHORTEST_ROW
    for turn in range(2000):
        now += 0.01
        control.sending(400)
        if turn % 4 == 1:
            control.refused(now, now - 0.005, control.sent)
        else:
            control.accepted(now, now - 0.005, 100, control.sent)
    assert control.row == 10  # a fourth of all, ten times in a row, is one in a million


def test_refusals_at_any_load_do_not_slow_a_short_run():
    seeds = range(20)
    ratios = sorted(bench.short_run(seed, 0.05).took_s / bench.short_run(seed, 0).took_s for seed in seeds)
    assert ratios[10] <= 1.2
