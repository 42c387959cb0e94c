"""The words of the pages: as many in Japanese as in English, with the same places for what is filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from synth.report.words import ENGLISH, JAPANESE, words_of

PLACE = re.compile(r"\{[^}]*\}")


def said(words: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text, and where it stands."""
    members = words._asdict() if hasattr(words, "_asdict") else words
    for name, value in members.items():
        if isinstance(value, str):
            yield (*place, name), value
        else:
            yield from said(value, (*place, name))


def test_both_languages_say_the_same_things_and_none_is_empty() -> None:
    english, japanese = dict(said(ENGLISH)), dict(said(JAPANESE))
    assert english.keys() == japanese.keys()
    assert len(english) > 300
    assert [place for words in (english, japanese) for place, text in words.items() if not text.strip()] == []


def test_what_is_filled_in_has_a_place_in_both_languages() -> None:
    japanese = dict(said(JAPANESE))
    other = [place for place, text in said(ENGLISH) if len(PLACE.findall(text)) != len(PLACE.findall(japanese[place]))]
    assert other == []


def test_the_words_are_those_of_the_recipes_language_and_english_for_any_other() -> None:
    assert [words_of(code) for code in ("ja", "ja-JP", "JA")] == [JAPANESE] * 3
    assert [words_of(code) for code in ("en", "fr", "")] == [ENGLISH] * 3
