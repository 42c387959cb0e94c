"""Whether amounts come in what the readers measure and pay with."""

from __future__ import annotations

import pytest

from synth.errors import Rejected
from synth.types import Message, Sample
from synth.validators.home_units import HomeUnits


def checked(answer, readers, question="?"):
    turns = (Message(role="user", content=question), Message(role="assistant", content=answer))
    HomeUnits(readers=readers).check(
        Sample(id="0", seed_id="0", parent_id="0", stage="a", draw=0, messages=turns, fields={})
    )


@pytest.mark.parametrize(
    ("answer", "readers", "found"),
    [
        ("駅まで3マイルあります。", "ja", "3マイル"),
        ("オーブンを華氏350度にします。", "ja", "華氏"),
        ("350°Fで焼きます。", "ja", "350°F"),
        ("体重は１５０ポンドです。", "ja", "１５０ポンド"),
        ("夕食は$45でした。", "ja", "$45"),
        ("家賃は月に1,200ドルです。", "ja", "1,200ドル"),
        ("3kmの道です。そのあと2マイル歩きます。", "ja", "2マイル"),
        ("Lunch is 1,200 yen.", "en", "1,200 yen"),
        ("It costs ¥5000 to send.", "en", "¥5000"),
        ("A room of 6 tatami mats is small.", "en", "6 tatami mats"),
        ("He was born in Showa 15.", "en", "Showa 15"),
    ],
)
def test_a_foreign_amount_is_named(answer, readers, found):
    with pytest.raises(Rejected, match="foreign_units") as caught:
        checked(answer, readers)
    assert caught.value.detail == found


@pytest.mark.parametrize(
    ("answer", "readers"),
    [
        ("駅まで約5km（3マイル）あります。", "ja"),
        ("27インチの画面と、$HOMEと、`$5`と、数式$5 + x = 7$。", "ja"),
        ("1ドルは150円ほどです。", "ja"),
        ("米国の国内総生産は27兆ドルです。", "ja"),
        ("ゴルフの練習で150ヤードを打ちます。", "ja"),
        ("In Tokyo a bowl of noodles costs 900 yen.", "en"),
        ("セントラルパークへ行き、航空会社のマイルをためる。", "ja"),
        ("```sh\necho $1 5 miles\n```", "ja"),
        ("Lunch is 1,200 yen, about $8.", "en"),
        ("A room of 6 tatami mats, about 100 square feet.", "en"),
        ("He was born in Showa 15, that is 1940.", "en"),
        ("Run 5 miles and pay $3.", "en"),
    ],
)
def test_what_is_at_home_or_explained_passes(answer, readers):
    checked(answer, readers)


@pytest.mark.parametrize(
    ("question", "answer", "readers"),
    [
        ("1マイルは何フィートですか。", "5280フィートです。", "ja"),
        ("ドルの為替について教えてください。", "1ドルが動くと輸出に響きます。", "ja"),
        ("アメリカの大学の学費はいくらですか。", "年に4万ドルほどです。", "ja"),
        ("Convert this to yen.", "It is 1,200 yen.", "en"),
    ],
)
def test_a_question_about_units_may_name_them(question, answer, readers):
    checked(answer, readers, question)
