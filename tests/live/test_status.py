"""How far a run is, in words."""

from __future__ import annotations

from dataclasses import replace

from synth.live.status import Status
from synth.report.words import ENGLISH, JAPANESE


def test_a_status_is_one_line_and_a_small_page_in_the_recipes_language():
    status = Status("名前\x1b[31m", seeds_done=3, seeds=12, rows=2, rejected={"refusal": 1}, words=JAPANESE, left_s=200)
    assert str(status) == "名前<U+001B>[31m：シード 3/12、2 行、不採用 1、送信中 0、$0.0000、0 秒、残り約 3 分"
    assert str(replace(status, words=ENGLISH)) == (
        "名前<U+001B>[31m: 3 of 12 seeds, 2 rows, 1 refused, 0 in flight, $0.0000, 0 s, about 3 min left"
    )
    one = replace(status, seeds_done=0, seeds=1, rows=1, words=ENGLISH, left_s=None)
    assert str(one) == "名前<U+001B>[31m: 0 of 1 seed, 1 row, 1 refused, 0 in flight, $0.0000, 0 s"
    assert "0 of ? seeds, 1 row" in str(replace(one, seeds=None))
    assert "シード 0/1、1 行" in str(replace(one, words=JAPANESE))
    ended = replace(status, state="interrupted", message="止めました。", of="prompts")
    assert str(ended) == "名前<U+001B>[31m 中断：プロンプト 3/12、2 行、不採用 1、$0.0000、0 秒。止めました。"
    page = status._repr_html_()
    assert 'lang="ja"' in page
    assert "実行中" in page
    assert f"<td>{JAPANESE.reasons['refusal']}</td><td>1</td>" in page
    assert "width:25.0%" in page
    assert "\x1b" not in page


def test_the_line_says_which_server_is_gone_and_how_long_it_is_waited_for():
    gone = {"先生": (65.0, 21_535.0)}
    told = str(Status("作業", silent=gone))
    assert "先生 has been out of reach for 65 s and is waited for 6.0 h more" in told
    assert "先生 に 65 秒 つながらず、あと 6.0 時間 待ちます" in str(Status("作業", silent=gone, words=JAPANESE))
