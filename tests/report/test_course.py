from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from synth.report.course import course
from synth.report.page import write_report
from synth.report.words import ENGLISH, JAPANESE
from synth.results.manifest import Manifest
from synth.storage.pace import Pace, Part

PACE = Pace((Part(10, 0, 300, 2_000_000), Part(5, 5, 0, 0), Part(20, 0, 600, 1_000_000)), 30.0, 2)


def test_speed_and_money_are_drawn_over_the_time_in_which_the_run_asked() -> None:
    found = course(PACE, ENGLISH)
    assert found is not None
    requests, tokens, money = found.curves
    assert (requests.name, requests.most) == ("Requests a minute", "at most 40")
    assert (tokens.name, tokens.most) == ("Tokens written a second", "at most 20")
    assert (money.name, money.most) == ("Money so far", "$3.00")
    assert requests.points.split()[1:4] == ["0.0,50.0", "133.3,50.0", "133.3,75.0"]
    assert money.points.split()[-2] == "400.0,0.0"
    assert [label for _, label in found.ticks] == ["0", "45.0 s", "1 min 30 s"]


def test_what_cost_nothing_has_no_drawing_of_money_and_one_part_has_none_at_all() -> None:
    free = Pace((Part(1, 0, 5, 0), Part(2, 0, 5, 0)), 1.0, 0)
    found = course(free, JAPANESE)
    assert found is not None
    assert [curve.name for curve in found.curves] == ["1 分あたりの送信数", "1 秒あたりの出力トークン"]
    assert course(Pace((Part(1, 0, 5, 0),), 1.0, 0), ENGLISH) is None
    assert course(None, ENGLISH) is None


def test_the_page_shows_them_in_its_language(tmp_path: Path, make_manifest: Callable[..., Manifest]) -> None:
    path = tmp_path / "report.html"
    write_report(path, make_manifest(language="ja"), [], [], pace=PACE)
    text = path.read_text("utf-8")
    assert "時間の経過" in text
    assert "長く送信のなかった時間は除いています（2 回）。" in text
    assert text.count("<polygon") == 3
    write_report(path, make_manifest(), [], [])
    assert "<polygon" not in path.read_text("utf-8")
