"""What replies say of their host's limits, as each family of hosts writes it."""

from __future__ import annotations

import pytest

from synth.admission.rate_headers import allowances, retry_after_s
from synth.types import Outcome

DATE = {"date": "Wed, 25 Nov 2026 10:00:00 GMT"}
OPENAI = {
    "x-ratelimit-limit-requests": "60",
    "x-ratelimit-remaining-requests": "59",
    "x-ratelimit-reset-requests": "1s",
    "x-ratelimit-limit-tokens": "150000",
    "x-ratelimit-remaining-tokens": "149000",
    "x-ratelimit-reset-tokens": "6m0s",
}
GROQ = {  # requests are counted by the day
    "x-ratelimit-limit-requests": "14400",
    "x-ratelimit-remaining-requests": "14370",
    "x-ratelimit-reset-requests": "3m0s",
}
ANTHROPIC = DATE | {
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "49",
    "anthropic-ratelimit-requests-reset": "2026-11-25T10:00:02Z",
    "anthropic-ratelimit-input-tokens-limit": "40000",
    "anthropic-ratelimit-input-tokens-remaining": "30000",
    "anthropic-ratelimit-input-tokens-reset": "2026-11-25T10:00:15Z",
    "anthropic-ratelimit-output-tokens-limit": "8000",
    "anthropic-ratelimit-output-tokens-remaining": "800",
    "anthropic-ratelimit-output-tokens-reset": "2026-11-25T10:00:54Z",
}
FIREWORKS = {
    "x-ratelimit-limit-tokens-prompt": "60000",
    "x-ratelimit-remaining-tokens-prompt": "59000",
    "x-ratelimit-limit-tokens-generated": "6000",
    "x-ratelimit-remaining-tokens-generated": "60",
}
TOGETHER = {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "9", "x-ratelimit-reset": "0.1"}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (OPENAI, [("requests", 60, 59, 1), ("tokens", 150000, 149000, 360)]),
        (GROQ, [("requests", 14400, 14370, 180)]),
        (ANTHROPIC, [("requests", 50, 49, 2), ("tokens", 8000, 800, 54)]),
        (FIREWORKS, [("tokens", 6000, 60, None)]),
        (TOGETHER, [("requests", 10, 9, 0.1)]),
    ],
)
def test_every_family_is_read(headers, expected):
    found = [(one.kind, one.limit, one.remaining, one.reset_s) for one in allowances(headers)]
    assert sorted(found) == sorted(expected)


def test_the_rate_is_what_was_used_by_the_time_until_it_is_back():
    [requests] = allowances(GROQ)
    assert requests.per_s() == pytest.approx(14400 / 86400)


@pytest.mark.parametrize(
    "nonsense",
    [
        {"x-ratelimit-limit-requests": "-1", "x-ratelimit-remaining-requests": "-1"},
        {"x-ratelimit-limit-requests": "0", "x-ratelimit-remaining-requests": "0"},
        {"x-ratelimit-limit-requests": "5", "x-ratelimit-remaining-requests": "9"},
        {"x-ratelimit-limit-requests": "many", "x-ratelimit-remaining-requests": "few"},
        {"x-ratelimit-limit-requests": "nan", "x-ratelimit-remaining-requests": "inf"},
        {"x-ratelimit-limit-requests": "1e-320", "x-ratelimit-remaining-requests": "0"},
        {"x-ratelimit-limit-requests": "60"},
        {},
    ],
)
def test_nonsense_is_as_good_as_nothing(nonsense):
    assert allowances(nonsense) == []


@pytest.mark.parametrize("date", ["Wed, 25 Nov 2026 10:00:00 -0000", "Wed, 25 Nov 2026 10:00:00 GMT"])
def test_a_date_that_names_no_zone_is_utc(date):
    [told] = allowances(
        {
            "date": date,
            "x-ratelimit-limit": "9",
            "x-ratelimit-remaining": "3",
            "x-ratelimit-reset": "2026-11-25T10:00:15Z",
        }
    )
    assert told.reset_s == 15
    asked = Outcome(429, b"", {"date": date, "retry-after": "Wed, 25 Nov 2026 10:00:20 GMT"})
    assert retry_after_s(asked) == 20


@pytest.mark.parametrize(
    ("reset", "seconds"), [("1795600815", 15), ("1795600815500", 15.5), ("1000000000", 0), ("0", 0)]
)
def test_a_reset_may_be_a_time_since_1970_in_seconds_or_thousandths(reset, seconds):
    headers = {"date": "Wed, 25 Nov 2026 10:00:00 GMT", "x-ratelimit-limit": "9", "x-ratelimit-remaining": "3"}
    [told] = allowances(headers | {"x-ratelimit-reset": reset})
    assert told.reset_s == seconds


@pytest.mark.parametrize("reset", ["100000000h", "99999999999999999h"])
def test_a_duration_that_is_no_time_anybody_lives_to_see_is_one_all_the_same(reset):
    [told] = allowances({"x-ratelimit-limit": "1728", "x-ratelimit-remaining": "0", "x-ratelimit-reset": reset})
    assert told.per_s() == 0.02, "as if it were a day"


@pytest.mark.parametrize("date", ["Wed, 25 Nov 2026 10:00:00 -99999999999999", "昨日", ""])
def test_a_date_that_is_none_is_as_good_as_none(date):
    assert retry_after_s(Outcome(429, b"", {"date": date, "retry-after": "Wed, 25 Nov 2026 10:00:20 GMT"})) is None


@pytest.mark.parametrize("reset", ["soon", "1764064800000", "", "2026-11-25T10:00:15"])
def test_a_reset_that_cannot_be_placed_is_not_known(reset):
    headers = {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "30"}
    [told] = allowances(headers | {"x-ratelimit-reset-requests": reset})
    assert told.reset_s is None
    assert told.per_s() == 1
