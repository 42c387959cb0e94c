"""Token buckets, on a clock that the test moves."""

from __future__ import annotations

from synth.admission.buckets import Allowance, Bucket
from tests.admission.clocks import Clock


def test_a_bucket_lets_through_95_percent_of_what_was_agreed():
    clock = Clock()
    bucket = Bucket(600, clock)
    sent = 0
    while clock.now < 600:
        wait = bucket.wait_s(1)
        if wait > 0:
            clock.now += wait
        bucket.take(1)
        sent += 1
    assert 5650 <= sent <= 5760  # 600 a minute for ten minutes, less 5 %, and at most one burst


def test_a_request_larger_than_the_bucket_goes_and_leaves_a_debt():
    clock = Clock()
    bucket = Bucket(6000, clock)
    assert bucket.wait_s(100_000) == 0
    bucket.take(100_000)
    assert bucket.wait_s(1) > 900


def test_what_a_request_did_not_use_is_given_back_and_what_it_used_beyond_is_taken():
    clock = Clock()
    bucket = Bucket(6000, clock)  # 475 at most, 95 a second
    debited = bucket.take(400)
    assert debited == 400
    assert bucket.wait_s(475) > 0
    bucket.settle(400, debited, 400)
    assert bucket.wait_s(75) == 0 < bucket.wait_s(76)
    debited = bucket.take(70)
    bucket.settle(70, debited, 20)
    assert bucket.wait_s(55) == 0
    debited = bucket.take(50)
    bucket.settle(50, debited, 145 + debited)
    assert bucket.wait_s(0) > 0
    bucket.settle(50, 1e9, 0)
    clock.now += 1
    assert bucket.wait_s(10_000) == 0
    bucket.take(10_000)
    assert bucket.wait_s(1) > 0, "no more than it holds is kept"


def test_a_reply_that_says_it_used_millions_makes_nobody_wait_for_days():
    clock = Clock()
    bucket = Bucket(6000, clock)
    bucket.settle(400, bucket.take(400), 10_000_000)
    assert 30 < bucket.wait_s(400) < 70, "as if it had been all of a minute"


def test_a_bucket_refills_at_its_rate():
    clock = Clock()
    bucket = Bucket(60, clock)
    for _ in range(4):
        assert bucket.wait_s(1) == 0
        bucket.take(1)
    clock.now = 0.2
    bucket.take(1)
    assert 0 < bucket.wait_s(1) < 2
    clock.now = 10.0
    assert bucket.wait_s(1) == 0


def sent_in(bucket, clock, seconds: float) -> int:
    """How many requests go in so many seconds."""
    sent, until = 0, clock.now + seconds
    while clock.now + (wait_s := bucket.wait_s(1)) < until:
        clock.now += wait_s + 1e-9
        bucket.take(1)
        bucket.passed()
        sent += 1
    clock.now = until
    return sent


def test_what_a_host_told_is_believed_for_minutes_and_then_more_is_tried_until_it_tells_again():
    clock = Clock()
    bucket = Bucket(60, clock)
    used_up = Allowance("requests", 60, 0, 60.0)

    def tell() -> None:
        bucket.learn(used_up, used_up.per_s(), bucket.taken, 0.0)

    for _ in range(10):
        tell()
        assert 270 <= sent_in(bucket, clock, 290) <= 290
    assert sent_in(bucket, clock, 60) <= 80, "bit by bit"
    assert sent_in(bucket, clock, 600) > 1000, "it may have risen"
    tell()
    assert sent_in(bucket, clock, 290) <= 290
