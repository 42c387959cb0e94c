"""Multiple choice: the label or the text that an answer settles on."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from synth.errors import Rejected
from synth.scorers.choice import Choice, chosen
from synth.types import Message, Sample, Score

JCQA = Path(__file__).parents[3] / "shared" / "data" / "jcommonsenseqa.jsonl"
CITIES = ["Paris", "London", "New York", "York", "A cat"]
WORDS = ["世界", "写真集", "絵本", "論文", "図鑑"]


def score(answer: str, scorer: Choice, **fields: Any) -> Score:
    turns = (Message(role="user", content="問い"), Message(role="assistant", content=answer))
    sample = Sample(id="0/00/000", seed_id="0", parent_id="0", stage="a", draw=0, messages=turns, fields=fields)
    return asyncio.run(scorer.score(sample, None))


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"), ("(B)", "B"), ("b", "B"), ("b)", "B"), ("B.", "B"), ("B. London", "B"), ("**B**", "B"), ("B: London", "B"),
        ("The answer is (B).", "B"), ("So the correct answer is B because London is the capital.", "B"), ("Answer: B", "B"), ("**Answer:** B", "B"),
        ("Final answer: **(C) New York**", "C"), ("The answer is A. No, wait: the answer is D.", "D"), (r"Thus \boxed{B}", "B"), (r"\boxed{\text{B}}", "B"),
        ("I would go with option C, as it fits.", "C"), ("Option B is correct.", "B"), ("(C) is the right choice", "C"),
        ("A is wrong, since Paris is in France.\nB is the best answer.", "B"), ("#### B", "B"), ("The correct choice would be: D", "D"),
        ("Let us think.\nParis is in France.\n\nB", "B"), ("Paris is not it.\nLondon", "B"), ("The answer is London.", "B"), ("It must be London.", "B"),
        ("The answer is A cat.", "E"), ("The answer is A", "A"), ("New York", "C"), ("It is New York.", "C"), ("York", "D"),
        ("The answer is 2.", "B"), ("2", "B"), ("2) London", "B"), ("②", "B"), ("Ⓑ", "B"), ("Ｂ", "B"), ("Option (b)", "B"),
    ],
)  # fmt: skip
def test_the_choice_of_an_english_answer_is_found(text, letter):
    assert chosen(text, CITIES) == "ABCDE".index(letter)


@pytest.mark.parametrize(
    ("text", "kana"),
    [
        ("ウ", "ウ"), ("ｳ", "ウ"), ("（ウ）", "ウ"), ("ウ：絵本", "ウ"), ("ウ．絵本", "ウ"), ("㋒", "ウ"), ("３", "ウ"), ("③", "ウ"), ("⑶", "ウ"), ("Ｃ", "ウ"),
        ("答え：ウ", "ウ"), ("答えはウです。", "ウ"), ("正解は2番です。", "イ"), ("正解は、（２）です。", "イ"), ("正解は②の写真集です。", "イ"), ("正解は「絵本」です。", "ウ"),
        ("【答え】ウ", "ウ"), ("**答え**：ウ", "ウ"), ("正答：C", "ウ"), ("解答は３。", "ウ"), ("答えは絵本だ。", "ウ"), ("答え：絵本", "ウ"),
        ("イとエは字が多い。よってウが正しい。", "ウ"), ("選択肢ウが最も適切です。", "ウ"), ("3番を選びます。", "ウ"), ("Cが正解です。", "ウ"), ("したがって、4が適当である。", "エ"),
        ("アの世界は物語ではありません。\nイの写真集は写真です。\n\nしたがって、正解はウの絵本です。", "ウ"), ("ア、イ、エ、オは違います。\n答え：\nウ", "ウ"),
        ("答えはアではなく、答えはウです。", "ウ"), ("子ども向けでイラストがあるのは絵本です。", "ウ"), (r"$\boxed{3}$", "ウ"), ("最終的な答え: **3. 絵本**", "ウ"),
        ("答えは絵本（ウ）です。", "ウ"), ("正解はウ", "ウ"), ("回答：オ（図鑑）", "オ"), ("正解はAのセカイ…ではなくBです", "イ"),
    ],
)  # fmt: skip
def test_the_choice_of_a_japanese_answer_is_found(text, kana):
    assert chosen(text, WORDS) == "アイウエオ".index(kana)


@pytest.mark.parametrize(
    "text",
    ["", "わかりません。", "I do not know.", "A or B", "The answer is A or B.", "答えはアかイです。", "AとB", "正解はA、Cです。", "F", "正解は6番です。", "アイスが好きです。",
     "Apples are good.", "絵本か図鑑です。", "The answer is not B.", "A dog", "3つあります。", "答えは0", "イラストのついた物語"],
)  # fmt: skip
def test_no_choice_and_two_choices_are_none(text):
    assert chosen(text, WORDS) is None


def test_without_the_texts_the_labels_are_enough():
    assert [chosen(text) for text in ("The answer is (B).", "正解は2番です。", "ウ", "J", "10", "K", "11")] == [
        1,
        1,
        2,
        9,
        9,
        None,
        None,
    ]


def test_texts_that_are_numbers_are_told_from_labels():
    assert [chosen(text, ["2", "4", "8"]) for text in ("4", "答え：8", "(2)番", "B", "2番")] == [1, 2, 1, 1, 1]


@pytest.mark.parametrize(
    ("reference", "first", "answer", "value"),
    [
        (2, 0, "2", 1.0), (2, 0, "ウ", 1.0), (2, 0, "正解は「絵本」です。", 1.0), (3, 1, "③", 1.0), ("C", 1, "答え：ウ", 1.0), ("ｳ", 1, "C", 1.0),
        ("絵本", 1, "ウ", 1.0), ("3", 1, "絵本", 1.0), (2, 0, "3", 0.0), ("C", 1, "わかりません", 0.0), ("（Ｃ）", 1, "C", 1.0),
    ],
)  # fmt: skip
def test_the_reference_is_a_number_a_label_or_a_text(reference, first, answer, value):
    scorer = Choice(reference="label", choices=["options"], first=first)
    assert score(answer, scorer, label=reference, options=WORDS).value == value


def test_the_detail_says_what_was_chosen_and_what_is_right():
    scorer = Choice(reference="label", choices=["options"])
    assert score("答え：ア", scorer, label="ウ", options=WORDS).detail == "'世界' against '絵本'"
    assert score("アかイ", scorer, label="ウ", options=WORDS).detail == "no single choice against '絵本'"
    assert score("A", Choice(reference="label"), label="C").detail == "'A' against 'C'"


@pytest.mark.parametrize("reference", [None, "", 9, -1, True, "地図", 2.5])
def test_a_seed_without_a_right_choice_is_refused_not_scored(reference):
    with pytest.raises(Rejected, match="no_reference"):
        score("C", Choice(reference="label", choices=["options"]), label=reference, options=WORDS)


WAYS = (
    "{text}", "{kana}", "{letter}", "{number}", "（{kana}）", "{circled}", "{wide}．{text}", "{kana}：{text}", "答え：{kana}", "答えは{kana}です。", "正解は「{text}」です。",
    "正解は{number}番です。", "**答え**: {letter}", "{other}ではありません。したがって、正解は{kana}の{text}です。", "まず{other}を考えますが、違います。\n最終的な答え：{number}. {text}",
    "The answer is ({letter}).", "The correct answer is {letter}: {text}.", "よって{letter}が最も適切です。", r"\boxed{{{letter}}}", "{kana}を選びます。", "考え中…\n\n{letter}. {text}",
)  # fmt: skip


@pytest.mark.skipif(not JCQA.is_file(), reason="../shared/data is not there")
def test_real_japanese_questions_answered_in_many_ways():
    wrong: list[str] = []
    for line in JCQA.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        texts = [row[f"choice{place}"] for place in range(5)]
        for way in WAYS[row["q_id"] % 3 :: 3]:
            place = (row["q_id"] + len(way)) % 5
            answer = way.format(
                text=texts[place], other=texts[(place + 1) % 5], kana="アイウエオ"[place], letter="ABCDE"[place],
                number=place + 1, circled="①②③④⑤"[place], wide="１２３４５"[place],
            )  # fmt: skip
            if chosen(answer, texts) != place:
                wrong.append(f"{answer!r} in {texts}")
    assert wrong == []


@pytest.mark.parametrize("unit", [" ", "answer: ", "正解は"])
def test_a_long_monotonous_text_does_not_hold_the_search_for_a_choice_up(unit):
    # a search that grows with the square of the text would meet the test's own timeout
    assert chosen(f"option {unit * (300_000 // len(unit))}x\n正解は2番です。", CITIES) == 1


@pytest.mark.parametrize("text", ["ガ", "答えはギです。", "İ", "「ェ」が正しい。"])
def test_a_letter_that_labels_no_choice_makes_none(text):
    assert chosen(text) is None
    assert chosen(text, WORDS) is None
