"""What is left is reckoned over all stages, each fed by what the one before lets through."""

from __future__ import annotations

import time

from synth.live.progress import Progress, StageCount
from synth.money.budget import Budget


def test_time_left_counts_the_later_stages():
    stages = {"write": StageCount(units=10, accepted=50), "answer": StageCount(draws=2, units=45)}
    progress = Progress(stages, {}, Budget(None), total_seeds=10, seeds_done=10, began=time.monotonic() - 110)
    # 10 units are done of 10, and 45 of the 100 that 50 instructions with two draws make
    assert 105 <= progress.left_s() <= 120


def test_nothing_is_promised_before_the_first_seed_is_done():
    assert Progress({"a": StageCount()}, {}, Budget(None), total_seeds=10).left_s() is None
