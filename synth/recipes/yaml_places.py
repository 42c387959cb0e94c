"""Reading YAML 1.2's core schema with the place of every value, and without YAML's surprises."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.resolver import Resolver

from synth.errors import Problem
from synth.patterns import lazy
from synth.recipes import look_alikes

Place = tuple[int, int]
Loc = tuple[str | int, ...]

LARGEST_BYTES = 1_000_000
DEEPEST = 100
WHOLE = lazy(r"[-+]?[0-9]+\Z")
REAL = lazy(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
SURROGATE = lazy(r"[\ud800-\udfff]")
HALF = "half of a surrogate pair (\\ud800 to \\udfff)"


def load(text: str, file: str) -> tuple[Any, dict[Loc, Place], list[Problem]]:
    """The value of a document, the line and column of each part of it, and what is wrong with it.

    Only `true`, `false` and `null` are special words: `no` stays a text. Repeated keys, anchors and tags are refused.
    """
    places: dict[Loc, Place] = {}
    problems: list[Problem] = []
    try:
        events, problems = _read(text, file)
        node: Any = _Nodes(events).get_single_node() if not problems else None
    except yaml.MarkedYAMLError as error:
        return None, places, [_no_yaml(error, text, file)]
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


def _no_yaml(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    """Why a text is no YAML: a sign that only looks like one of YAML's, or what its reader says."""
    mark, before = error.problem_mark, error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    began = before.line + 1 if before else line
    looked_at = (line, line - 1, began)
    found = look_alikes.suspect(text, (began, *looked_at) if "scanning" in (error.context or "") else looked_at)
    if found is not None:
        return Problem(found[2], file, *found[:2])
    opened = _open_quote(text, line)
    told = f"; the quote that opens on line {opened} closes here" if opened else ""
    return Problem(f"not YAML: {error.problem or error}{told}", file, line, column)


def _open_quote(text: str, line: int) -> int:
    """The line on which a text in quotes begins that ends on this one, and that may lack its own quote; else 0."""
    try:
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            begin, end = token.start_mark.line + 1, token.end_mark.line + 1
            if isinstance(token, yaml.ScalarToken) and token.style in ("'", '"') and begin < end == line:
                return begin
    except yaml.MarkedYAMLError:
        pass
    return 0


class _Nodes(Composer, Resolver):
    """Nodes of events that were read already: reading is what takes the time."""

    def __init__(self, events: Iterable[Any]) -> None:
        Composer.__init__(self)
        Resolver.__init__(self)
        self._events = deque(events)

    def check_event(self, *choices: type) -> bool:
        return isinstance(self._events[0], choices)

    def peek_event(self) -> Any:
        return self._events[0]

    def get_event(self) -> Any:
        return self._events.popleft()


def _read(text: str, file: str) -> tuple[list[Any], list[Problem]]:
    """The events of a document, and what of YAML's surprises is among them."""
    events: list[Any] = []
    found: list[Problem] = []
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        events.append(event)
        mark: Any = event.start_mark
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            message = f"it is nested more than {DEEPEST} levels deep"
            return events, [*found, Problem(message, file, mark.line + 1, mark.column + 1)]
        alias = isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None)
        if alias or getattr(event, "tag", None):
            what = "anchors and aliases" if alias else "tags"
            found.append(
                Problem(f"{what} are not used in recipes; write the value out", file, mark.line + 1, mark.column + 1)
            )
    return events, found


def _value(node: Any, at: Loc, places: dict[Loc, Place], problems: list[Problem], file: str) -> Any:
    places[at] = (node.start_mark.line + 1, node.start_mark.column + 1)
    if isinstance(node, yaml.SequenceNode):
        problems += [one for item in node.value if (one := _look_alike(item, file, in_list=bool(node.flow_style)))]
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
        problems += [one for one in (_look_alike(key, file, is_key=True), _look_alike(item, file)) if one]
        if name in values:
            problems.append(Problem(f"the key {name!r} is given twice", file, *place))
        if SURROGATE.search(name):
            problems.append(Problem(f"the key {name!r} holds {HALF}", file, *place))
        values[name] = _value(item, (*at, name), places, problems, file)
        places[(*at, name)] = place
    return values


def _look_alike(node: Any, file: str, *, in_list: bool = False, is_key: bool = False) -> Problem | None:
    """A text without quotes that holds what was probably meant as a sign of YAML's."""
    if not isinstance(node, yaml.ScalarNode) or node.style is not None:
        return None
    text, mark = str(node.value), node.start_mark
    sign = look_alikes.in_plain(text, in_list=in_list, is_key=is_key)
    column = mark.column + 1 + text.find(sign)
    return Problem(look_alikes.told(sign, text, is_text=not is_key), file, mark.line + 1, column) if sign else None


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
