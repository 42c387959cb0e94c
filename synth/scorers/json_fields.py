"""The fields of a JSON answer against those that its seed expects."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any, ClassVar, Literal, cast

import orjson
from pydantic import JsonValue

from synth.ask import Ask
from synth.errors import Rejected
from synth.language import numerals
from synth.language.text import fold
from synth.patterns import lazy
from synth.types import Sample, Score, Value

BLOCK = lazy(r"```[a-zA-Z]*[^\S\n]*\n(.*?)```", re.DOTALL)
SHOWN = 3
MISSING = object()


class JsonFields(Value):
    """The share of expected fields that a JSON answer gives, from 0 to 1, with the first that differ.

    The field `reference` holds the expected object, or its JSON as text; an answer may hold more than that. Nested
    fields count one by one (`maker.address.city`, `items[0].price`). Numbers compare as numbers, also where one is
    written as a text (`"1,200円"`, 「三千」); texts compare after NFKC, case and blanks are folded.
    """

    template_values: ClassVar[dict[str, JsonValue]] = {}

    kind: Literal["json_fields"] = "json_fields"
    name: str = "json_fields"
    reference: str

    def template_files(self) -> tuple[str, ...]:
        """It renders none."""
        return ()

    async def score(self, sample: Sample, ask: Ask) -> Score:  # noqa: ARG002 (the scorers' common shape)
        """Compare; raises Rejected(`no_reference`) when the seed expects nothing, or no JSON."""
        expected = dict(_leaves(_expected(sample.fields.get(self.reference), self.reference)))
        answer = found_json(sample.answer())
        if answer is None:
            return Score(name=self.name, value=0.0, detail="no JSON in the answer")
        given = dict(_leaves(answer))
        wrong = [path for path, value in expected.items() if not same_value(given.get(path, MISSING), value)]
        details = [
            f"{path}: {_shown(given.get(path, MISSING))}, not {_shown(expected[path])}" for path in wrong[:SHOWN]
        ]
        if len(wrong) > SHOWN:
            details.append(f"{len(wrong) - SHOWN} more")
        return Score(name=self.name, value=1 - len(wrong) / len(expected), detail="; ".join(details) or "all fields")


def found_json(text: str) -> Any:
    """The object or list in an answer: the whole text, the last fenced block, or what stands between the outermost
    brackets; None when there is none."""
    blocks = [match[1] for match in BLOCK.finditer(text)]
    opening = re.search(r"[{\[]", text)
    closing = max(text.rfind("}"), text.rfind("]"))
    inner = text[opening.start() : closing + 1] if opening else ""
    for part in (text.lstrip("\ufeff"), *reversed(blocks), inner):
        try:
            value = orjson.loads(part)
        except orjson.JSONDecodeError:
            continue
        if isinstance(value, (dict, list)):
            return cast("Any", value)
    return None


def same_value(given: object, expected: JsonValue) -> bool:
    """Whether two values that hold no others say the same."""
    if isinstance(given, bool) or isinstance(expected, bool) or given is None or expected is None:
        return given is expected
    if isinstance(given, str) and isinstance(expected, str):
        return fold(given) == fold(expected)
    if isinstance(given, (dict, list)) or isinstance(expected, (dict, list)):
        return given == expected  # both empty: others were taken apart
    one, other = _number(given), _number(expected)
    return one is not None and one == other


def _number(value: object) -> Any:
    if isinstance(value, str):
        text = unicodedata.normalize("NFKC", value).strip()
        return numerals.number(text)
    return numerals.number(repr(value)) if isinstance(value, (int, float)) else None


def _leaves(value: JsonValue) -> Iterator[tuple[str, JsonValue]]:
    """Every value that holds no others, with its path, in order; however deep a model nested them."""
    waiting = [("", value)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict) and value:
            waiting += [(f"{path}.{name}" if path else name, one) for name, one in reversed(value.items())]
        elif isinstance(value, list) and value:
            waiting += [(f"{path}[{place}]", one) for place, one in reversed(list(enumerate(value)))]
        else:
            yield path, value


def _expected(value: JsonValue, name: str) -> JsonValue:
    if isinstance(value, str):
        try:
            value = cast("JsonValue", orjson.loads(value))
        except orjson.JSONDecodeError as error:
            raise Rejected("no_reference", f"the field {name!r} is not JSON ({error})") from None
    if not isinstance(value, (dict, list)) or not value:
        raise Rejected("no_reference", f"the field {name!r} holds no object or list to compare with")
    return value


def _shown(value: object) -> str:
    return "missing" if value is MISSING else orjson.dumps(value).decode()[:80]
