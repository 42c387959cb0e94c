"""Reading YAML 1.2's core schema with the place of every value, and without YAML's surprises."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import yaml

from synth.errors import Problem

Place = tuple[int, int]
Loc = tuple[str | int, ...]

LARGEST_BYTES = 1_000_000
DEEPEST = 100
WHOLE = re.compile(r"[-+]?[0-9]+\Z")
REAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
SURROGATE = re.compile(r"[\ud800-\udfff]")
HALF = "half of a surrogate pair (\\ud800 to \\udfff)"


def load(text: str, file: str) -> tuple[Any, dict[Loc, Place], list[Problem]]:
    """The value of a document, the line and column of each part of it, and what is wrong with it.

    Only `true`, `false` and `null` are special words: `no` stays a text. Repeated keys, anchors and tags are refused.
    """
    places: dict[Loc, Place] = {}
    problems: list[Problem] = []
    try:
        problems += _surprises(text, file)
        node = yaml.compose(text, Loader=yaml.SafeLoader) if not problems else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        return None, places, [Problem(f"not YAML: {error.problem or error}", file, line, column)]
    except yaml.reader.ReaderError as error:
        line, column = text.count("\n", 0, error.position) + 1, error.position - text.rfind("\n", 0, error.position)
        message = (
            f'the character U+{int(error.character):04X} has no place in YAML; write "\\x07" and the like in quotes'
        )
        return None, places, [Problem(message, file, line, column)]
    value = None if node is None else _value(node, (), places, problems, file)
    return value, places, problems


def place_of(places: dict[Loc, Place], loc: Sequence[str | int]) -> tuple[Place, Loc]:
    """The deepest known place on the way to a location, and the way in the document's own terms.

    Parts that are not in the document, such as the tag of a union, are passed over.
    """
    at: Loc = ()
    for part in loc:
        if (*at, part) in places:
            at = (*at, part)
    return places.get(at, (0, 0)), at


def dotted(loc: Sequence[str | int]) -> str:
    """A location as people write it: `stages[0].name`."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _surprises(text: str, file: str) -> list[Problem]:
    found: list[Problem] = []
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        mark: Any = event.start_mark
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            message = f"it is nested more than {DEEPEST} levels deep"
            return [*found, Problem(message, file, mark.line + 1, mark.column + 1)]
        alias = isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None)
        if alias or getattr(event, "tag", None):
            what = "anchors and aliases" if alias else "tags"
            found.append(
                Problem(f"{what} are not used in recipes; write the value out", file, mark.line + 1, mark.column + 1)
            )
    return found


def _value(node: Any, at: Loc, places: dict[Loc, Place], problems: list[Problem], file: str) -> Any:
    places[at] = (node.start_mark.line + 1, node.start_mark.column + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*at, index), places, problems, file) for index, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        try:
            return _scalar(node)
        except ValueError as error:
            problems.append(Problem(str(error), file, *places[at], dotted(at)))
            return None
    values: dict[str, Any] = {}
    for key, item in node.value:
        name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
        place = (key.start_mark.line + 1, key.start_mark.column + 1)
        if name in values:
            problems.append(Problem(f"the key {name!r} is given twice", file, *place))
        if SURROGATE.search(name):
            problems.append(Problem(f"the key {name!r} holds {HALF}", file, *place))
        values[name] = _value(item, (*at, name), places, problems, file)
        places[(*at, name)] = place
    return values


def _scalar(node: Any) -> Any:
    text = str(node.value)
    if SURROGATE.search(text):
        raise ValueError(f"the text holds {HALF}")
    if node.style is not None:
        return text
    words: dict[str, Any] = {"true": True, "false": False, "null": None, "~": None, "": None}
    if text.lower() in words:
        return words[text.lower()]
    if not WHOLE.match(text) and not REAL.match(text):
        return text
    number = float(text)
    if not math.isfinite(number) or (WHOLE.match(text) and abs(number) >= 2**63):
        raise ValueError(f"the number {text[:40]} is too large; put it in quotes if it is a text")
    return int(text) if WHOLE.match(text) else number
