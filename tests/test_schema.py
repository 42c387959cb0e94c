"""A text becomes an object, mended only where the meaning is beyond doubt; else the cheapest next request is told."""

from __future__ import annotations

import json
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict

from synth.schema import Step, climb, read
from synth.types import Message


class Grade(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: str
    verdict: Literal["correct", "partly correct", "正しい"]
    points: Literal[1, 2, 3]


GOOD = {"reason": "理由, }", "verdict": "correct", "points": 2}
WHOLE = json.dumps(GOOD, ensure_ascii=False)

MENDED = {
    "as it is": (WHOLE, ()),
    "fence": (f"```json\n{WHOLE}\n```", ("fence",)),
    "prose": (f"評価は次のとおりです。\n{WHOLE}\n以上です。", ("prose",)),
    "trailing comma": (WHOLE.replace("2}", "2,\n}"), ("trailing_comma",)),
    "full-width signs": (
        '｛"reason"："理由, }"，"verdict"："correct"，"points"：2｝',
        ("full_width",),
    ),
    "line break in a string": (WHOLE.replace("理由, }", "理由\n, }"), ("control_character",)),
    "choice in another case": (WHOLE.replace("correct", "Correct."), ("choice:verdict",)),
    "choice in full width": (WHOLE.replace("correct", "ｃｏｒｒｅｃｔ"), ("choice:verdict",)),
    "choice with other joints": (WHOLE.replace('"correct"', '"partly_correct"'), ("choice:verdict",)),
    "Japanese choice in brackets": (WHOLE.replace('"correct"', '"「正しい」"'), ("choice:verdict",)),
    "number as text": (WHOLE.replace("2}", '"２"}'), ("choice:points",)),
    "field that nobody asked for": (WHOLE.replace("2}", '2, "confidence": 1}'), ("dropped:confidence",)),
}


@pytest.mark.parametrize(("text", "mended"), MENDED.values(), ids=MENDED)
def test_what_is_mended_has_a_name_and_strings_stay_intact(text, mended):
    found = read(Grade, text)
    assert found.value is not None
    assert found.mended == mended
    assert found.value.reason.replace("\n", "") == "理由, }"


@pytest.mark.parametrize(
    "text",
    [
        WHOLE.replace('"correct"', '"wrong"'),
        WHOLE.replace("2}", "-2}"),
        WHOLE.replace("2}", "20}"),
        WHOLE.replace("2}", '2, "points": 3}'),
        WHOLE[:-1],
        f"{WHOLE} or {WHOLE}",
        "[1, 2]",
    ],
)
def test_what_might_mean_something_else_is_not_mended(text):
    found = read(Grade, text)
    assert found.value is None
    assert found.problem


def test_only_the_failing_fields_are_asked_for_again_and_the_others_are_kept():
    bad = WHOLE.replace('"correct"', '"だいたい"')
    found = read(Grade, bad)
    assert found.wrong == ("verdict",)
    first = Step("first", [Message(role="user", content="採点")], Grade)
    step = climb(first, first, bad, found, "ja")
    assert step is not None
    assert step.rung == "fields"
    assert list(step.form.model_fields) == ["verdict"]
    assert "verdict" in step.messages[-1].content
    done = read(Grade, '{"verdict": "正しい"}', step.kept)
    assert done.value == Grade(reason="理由, }", verdict="正しい", points=2)


def test_the_ladder_goes_from_corrections_to_asking_anew_and_ends():
    first = step = Step("first", [Message(role="user", content="grade")], Grade)
    rungs = []
    while step is not None:
        rungs.append((step.rung, len(step.messages), step.fresh))
        step = climb(step, first, "no JSON", read(Grade, "no JSON"), "en")
    assert rungs == [("first", 1, 0), ("whole", 3, 0), ("whole", 5, 0), ("fresh", 1, 1), ("fresh", 1, 2)]
