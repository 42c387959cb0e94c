"""Whether a translation kept what is the same in every language."""

from __future__ import annotations

from pathlib import Path

import pytest

from synth.errors import Rejected
from synth.types import Message, Sample
from synth.validators.kept import Kept

CODE = 'Run it:\n\n```python\nfor name in names:  # each one\n    print(f"Hello, {name}", 3 // 2)\n```\n'
CODE_JA = (
    '実行してください。\n\n```python\nfor name in names:  # 一人ずつ\n    print(f"こんにちは、{name}", 3 // 2)\n```\n'
)


def checked(source, answer, parts=None):
    turns = (Message(role="user", content="?"), Message(role="assistant", content=answer))
    sample = Sample(
        id="0", seed_id="0", parent_id="0", stage="a", draw=0, messages=turns, fields={"q": source, "more": None}
    )
    (Kept(of=["q", "more"]) if parts is None else Kept(of=["q", "more"], parts=parts)).check(sample)


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        (CODE, CODE_JA),
        ("Call `os.path.join(a)` twice.", "`os.path.join(a)`を二回呼びます。"),
        ("See https://example.com/a?b=1, please.", "https://example.com/a?b=1 をご覧ください。"),
        ("**See https://example.com/a**, or <https://b.org/>.", "https://example.com/a と https://b.org/ です。"),
        ("Write to a.b@example.org.", "a.b@example.orgまでお送りください。"),
        ("Dear {user}, {{ name }} owes %d and ${total}.", "{user}様　{{ name }}さんは%d、${total}の未払いがあります。"),
        ("It costs 1,234.50 dollars for 2 million people.", "200万人分で1234.5ドルです。"),
        ("120,000 people", "十二万人"),
        ("50人で25%引き、3月5日15時から。", "Fifty people get 25% off, from 3 p.m. on March 5."),
        ("平成16年に二十人が、42人になった。", "In 2004 twenty people became forty-two."),
        ("Two of 12 eggs, half past 9, 1/2 cup, the '90s.", "卵十二個のうち二つ、九時半、半カップ、九十年代。"),
        ("He waited 2.5 hours.", "二時間半待った。"),
        ("10月に1人で", "Alone, in October"),
        ("```text\nHello there\n```", "```text\nこんにちは\n```"),
        ("", "何でもよい。"),
    ],
)
def test_what_is_said_in_the_way_of_the_other_language_passes(source, answer):
    checked(source, answer)


@pytest.mark.parametrize(
    ("source", "answer", "lost"),
    [
        (CODE, "次を実行してください。", "code: the block that begins"),
        (CODE, CODE_JA.replace("3 // 2", "3 / 2"), "code: the block that begins"),
        (CODE_JA, CODE.replace("names", "people"), "code: the block that begins"),
        (f"{CODE}\n{CODE}", CODE_JA, "code: the block that begins"),
        ("Call `os.path.join(a)`.", "`パス.結合(a)`を呼びます。", "code: `os.path.join"),
        ("See https://example.com/a.", "リンクをご覧ください。", "addresses: https://example.com/a is missing"),
        ("Dear {user},", "{利用者}様", "placeholders: {user} is missing"),
        ("残りは%d個です。", "There are some left.", "placeholders: %d is missing"),
        ("It costs 1,234.50 dollars.", "1234ドルです。", "numbers: 1,234.50 is missing"),
        ("人口は12万人です。", "The population is 12,000.", "numbers: 12万 is missing"),
        ("Fifteen, or 15, of them.", "五つです。", "numbers: 15 is missing"),
        ("円周率は3.14です。", "Pi is about 3.", "numbers: 3.14 is missing"),
    ],
)
def test_what_is_lost_is_named(source, answer, lost):
    with pytest.raises(Rejected, match="not_kept") as caught:
        checked(source, answer)
    assert lost in caught.value.detail


@pytest.mark.parametrize(
    ("source", "answer", "is_kept"),
    [
        ("It opened in 1969.", "開業は1969年です。", True),
        ("It opened in 1969.", "開業は昭和44年です。", True),
        ("It opened in 1969.", "開業は1970年です。", False),
        ("On July 20, 1969, and 2000 miles away.", "1969年7月20日、3200キロ離れた所で。", True),
        ("It weighs 1800 grams; in 2000 cases it broke.", "四ポンドほど。", True),
        ("青函トンネルは1988年に開通した。", "The tunnel opened in 1988.", True),
        ("青函トンネルは1988年に開通した。", "The tunnel opened in the eighties.", False),
    ],
)
def test_years_are_told_from_other_numbers_and_stay(source, answer, is_kept):
    if is_kept:
        checked(source, answer, ["years"])
        return
    with pytest.raises(Rejected, match="not_kept"):
        checked(source, answer, ["years"])


def test_only_the_parts_that_are_named_are_held():
    checked("See https://example.com for 250 miles.", "https://example.com で400キロ。", ["addresses"])


SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.skipif(not (SHARED / "mgsm_ja.tsv").is_file(), reason="MGSM is not in ../shared/data")
def test_of_250_questions_and_their_translations_by_people_hardly_any_is_refused_and_of_wrong_ones_most_are():
    english, japanese = (
        [line.split("\t")[0] for line in (SHARED / f"mgsm_{language}.tsv").read_text(encoding="utf-8").splitlines()]
        for language in ("en", "ja")
    )

    def refused(sources, answers):
        count = 0
        for source, answer in zip(sources, answers, strict=True):
            try:
                checked(source, answer)
            except Rejected:
                count += 1
        return count

    assert refused(english, japanese) == 1  # a number that the translation lost
    assert refused(japanese, english) == 4  # three dozen for 36, .5 hours for 30 minutes
    assert refused(english, [*japanese[1:], japanese[0]]) > 180
