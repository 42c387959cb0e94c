"""What was not bought because twins were dropped before: the estimate."""

from __future__ import annotations

from synth.money.savings import Saved, saved
from synth.storage.database import Ledger

LEDGER = [
    Ledger("write", "main", "ok", 10, 500, 0, 0, 0, 0),
    Ledger("answer", "main", "ok", 160, 8000, 0, 0, 0, 0),
    Ledger("answer", "main", "rate", 40, 0, 0, 0, 0, 0),
    Ledger("answer:score", "judge", "ok", 80, 1600, 0, 0, 0, 0),
    Ledger("polish", "main", "ok", 80, 800, 0, 0, 0, 0),
]


def test_a_dropped_prompt_counts_with_what_the_others_used_in_the_later_stages() -> None:
    drafts = {"write": 100, "answer": 160, "polish": 80}
    rejected = {
        "write": {"duplicate": 15, "near_duplicate": 5, "too_short": 9},
        "answer": {"refusal": 40},
        "polish": {},
    }
    assert saved(drafts, rejected, LEDGER) == Saved(prompts=20, replies=80, cost_microusd=2600)


def test_twins_of_the_last_stage_save_nothing() -> None:
    rejected = {"write": {}, "answer": {"duplicate": 30}}
    assert saved({"write": 100, "answer": 160}, rejected, LEDGER) == Saved(prompts=0, replies=0, cost_microusd=0)


def test_what_every_gate_kept_from_the_later_stages_is_added_up() -> None:
    drafts = {"write": 100, "answer": 160, "polish": 80}
    rejected = {"write": {"not_novel": 50}, "answer": {"template_quota": 80}, "polish": {}}
    # of 50 others 320 replies, so that 50 more have the same; of 80 others 80 replies
    assert saved(drafts, rejected, LEDGER) == Saved(prompts=130, replies=400, cost_microusd=11200)


def test_a_stage_of_nothing_but_twins_is_counted() -> None:
    assert saved({"write": 3, "answer": 0}, {"write": {"duplicate": 3}, "answer": {}}, []).prompts == 3
