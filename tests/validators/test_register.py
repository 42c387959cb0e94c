"""Whether a text is in the register asked for, from its first sentence to its last."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from synth.errors import Rejected
from synth.types import Message, Sample
from synth.validators.register import Register, endings

TASKS = Path(__file__).parents[2] / "data" / "tasks-ja.jsonl"
PLAIN = "壁で電波が弱まるからだ。置き場所を変えるとよい。効果は大きい。"
POLITE = "壁で電波が弱まるからです。置き場所を変えてください。効果がありますよ。"
HONORIFIC = "壁で電波が弱まるためでございます。置き場所をお変えいただくと、改善することがございます。"
FORMAL = "The signal is weakened by walls. Moving the router usually helps."
CASUAL = "It's the walls. Try moving the router, you'll see!"


def checked(answer, fields=None, **options):
    turns = (Message(role="user", content="?"), Message(role="assistant", content=answer))
    sample = Sample(
        id="0", seed_id="0", parent_id="0", stage="a", draw=0, messages=turns, fields={} if fields is None else fields
    )
    Register(**options).check(sample)


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (PLAIN, "plain"),
        (POLITE, "polite"),
        (HONORIFIC, "honorific"),
        (HONORIFIC, "polite"),
        (FORMAL, "formal"),
        (CASUAL, "casual"),
        ("There are 5! = 120 orders, and x != y.", "formal"),
        ("駅員は「お待ちください」と言った。", "plain"),
        ("父は「帰るぞ」と言いました（いつも急だ）。", "polite"),
        ("手順です。\n\n- 水を入れる。\n- 火にかける。\n\n三分待ちます。", "polite"),
        ("目的：水を節約する。\n次のとおりです。", "polite"),
        ("持ち物は三つ。弁当と水筒と帽子です。", "polite"),
        ("大切なのは睡眠。これに尽きる。", "plain"),
        ("```python\nx = 1  # 代入します。\n```\n値を入れる。", "plain"),
        ("1. 水を入れる。\n2. 火にかける。", "plain"),
        ("ありがとうございます😊\n**とても助かりました♪**", "polite"),
        ("「痛かったでしょう。少し休みましょう。」", "polite"),
    ],
)
def test_what_is_in_the_register_passes(answer, wanted):
    checked(answer, wanted=wanted)


@pytest.mark.parametrize(
    ("answer", "wanted", "reason"),
    [
        (PLAIN, "polite", "other_register"),
        (POLITE, "plain", "other_register"),
        (POLITE, "honorific", "other_register"),
        (PLAIN, "honorific", "other_register"),
        (f"{POLITE}これは難しい。", "polite", "mixed_register"),
        (f"{POLITE}雨が降っている。", "polite", "mixed_register"),
        (f"{POLITE}値段は店で決まる。", "polite", "mixed_register"),
        (f"{POLITE}会場は駅の近くではなかった。", "polite", "mixed_register"),
        (f"{PLAIN}ありがとうございます😊", "plain", "mixed_register"),
        (f"{PLAIN}ご注意ください。", "plain", "mixed_register"),
        (f"{HONORIFIC}ただし例外もある。", "honorific", "mixed_register"),
        ("桜、駅、雨の匂い", "polite", "other_register"),
        (CASUAL, "formal", "other_register"),
        ("That is great!", "formal", "other_register"),
        (FORMAL, "casual", "other_register"),
        ("It's late, therefore one must leave.", "casual", "other_register"),
    ],
)
def test_what_is_in_another_one_or_mixes_two_is_refused(answer, wanted, reason):
    with pytest.raises(Rejected, match=reason):
        checked(answer, wanted=wanted)


def test_a_field_of_the_seed_may_name_the_register_and_one_it_does_not_know_is_told():
    checked(PLAIN, {"register": "常体"}, of="register")
    checked(POLITE, {"register": "です・ます"}, of="register")
    checked(CASUAL, {"register": "casual"}, of="register")
    with pytest.raises(Rejected, match="other_register"):
        checked(PLAIN, {"register": "敬語"}, of="register")
    with pytest.raises(Rejected, match="'関西弁'"):
        checked(PLAIN, {"register": "関西弁"}, of="register")


def test_a_share_of_sentences_may_end_otherwise():
    checked(f"{POLITE}それはなぜだろう。", wanted="polite", mixed=0.25)
    with pytest.raises(Rejected, match="mixed_register"):
        checked(f"{POLITE}それはなぜだろう。", wanted="polite", mixed=0.2)


@pytest.mark.parametrize("options", [{}, {"wanted": "plain", "of": "register"}])
def test_the_register_is_said_once(options):
    with pytest.raises(ValidationError, match="say which register"):
        Register(**options)


def test_of_132_answers_whose_register_a_person_named_two_are_taken_for_another():
    rows = [json.loads(line) for line in TASKS.read_text(encoding="utf-8").splitlines()]
    wrong, count = [], 0
    for row in rows:
        if row["register"] in ("常体", "敬体"):
            count += 1
            found = endings(row["output"])
            wrong += [row["id"]] * bool(found.polite if row["register"] == "常体" else found.plain)
    assert (count, len(wrong)) == (132, 2)
