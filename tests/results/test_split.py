"""Train and test without leakage: twins of a training row are not in the test split."""

from __future__ import annotations

import random
import re

import pytest

from synth.dedupe.families import families
from synth.results.split import Split, deal, split_of

HALVES = Split(fractions={"train": 0.5, "test": 0.5})
KANA = "海山川駅橋森庭島港畑湖谷塔寺村道空雪花石あいうえおかきくけこさしすせそたちつてと"


def distinct(count):
    """Questions that share little with each other."""
    dice = random.Random(3)
    return ["".join(dice.choices(KANA, k=30)) for _ in range(count)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "りんごを12個、みかんを30個買いました。全部で何個ですか。",
            "りんごを15個、みかんを三十一個買いました。全部で何個ですか。",
        ),
        (
            "Mia buys 12 mugs at $3 each. How much does she pay?",
            "Mia buys thirteen mugs at $4 each. How much does she pay?",
        ),
        (
            "筆者が最も言いたいことを三十字以内でまとめてください。",
            "筆者が最も言いたいことを五十字以内でまとめ、理由も書いてください。",
        ),
        ("ﾌﾟﾛｸﾞﾗﾑ を Python で書いてください。", "プログラムをＰｙｔｈｏｎで書いて下さい。"),
    ],
)
def test_seeds_with_twins_go_together(one, other):
    texts = [*((f"{n:03d}", text) for n, text in enumerate(distinct(200))), ("900", one), ("901", other)]
    first = families(texts)
    assert first["901"] == "900"
    assert sum(family != seed for seed, family in first.items()) == 1
    for dealing in range(12):
        splits = deal(texts, HALVES.model_copy(update={"seed": dealing})).splits
        assert splits["900"] == splits["901"]


def test_a_chain_of_twins_stays_together_and_so_do_all_rows_of_a_seed():
    parts = distinct(6)
    a, b, c = ("。".join(parts[start : start + 4]) for start in range(3))
    rows = [
        ("0", a),
        ("1", "全く関係のない、別の種類の質問です。"),
        ("2", c),
        ("3", b),
        ("1", "What is the tallest tower in Nagoya?"),
        ("4", "what is the tallest tower in nagoya"),
    ]
    first = families(rows)
    assert {seed for seed, family in first.items() if family == "0"} == {"0", "2", "3"}
    assert first["4"] == "1"
    assert families([rows[0], rows[2]])["2"] == "2"  # the ends of the chain alone are no twins


def test_more_seeds_at_the_end_move_none_of_the_earlier_ones():
    texts = [(f"{n:03d}", text) for n, text in enumerate(distinct(300))]
    few, many = deal(texts[:200], HALVES).splits, deal(texts, HALVES).splits
    assert all(many[seed] == split for seed, split in few.items())
    assert few == {seed: split_of(seed, HALVES) for seed in few}
    assert set(few.values()) == {"train", "test"}


def test_rows_of_one_template_leave_a_split_empty_and_that_is_said():
    texts = [(f"{n:02d}", f"{n} × {n + 7} を計算してください。") for n in range(40)]
    notice, notice_ja = deal(texts, HALVES)[1:]
    assert "40 of 40 rows" in notice
    assert re.fullmatch(
        r"分割「(train|test)」には一行も入りませんでした。.*40 行のうち 40 行がその一まとまりです。", notice_ja
    )
    assert ("train" in notice) != ("test" in notice)
    assert deal(texts, Split()).notice == ""


@pytest.mark.parametrize("dealing", range(20))
def test_a_family_too_large_for_a_split_does_not_go_there(dealing):
    split = Split(fractions={"train": 0.9, "test": 0.1}, seed=dealing)
    alone = [(f"1{n:02d}", text) for n, text in enumerate(distinct(60))]
    texts = [*((f"0{n:02d}", f"りんごが{n + 2}個あります。三人で分けると何個余りますか。") for n in range(40)), *alone]
    splits = deal(texts, split).splits
    assert {splits[f"0{n:02d}"] for n in range(40)} == {"train"}
    own = {seed: split_of(seed, split) for seed, _ in alone}
    assert {seed: splits[seed] for seed in own} == own


def test_with_a_handful_of_families_no_split_stays_empty():
    texts = [(f"{n}{m}", f"{text}を{m + 2}個") for n, text in enumerate(distinct(3)) for m in range(n + 1)]
    for dealing in range(20):
        dealt = deal(texts, HALVES.model_copy(update={"seed": dealing}))
        assert set(dealt.splits.values()) == {"train", "test"}
        assert dealt.notice == ""
        assert len({dealt.splits[seed] for seed in ("20", "21", "22")}) == 1


@pytest.mark.parametrize("dealing", range(20))
def test_a_split_that_a_handful_of_families_overfill_gives_some_back(dealing):
    split = Split(fractions={"train": 0.9, "test": 0.1}, seed=dealing)
    texts = [(f"{n}{m}", f"{text}を{m + 2}個") for n, text in enumerate(distinct(12)) for m in range(9)]
    dealt = list(deal(texts, split).splits.values())
    assert 9 <= dealt.count("test") <= 18


def test_one_large_family_goes_to_the_first_of_equal_splits_and_what_the_other_lacks_is_said():
    large = [(f"1{n:02d}", f"りんごが{n + 2}個あります。三人で分けると何個余りますか。") for n in range(40)]
    texts = [*large, *((f"2{n}", text) for n, text in enumerate(distinct(2)))]
    for dealing in range(20):
        dealt = deal(texts, HALVES.model_copy(update={"seed": dealing}))
        assert {dealt.splits[seed] for seed, _ in large} == {"train"}
        assert re.match(r"[12] of 21 rows went into the split 'test': .* 40 of 42 rows are\.", dealt.notice)
        assert re.match(r"分割「test」には予定の 21 行に対して [12] 行だけが入りました。", dealt.notice_ja)


@pytest.mark.parametrize(("rows", "said"), [(6, False), (9, False), (40, True)])
def test_an_empty_split_is_told_only_where_it_was_to_have_a_row(rows: int, said: bool) -> None:
    texts = [(f"{number:08d}", "りんごを何個買いましたか。") for number in range(rows)]
    assert bool(deal(texts, Split(fractions={"train": 0.9, "test": 0.1})).notice) == said
