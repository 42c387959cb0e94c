"""The answer holds what its seed says it must."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Any, Literal, cast

from pydantic import Field, JsonValue

from synth.errors import Rejected
from synth.language.text import fold, subject
from synth.types import Sample, Value

ISO = re.compile(r"\d{4}-\d{2}-\d{2}")


class Mentions(Value):
    """Refuse an answer without the texts in the field `of`: one, a list, or the member `key` of each object in a list.

    Width, case and blanks do not matter. A date such as 2025-04-01 may stand in any usual form: 2025年4月1日,
    令和7年4月1日, 1 April 2025. A seed without the field demands nothing.
    """

    kind: Literal["mentions"] = "mentions"
    of: str = Field(min_length=1)
    key: str = ""

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`not_mentioned`)."""
        text = fold(subject(sample))
        for wanted in _texts(sample.fields.get(self.of), self.key):
            if not any(_stands(fold(form).replace(" ", ""), text) for form in _forms(wanted)):
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
    try:
        day = date.fromisoformat(text) if ISO.fullmatch(text) else None
    except ValueError:  # the 30th of February
        day = None
    if day is None:
        return (text,)
    era = f"令和{day.year - 2018 if day.year > 2019 else '元'}年{day.month}月{day.day}日"
    months = (f"{day:%B}", f"{day:%b}")
    english = [form for month in months for form in (f"{day.day} {month} {day.year}", f"{month} {day.day}, {day.year}")]
    plain = (f"{day.year}年{day.month}月{day.day}日", f"{day.year}/{day.month}/{day.day}", f"{day:%Y/%m/%d}")
    return (text, *plain, *([era] if day.year >= 2019 else []), *english)
