"""What `synth status` reads of a run."""

from __future__ import annotations

from synth.console import status


def test_a_teacher_that_has_long_told_nothing_but_its_rate_limit_is_named_with_the_time():
    refusals = [("main", "rate", int((1000 - seconds) * 1e9)) for seconds in (10, 300, 700)]
    others = [("main", "ok", int(100e9)), ("main", "rate", int(50e9)), ("judge", "rate", int(990e9))]
    assert status._refused_s([*refusals, *others], 1000.0) == {"main": 700.0}
    assert status._refused_s([("main", "ok", int(995e9)), *refusals], 1000.0) == {}
