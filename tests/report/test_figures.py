from __future__ import annotations

from collections.abc import Callable

import pytest

from synth.dedupe import Summary
from synth.report.figures import bars, funnel, histograms, pairs, short, sizes, spending
from synth.report.words import ENGLISH, JAPANESE, duration
from synth.results.manifest import Manifest
from synth.storage.database import Ledger

Make = Callable[..., Manifest]


def test_the_funnel_goes_from_seeds_to_rows(make_manifest: Make) -> None:
    steps = funnel(make_manifest(), ENGLISH)
    assert [(bar.label, bar.count) for bar in steps] == [
        ("Seeds", 200),
        ("answers: drafts", 198),
        ("answers: accepted", 158),
        ("Rows", 158),
    ]
    assert [bar.percent for bar in steps] == [100, 99, 79, 79]
    assert funnel(make_manifest(), JAPANESE)[1].label == "answers: 下書き"


def test_each_step_has_what_was_paid_in_it(make_manifest: Make) -> None:
    asked = Ledger("answers", "main", "ok", 198, 1_200_000, 40_000, 90_000, 0, 0)
    scored = Ledger("answers:score", "judge", "ok", 158, 300_000, 40_000, 9_000, 0, 0)
    steps = funnel(make_manifest(ledger=(asked, scored)), ENGLISH)
    assert [bar.cost_microusd for bar in steps] == [0, 1_200_000, 300_000, 1_500_000]


def test_bars_without_counts_have_no_length() -> None:
    assert [bar.percent for bar in bars([("a", 0), ("b", 0)])] == [0, 0]
    assert bars([]) == ()


def test_few_values_get_a_bar_each_and_a_mean(make_manifest: Make) -> None:
    (figure,) = histograms(make_manifest(scores={"judge": {5.0: 1, 3.0: 3}, "none": {}}))
    assert [(bar.label, bar.count) for bar in figure.bars] == [("3", 3), ("5", 1)]
    assert (figure.rows, figure.mean) == (4, 3.5)


def test_many_values_are_gathered_in_ten_bins_that_lose_none(make_manifest: Make) -> None:
    counts = {value / 100: 1 for value in range(-50, 51)}
    (figure,) = histograms(make_manifest(scores={"margin": counts}))
    assert len(figure.bars) == 10
    assert sum(bar.count for bar in figure.bars) == 101
    assert figure.bars[0].label == "-0.5 – -0.4"


def test_spending_has_one_line_per_stage_and_teacher() -> None:
    ledger = [
        Ledger("a", "main", "ok", 10, 100, 1000, 2000, 5, 6),
        Ledger("a", "main", "rate", 3, 0, 0, 0, 0, 0),
        Ledger("a", "judge", "ok", 9, 20, 10, 20, 0, 0),
        Ledger("b", "main", "lost", 1, 7, 0, 0, 0, 0),
    ]
    lines = spending(ledger)
    assert [(line.stage, line.teacher, line.attempts, line.cost_microusd) for line in lines] == [
        ("a", "main", 13, 100),
        ("a", "judge", 9, 20),
        ("b", "main", 1, 7),
    ]
    assert lines[0].failures == (("rate", 3),)
    assert (lines[0].prompt_tokens, lines[0].completion_tokens) == (1000, 2000)


@pytest.mark.parametrize(
    ("seconds", "language", "words"),
    [
        (0.04, "en", "0.0 s"),
        (12.34, "en", "12.3 s"),
        (125, "en", "2 min 5 s"),
        (125, "ja", "2 分 5 秒"),
        (59.97, "en", "60.0 s"),
        (7384, "en", "2 h 3 min"),
        (7384, "ja", "2 時間 3 分"),
    ],
)
def test_durations_read_naturally(seconds: float, language: str, words: str) -> None:
    assert duration(seconds, language) == words


def test_pairs_become_columns_and_those_above_the_threshold_are_twins() -> None:
    counts = (0,) * 12 + (400, 1, 4) + (0,) * 5
    found = pairs(Summary(pairs=counts, threshold=0.65, sizes={}, largest=()))
    assert found is not None
    assert [(column.label, column.count, column.height, column.is_twin) for column in found.columns] == [
        ("0.60 – 0.65", 400, 100.0, False),
        ("0.65 – 0.70", 1, 5.0, True),
        ("0.70 – 0.75", 4, 10.0, True),
    ]
    assert (found.count, found.mark) == (405, 260.0)


@pytest.mark.parametrize("summary", [
    Summary(pairs=(), sizes={2: 3}, largest=()), Summary(pairs=(0,) * 20, threshold=0.6, sizes={}, largest=()),
])  # fmt: skip
def test_without_compared_pairs_there_is_no_distribution(summary: Summary) -> None:
    assert pairs(summary) is None


def test_sizes_beyond_the_eighth_are_told_together() -> None:
    summary = Summary(pairs=(), sizes={size: 30 - size for size in range(2, 14)}, largest=())
    told = [(bar.label, bar.count) for bar in sizes(summary, JAPANESE)]
    assert (told[0], told[-1], len(told)) == (("2 件", 28), ("9 件以上", 21 + 20 + 19 + 18 + 17), 8)


@pytest.mark.parametrize(
    ("value", "shown"), [(1049.4, "1,050"), (12345, "12,300"), (0.98765, "0.988"), (4, "4"), (0, "0")]
)
def test_numbers_are_written_out_without_an_exponent(value: float, shown: str) -> None:
    assert short(value) == shown


def test_bins_of_long_answers_are_labelled_in_whole_words(make_manifest: Make) -> None:
    (figure,) = histograms(make_manifest(scores={"length": {1000.0 + 100 * place: 1 for place in range(20)}}))
    assert figure.bars[0].label == "1,000 – 1,190"
