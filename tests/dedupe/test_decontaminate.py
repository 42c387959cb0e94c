"""Benchmark items in other texts: found in whatever width, spacing and numbers, in English and Japanese."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from synth.dedupe.decontaminate import Benchmarks, Item

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
EN = [
    "A baker fills 14 trays with 6 rolls each before noon and sells all but nine of them. How many rolls were sold?",
    "Priya walks three kilometres to the library, borrows twelve books and returns by bus. How far did she walk in total?",
    "The old lighthouse keeper counts 48 ships on Monday and half as many on Tuesday. How many ships did he count?",
]
JA = [
    "パン屋さんは午前中に14枚の天板へロールパンを6個ずつ並べ、9個を残してすべて売りました。売れたロールパンは何個ですか？",
    "プリヤは図書館まで三キロ歩き、本を十二冊借りて、帰りはバスに乗りました。歩いた距離は合計で何キロですか？",
    "灯台守は月曜日に48隻の船を数え、火曜日にはその半分の船を数えました。二日間で何隻の船を数えましたか？",
]
FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)} | {0x20: 0x3000}


def index(*texts):
    return Benchmarks(Item("bench.tsv", row, text) for row, text in enumerate(texts, 1))


BOTH = index(*EN, *JA)


@pytest.mark.parametrize(
    ("text", "row", "how"),
    [
        (EN[0], 1, "whole"),
        (EN[0].replace(" ", "\n  "), 1, "whole"),
        (EN[0].replace(" ", ""), 1, "whole"),
        (EN[0].upper().translate(FULL_WIDTH), 1, "whole"),
        (EN[0].replace("14", "25").replace("6", "8").replace("nine", "four"), 1, "ngram"),
        (EN[0].replace("before noon", "in the morning").replace("sells", "gives away"), 1, "ngram"),
        ("The baker fills 14 trays with 6 buns each before noon and sells all except nine of them. How many buns were sold?", 1, "near"),
        (f"Solve this.\n\n{EN[2]}\n\nThink step by step, then answer with a number.", 3, "ngram"),
        (JA[0], 4, "whole"),
        (" ".join(JA[0]), 4, "whole"),
        (JA[0].replace("パン", "ﾊﾟﾝ").replace("14", "１４"), 4, "whole"),
        (JA[0].replace("14", "25").replace("6個", "八個").replace("9個", "十二個"), 4, "ngram"),
        (JA[1].replace("三キロ", "３キロ").replace("十二冊", "12冊"), 5, "ngram"),
        (JA[1].replace("借りて", "返して").replace("合計で", "全部で"), 5, "ngram"),
        ("灯台守が月曜日に48隻の船を見て、火曜日にはその半数の船を数えました。二日で何隻の船を数えましたか？", 6, "near"),
        (f"次の問題をPythonで解いてください。\n```python\nprint(1)\n```\n{JA[2]}途中の式も書くこと。", 6, "ngram"),
    ],
)  # fmt: skip
def test_an_item_is_found_however_it_is_written(text, row, how):
    hit = BOTH.find(text)
    assert hit is not None
    assert (hit.item.row, hit.how) == (row, how)
    assert hit.item.id in str(hit)
    assert hit.pair()["text"] == hit.item.text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "？！",
        "How many rolls were sold?",
        "A farmer fills 14 crates with 6 melons each and drops two of them. How many melons are left over?",
        "灯台守の仕事について、二日間の予定表を日本語で書いてください。",
        "パン屋さんは月曜日に店を開け、火曜日には休みます。水曜日は何時に開きますか？",
        "合計で何個ですか？",
    ],
)
def test_what_only_sounds_alike_is_not_flagged(text):
    assert BOTH.find(text) is None


def test_a_short_item_is_found_as_a_whole_text_line_or_sentence_and_not_within_one():
    short = index("日本で一番高い山は？", "Who wrote Hamlet?", *EN)
    for text in (
        "日本で1番高い山は",
        "日本で一番高い山は？",
        "問題です。日本で一番高い山は？答えは富士山です。",
        "- ｗｈｏ wrote hamlet\n- Who wrote Emma?",
    ):
        hit = short.find(text)
        assert (hit is None) == (text == "日本で1番高い山は")  # with another way of writing it is not the whole item
        assert hit is None or hit.how == "whole"
    assert short.find("日本で一番高い山はどこにあるか、その理由も教えてください。") is None
    assert short.find("Tell me who wrote Hamlet and why it matters.") is None


def test_what_cannot_be_indexed_is_counted():
    (record,) = index(*EN, "何色？", "……", "？？").record({"bench.tsv": 5})
    assert (record.items, record.ngrams, record.whole, record.unindexed, record.hits) == (6, 3, 1, 2, 5)
    assert "2 (33.3%) not at all" in str(record)


def test_words_that_many_items_share_find_none_of_them():
    lead = "Answer the following multiple choice question about world history with a single letter: "
    many = index(*(lead + name for name in ("Rome", "Troy", "Kyoto", "Cairo", "Lima", "Oslo", "Delhi")))
    assert many.find(lead + "Paris") is None
    assert many.find(lead + "Kyoto").item.row == 3


def test_a_long_text_of_scattered_words_is_no_item():
    words = EN[0].split()
    filler = " the committee discussed the budget for the coming year at some length and without haste "
    scattered = filler.join(" ".join(words[start : start + 3]) for start in range(0, len(words), 3))
    assert BOTH.find(scattered) is None


def test_mgsm_is_found_among_other_peoples_texts_and_nothing_else_is():
    if not SHARED.is_dir():
        pytest.skip("the public sets in ../shared/data are absent")
    spec = importlib.util.spec_from_file_location("decontamination", ROOT / "tests" / "bench" / "decontamination.py")
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    for language in ("en", "ja"):
        found, false_alarms, texts = bench.measured(SHARED, language, each=4)
        assert {name: share for name, share in found.items() if share < 0.99} == {}
        assert false_alarms <= 0.001 * texts
