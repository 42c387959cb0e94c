from __future__ import annotations

import pytest

from synth.report.texts import segments, shown, visible


def test_markup_is_escaped() -> None:
    assert visible("</script><b a=\"1\" b='2'>&amp;") == (
        "&lt;/script&gt;&lt;b a=&#34;1&#34; b=&#39;2&#39;&gt;&amp;amp;"
    )


@pytest.mark.parametrize(
    "character", ["\x00", "\x1b", "\u200b", "\u202e", "\u2066", "\ufeff", "\u2028", "\x85", "\ud800"]
)
def test_what_cannot_be_seen_is_shown_by_its_code_point(character: str) -> None:
    assert visible(f"あ{character}<") == f'あ<span class="unseen">U+{ord(character):04X}</span>&lt;'


@pytest.mark.parametrize("text", ["東京　タワー\n\tｶﾞ", "👩\u200d👧", "می\u200cخواهم", "e\u0301", "é"])
def test_ordinary_text_of_any_script_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


def test_fenced_code_is_set_apart_with_its_spaces() -> None:
    found = segments("次のとおりです。\n\n```python\ndef f():\n    return '<あ>'\n```\n\n以上です。")
    assert [(part.is_code, str(part.text)) for part in found] == [
        (False, "次のとおりです。"),
        (True, "def f():\n    return &#39;&lt;あ&gt;&#39;"),
        (False, "以上です。"),
    ]
    assert found[1].language == "python"


def test_a_longer_fence_holds_a_shorter_one() -> None:
    (code,) = segments("````md\n```\nx\n```\n````")
    assert code.is_code
    assert code.text == "```\nx\n```"


def test_a_fence_that_is_never_closed_stays_prose() -> None:
    (prose,) = segments("```python\nprint(1)")
    assert not prose.is_code
    assert prose.text == "```python\nprint(1)"


def test_an_empty_text_has_no_segments() -> None:
    assert segments("") == ()


def test_a_long_text_is_cut_and_says_how_much_is_missing() -> None:
    cut = shown("長い" * 100, 150)
    assert cut.segments[0].text == "長い" * 75
    assert cut.left_out == 50
