"""What is left is reckoned over all stages, each fed by what the one before lets through."""

from __future__ import annotations

import time
from types import SimpleNamespace

from synth.live.progress import Progress, StageCount
from synth.money.budget import Budget
from synth.types import Spend


def test_time_left_counts_the_later_stages():
    stages = {"write": StageCount(units=10, accepted=50), "answer": StageCount(draws=2, units=45)}
    progress = Progress(stages, {}, Budget(None), total_seeds=10, seeds_done=10, began=time.monotonic() - 110)
    # 10 units are done of 10, and 45 of the 100 that 50 instructions with two draws make
    assert 105 <= progress.left_s() <= 120


def test_no_end_is_promised_while_a_teacher_is_out_of_reach():
    health = SimpleNamespace(silent_s=0.0)
    teachers = {"先生": SimpleNamespace(landed=5, health=health)}
    stages = {"answer": StageCount(units=5)}
    began = time.monotonic() - 50
    progress = Progress(stages, teachers, Budget(None), total_seeds=10, seeds_done=5, began=began)
    assert 45 <= progress.left_s() <= 60
    health.silent_s = 60.0
    assert progress.left_s() is None


def test_nothing_is_promised_before_the_first_seed_is_done():
    assert Progress({"a": StageCount()}, {}, Budget(None), total_seeds=10).left_s() is None


def test_what_is_to_come_of_a_run_that_goes_on_is_told_by_what_it_asked_itself():
    stages = {"answer": StageCount()}
    teacher = SimpleNamespace(landed=0, health=SimpleNamespace(silent_s=0.0))
    budget = Budget(None, Spend(500_000, 10_000, 50))
    progress = Progress(stages, {"main": teacher}, budget, total_seeds=100, began=time.monotonic() - 5)
    stages["answer"].units = progress.seeds_done = 40
    assert (progress.left_s(), progress.projected_microusd()) == (None, None)  # half of them lies in the store
    stages["answer"].units = progress.seeds_done = 50
    teacher.landed = 1
    assert progress.projected_microusd() is None
    stages["answer"].units = progress.seeds_done = 75
    budget.spent_microusd = 750_000
    assert progress.projected_microusd() == 1_000_000
    assert progress.left_s() < 5


def test_the_money_of_a_new_run_is_projected_from_its_beginning():
    stages = {"answer": StageCount(units=25)}
    progress = Progress(stages, {}, Budget(None), total_seeds=100, seeds_done=25)
    progress.budget.spent_microusd = 250_000
    assert progress.projected_microusd() == 1_000_000
