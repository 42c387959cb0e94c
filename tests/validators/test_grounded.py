"""Whether an answer stands on the passages that it cites."""

from __future__ import annotations

import pytest

from synth.errors import Rejected
from synth.types import Message, Sample
from synth.validators.grounded import Grounded

EN = {
    "one": "The main hall opens at 9:30. A card costs 1,500 yen a year.",
    "two": "Books are lent for 28 days, films for 7 days. The motto is “read and give back”.",
    "asked": "What does a card cost for 2 years?",
}
JA = {
    "one": "開館は午前9時30分です。カードの年会費は1500円です。",
    "two": "貸出期間は本が28日、映画が7日です。合言葉は「読んだら返そう」です。",
    "asked": "カードの年会費はいくらですか。",
}


def checked(answer, fields, kind="factual"):
    sample = Sample(
        id="0",
        seed_id="0",
        parent_id="0",
        stage="answer",
        draw=0,
        messages=(Message(role="user", content="?"), Message(role="assistant", content=answer)),
        fields={**fields, "kind": kind},
    )
    Grounded(passages=["one", "two"], question="asked", about="kind").check(sample)


@pytest.mark.parametrize(
    ("answer", "fields", "kind"),
    [
        ("It costs 1500 yen a year [1].", EN, "factual"),
        ("The hall opens at 9:30 [1], and films are lent for 7 days [2].", EN, "multi_hop"),
        ("The motto is “Read and give  back”. [2] Books may stay for 28 days [2].", EN, "factual"),
        ("1. The hall opens at 9:30 [1].\n2. Films stay for 7 days [2].", EN, "multi_hop"),
        ("For 2 years the card is paid twice, 1,500 yen each time [1].", EN, "factual"),
        ("The passages do not say.", EN, "unanswerable"),
        ("That is not mentioned in the document; it only tells the hours [1].", EN, "unanswerable"),
        ("年会費は１５００円です［１］。", JA, "factual"),
        ("年会費は1500円で、本は28日です。[1][2] 映画は7日です。[2]", JA, "multi_hop"),
        ("It costs 1,500 yen, and films stay for 7 days. [1] [2]", EN, "multi_hop"),
        ("③ 年会費は1500円です[1]。\n④ 返すまで28日です[2]。", JA, "multi_hop"),
        ("（３）年会費は1500円です[1]。", JA, "factual"),
        ("**3. 年会費**\n1500円です[1]。", JA, "factual"),
        ("年会費は千五百円です[1]。合言葉は「読んだら返そう」です。[2]", JA, "multi_hop"),
        ("本は28日、映画は7日まで借りられます【2】。", JA, "factual"),
        ("文書には書かれていません。", JA, "unanswerable"),
        ("その点については、資料に記載がありません。", JA, "unanswerable"),
    ],
)
def test_what_the_passages_hold_passes(answer, fields, kind):
    checked(answer, fields, kind)


@pytest.mark.parametrize(
    ("answer", "fields", "kind", "reason"),
    [
        ("It costs 1,600 yen [1].", EN, "factual", "not_in_passage: '1,600'"),
        ("Films are lent for 7 days [1].", EN, "factual", r"not_in_passage: '7' does not stand in \[1\]"),
        ("The motto is “read and keep it” [2].", EN, "factual", "not_in_passage: 'read and keep it'"),
        ("It costs 1,500 yen.", EN, "factual", "no_citation"),
        ("It costs 1,500 yen [3].", EN, "factual", r"wrong_citation: there is no passage \[3\]"),
        ("The hall opens at 9:30 [1].", EN, "multi_hop", r"no_citation: two passages are needed, and only \[1\]"),
        ("The passages do not say.", EN, "factual", "declined"),
        ("It was built in 1890 [1].", EN, "unanswerable", "not_declined"),
        ("年会費は1500円で、本は28日です。[1] 映画は7日です。[2]", JA, "multi_hop", r"'28' does not stand in \[1\]"),
        ("（３）年会費は（4）円です[1]。", JA, "factual", "not_in_passage: '4'"),
        ("年会費は1800円です[1]。", JA, "factual", "not_in_passage: '1800'"),
        ("年会費は二千円です[1]。", JA, "factual", "not_in_passage: '二千'"),
        ("合言葉は「読んだら忘れよう」です[2]。", JA, "factual", "not_in_passage: '読んだら忘れよう'"),
        ("年会費は1500円です。", JA, "factual", "no_citation"),
        ("文書には書かれていません。", JA, "factual", "declined"),
        ("館長は田中さんです[1]。", JA, "unanswerable", "not_declined"),
    ],
)
def test_what_they_do_not_hold_is_refused(answer, fields, kind, reason):
    with pytest.raises(Rejected, match=reason):
        checked(answer, fields, kind)


def test_an_empty_second_passage_cannot_be_cited():
    with pytest.raises(Rejected, match="wrong_citation"):
        checked("Films are lent for 7 days [2].", {**EN, "two": ""})
