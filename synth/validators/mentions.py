"""The answer holds what its seed says it must."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Literal, cast

from pydantic import Field, JsonValue

from synth.errors import Rejected
from synth.language.dates import day_of, ways_to_write
from synth.language.numerals import NUMBER, plain, value_of
from synth.language.text import fold, subject
from synth.patterns import lazy
from synth.types import Sample, Value

A_NUMBER = lazy(r"\d[\d,]*(?:\.\d+)?")


class Mentions(Value):
    """Refuse an answer without the texts in the field `of`: one, a list, or the member `key` of each object in a list.

    Width, case and blanks do not matter. A date such as 2025-04-01 may stand in any usual form: 2025年4月1日,
    令和七年四月一日, R7.4.1, 2025/4/1, 1 April 2025; and a number in any: 22000 as 22,000 or 2万2千. A seed without the
    field demands nothing.
    """

    kind: Literal["mentions"] = "mentions"
    of: str = Field(min_length=1)
    key: str = ""

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`not_mentioned`)."""
        text = fold(subject(sample))
        for wanted in _texts(sample.fields.get(self.of), self.key):
            if any(_stands(fold(form).replace(" ", ""), text) for form in _forms(wanted)):
                continue
            if not (A_NUMBER.fullmatch(fold(wanted)) and _amounts(wanted) <= _amounts(subject(sample))):
                raise Rejected("not_mentioned", f"{wanted!r} does not stand in it")


def _texts(value: JsonValue, key: str) -> Iterator[str]:
    for one in value if isinstance(value, list) else [value]:
        text: Any = cast("dict[str, JsonValue]", one).get(key) if key and isinstance(one, dict) else one
        if text not in (None, ""):
            yield str(text)


def _stands(form: str, text: str) -> bool:
    """Whether a form stands in a text, with blanks anywhere, and not as a part of a longer number."""
    before = r"(?<!\d)(?<!\d\.)" if form[:1].isdigit() else ""
    after = r"(?!\d|\.\d)" if form[-1:].isdigit() else ""
    return re.search(before + r"\s?".join(map(re.escape, form)) + after, text) is not None


def _forms(text: str) -> tuple[str, ...]:
    """A text as it may be written: dates in several ways."""
    day = day_of(text)
    return (text,) if day is None else (text, *ways_to_write(day))


def _amounts(text: str) -> set[Fraction | None]:
    """The values of the numbers in a text; none for one that is more than a number."""
    return {value_of(found) for found in NUMBER.finditer(plain(text))}
