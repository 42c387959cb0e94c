"""Whether an answer holds what its seed says it must."""

from __future__ import annotations

import pytest

from synth.errors import Rejected
from synth.types import Message, Sample
from synth.validators.mentions import Mentions

TERMS = [{"source": "latency", "target": "遅延"}, {"source": "rated current", "target": "Rated Current"}]


def checked(answer, fields, **options):
    turns = (Message(role="user", content="?"), Message(role="assistant", content=answer))
    sample = Sample(id="0", seed_id="0", parent_id="0", stage="a", draw=0, messages=turns, fields=fields)
    Mentions(**options).check(sample)


@pytest.mark.parametrize(
    ("answer", "fields", "options"),
    [
        ("遅延は rated  current によります。", {"terms": TERMS}, {"of": "terms", "key": "target"}),
        ("２０２５年４月１日時点の定めです。", {"as_of": "2025-04-01"}, {"of": "as_of"}),
        ("令和7年4月1日の時点です。", {"as_of": "2025-04-01"}, {"of": "as_of"}),
        ("As of 1 April 2025.", {"as_of": "2025-04-01"}, {"of": "as_of"}),
        ("As of April 1, 2025.", {"as_of": "2025-04-01"}, {"of": "as_of"}),
        ("消費税と住民税", {"words": ["消費税", "住民税"]}, {"of": "words"}),
        ("2025 年 4 月 1 日です。", {"as_of": "2025-04-01"}, {"of": "as_of"}),
        ("As of 1 April 2025. 3 of them.", {"as_of": "2025-04-01"}, {"of": "as_of"}),
        ("2024 5 個", {"words": ["5"]}, {"of": "words"}),
        ("平成31年4月1日の時点です。", {"as_of": "2019-04-01"}, {"of": "as_of"}),
        ("令和元年５月１日の時点です。", {"as_of": "2019-05-01"}, {"of": "as_of"}),
        ("昭和六十四年一月七日", {"as_of": "1989-01-07"}, {"of": "as_of"}),
        ("平成元年1月8日", {"as_of": "1989-01-08"}, {"of": "as_of"}),
        ("二〇二五年十二月二十五日", {"as_of": "2025-12-25"}, {"of": "as_of"}),
        ("R7.4.1現在", {"as_of": "2025-04-01"}, {"of": "as_of"}),
        ("２０２５／４／１", {"as_of": "2025-04-01"}, {"of": "as_of"}),
        ("As of April 1st, 2025, and no later.", {"as_of": "2025-04-01"}, {"of": "as_of"}),
        ("The 22nd of Mar 2025", {"as_of": "2025-03-22"}, {"of": "as_of"}),
        ("April 1, Reiwa 7", {"as_of": "2025-04-01"}, {"of": "as_of"}),
        ("1 April 2025", {"as_of": "２０２５年４月１日"}, {"of": "as_of"}),
        ("2025-04-01", {"as_of": "令和7年4月1日"}, {"of": "as_of"}),
        ("税額は22,000円です。", {"sum": "22000"}, {"of": "sum"}),
        ("２万２千円", {"sum": "22000"}, {"of": "sum"}),
        ("５個です。", {"words": ["5"]}, {"of": "words"}),
        ("期日は2025-02-30と書かれている。", {"as_of": "2025-02-30"}, {"of": "as_of"}),
        ("anything", {}, {"of": "words"}),
        ("anything", {"words": None}, {"of": "words"}),
    ],
)
def test_what_is_there_in_any_usual_form_passes(answer, fields, options):
    checked(answer, fields, **options)


@pytest.mark.parametrize(
    ("answer", "fields", "options", "missing"),
    [
        ("待ち時間は rated current によります。", {"terms": TERMS}, {"of": "terms", "key": "target"}, "'遅延'"),
        ("2024年4月1日時点の定めです。", {"as_of": "2025-04-01"}, {"of": "as_of"}, "'2025-04-01'"),
        ("As of 11 April 2025.", {"as_of": "2025-04-02"}, {"of": "as_of"}, "'2025-04-02'"),
        ("As of 11 April 2025.", {"as_of": "2025-04-01"}, {"of": "as_of"}, "'2025-04-01'"),
        ("2025/4/15の時点です。", {"as_of": "2025-04-01"}, {"of": "as_of"}, "'2025-04-01'"),
        ("１５個で2.5円です。", {"words": ["5"]}, {"of": "words"}, "'5'"),
        ("いつか", {"as_of": "2025-02-30"}, {"of": "as_of"}, "'2025-02-30'"),
        ("平成31年5月1日の時点です。", {"as_of": "2019-04-01"}, {"of": "as_of"}, "'2019-04-01'"),
        ("令和元年4月1日の時点です。", {"as_of": "2019-04-01"}, {"of": "as_of"}, "'2019-04-01'"),
        ("R7.4.10", {"as_of": "2025-04-01"}, {"of": "as_of"}, "'2025-04-01'"),
        ("税額は2,200円です。", {"sum": "22000"}, {"of": "sum"}, "'22000'"),
        ("消費税だけ", {"words": ["消費税", "住民税"]}, {"of": "words"}, "'住民税'"),
    ],
)
def test_what_is_not_is_refused_by_its_name(answer, fields, options, missing):
    with pytest.raises(Rejected, match=f"not_mentioned: {missing}"):
        checked(answer, fields, **options)
