"""The words of the pages: as many in Japanese as in English, with the same places for what is filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from synth.errors import Rejected
from synth.language.text import Count
from synth.protocol.fates import FATES
from synth.report.words import ENGLISH, JAPANESE, words_of

PLACE = re.compile(r"\{[^}|]*\}")
"""One that a value goes to, and not a word that follows its count."""


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


OF_ONE = (
    "1 request by batch", "1 more character is not", "1 reply was not bought, as 1 prompt had", "1 pair was compared",
    "1 different text, each compared with each: 1 pair, of", "1 text", "1 more twin", "1 row, 1 refused", "1 more lies in",
    "(1 file)", "1 of 1 file", "1 character", "1 decision was loaded.", "1 more prompt is in",
)  # fmt: skip


def test_beside_a_count_of_one_nouns_and_verbs_are_in_the_singular() -> None:
    names = ("attempts", "replies", "prompts", "texts", "count")
    given = {name: Count(1) for name in names} | {"cost": "", "threshold": "0.7", "usual": "0.4"}
    filled = [text.format(Count(1), Count(1), **given) for _, text in said(ENGLISH) if "|" in text]
    assert len(filled) == len(OF_ONE)
    assert [text for text, of_one in zip(filled, OF_ONE, strict=True) if of_one not in text] == []


def test_every_count_before_a_noun_has_the_nouns_singular() -> None:
    """A place that is followed by a word in the plural."""
    left = [
        text for _, text in said(ENGLISH) if re.search(r"\{\w*\} (?:more |different )?(?!belongs)[a-z]+[^is]s\b", text)
    ]
    assert left == []


def test_whatever_refuses_a_sample_for_its_request_has_words_in_both_languages():
    refused = {name for name, fate in FATES.items() if fate.raises is Rejected}
    assert refused <= ENGLISH.reasons.keys() & JAPANESE.reasons.keys()
