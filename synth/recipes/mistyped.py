"""What is wrong with the form of a recipe, in words: what was probably meant, and where it belongs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from synth.errors import Problem
from synth.language.near import hint
from synth.own import PLUG_INS, fields_of, given_class
from synth.patterns import lazy
from synth.recipes.yaml_places import dotted

SECRET = ("key_variable", "base_url")
"""Fields in which a key may have been typed by mistake: what they hold is never repeated."""
PLUG_IN_FIELDS = ("generator", "validators", "scorers")
NUMBERS = ("int_type", "float_type", "int_parsing", "float_parsing")
QUOTED = lazy(r"'([^']*)'")
NAMED = "a name has Latin letters, digits, `_`, `.` and `-`, begins with one of the first two, and has at most 64"
PATTERNS = {"name": NAMED, "[key]": NAMED, "language": "a language is its ISO 639 code, such as ja or en"}
"""What the patterns of fields ask for."""

Place = tuple[str | int, ...]
Node = dict[str, Any]


class Form(NamedTuple):
    """What a document may hold, as a JSON schema, what it does hold, and the folder of a user's own plug-ins."""

    schema: Node
    data: Any
    folder: Path

    def problem(self, error: dict[str, Any], at: Place) -> Problem:
        """An error of pydantic's at a place in the document."""
        loc: Place = error["loc"]
        field = str(loc[-1]) if loc else ""
        message = str(error["msg"]).removeprefix("Value error, ")
        if error["type"] == "extra_forbidden":
            message = self._no_field(field, at)
        elif error["type"] == "missing":
            message, at = f"the field {field!r} is missing", (*at, field)
        elif error["type"] == "union_tag_invalid":
            message = self._no_kind(error["ctx"], at)
        elif error["type"] == "union_tag_not_found":
            message = "the field 'kind' is missing"
        elif isinstance(error["input"], (str, int, float)) and field not in SECRET:
            message = PATTERNS.get(field, message) if error["type"] == "string_pattern_mismatch" else message
            message = f"{message} (it is {error['input']!r})" if repr(error["input"]) not in message else message
            message += _meant(error)
        return Problem(message, field=dotted(at))

    def _no_field(self, field: str, at: Place) -> str:
        """That there is no such field, with the nearest, and where one of exactly this name is."""
        nodes = self._at(at[:-1])
        known = self._own_fields(at[:-1]) or _properties(nodes)
        inner = [repr(name) for name in known if field in _properties(self._below(nodes, name))]
        levels = (at[:end] for end in range(len(at) - 2, -1, -1))
        outer = next((place for place in levels if field in _properties(self._at(place))), None)
        said = [f"there is no field {field!r} here{hint(field, known)}"]
        if inner:
            said.append(f"there is one in {' and '.join(inner[:2])}")
        elif outer is not None:
            said.append(f"it belongs to {dotted(outer) or 'the recipe itself'}")
        return "; ".join(said).replace("?; ", "? Or: ")

    def _no_kind(self, context: dict[str, Any], at: Place) -> str:
        """That there is no such kind, with the nearest, or the list of those that there are."""
        kind, known = str(context["tag"]), QUOTED.findall(str(context["expected_tags"]))
        said = f"there is no kind {kind!r} here"
        if given := given_class(kind, self.folder):
            return f"{said}; write {given!r}"
        if near := hint(kind, known):
            return said + near
        stage = at[: at.index("stages") + 2] if "stages" in at else ()
        for name in PLUG_IN_FIELDS if stage else ():
            if name not in at and kind in self._kinds((*stage, name)):
                return f"{said}; it is one of the stage's `{name}`"
        own = ", or a class of your own as file.py:Class" if any(name in at for name in PLUG_IN_FIELDS) else ""
        return f"{said}; choose one of {', '.join(known)}{own}"

    def _kinds(self, at: Place) -> list[str]:
        nodes = self._expanded(self._at(at))
        nodes = self._expanded([node["items"] for node in nodes if "items" in node]) or nodes
        return [kind for node in nodes if (kind := _kind(node))]

    def _own_fields(self, at: Place) -> list[str]:
        """The fields of a user's own plug-in that stands at a place."""
        kind = cast("Node", value).get("kind") if isinstance(value := _value(self.data, at), dict) else None
        group = next((number for number, name in enumerate(PLUG_IN_FIELDS) if name in at), None)
        return fields_of(str(kind), self.folder, PLUG_INS[group]) if kind and group is not None else []

    def _at(self, at: Place) -> list[Node]:
        """What may stand at a place of the document, by what does stand on the way there."""
        nodes = self._of_its_kind([self.schema], ())
        for number, part in enumerate(at):
            nodes = self._of_its_kind(self._below(nodes, part), at[: number + 1])
        return nodes

    def _of_its_kind(self, nodes: list[Node], at: Place) -> list[Node]:
        nodes, value = self._expanded(nodes), _value(self.data, at)
        kind = cast("Node", value).get("kind") if isinstance(value, dict) else None
        return [node for node in nodes if _kind(node) == kind] or nodes

    def _below(self, nodes: list[Node], part: str | int) -> list[Node]:
        found = [node["properties"][part] for node in nodes if part in node.get("properties", {})]
        for node in nodes if not found else ():
            others = node.get("items") if isinstance(part, int) else node.get("additionalProperties")
            found += [*node.get("patternProperties", {}).values(), *([others] if isinstance(others, dict) else [])]
        return self._expanded(found)

    def _expanded(self, nodes: Sequence[Node]) -> list[Node]:
        """The nodes with what their references and alternatives say."""
        found: list[Node] = []
        for node in nodes:
            if name := node.get("$ref"):
                found += self._expanded([self.schema["$defs"][str(name).rpartition("/")[2]]])
                continue
            found.append(node)
            for several in ("oneOf", "anyOf", "allOf"):
                found += self._expanded(node.get(several, []))
        return found


def _properties(nodes: Sequence[Node]) -> list[str]:
    return list(dict.fromkeys(name for node in nodes for name in node.get("properties", {})))


def _kind(node: Node) -> str:
    return str(node.get("properties", {}).get("kind", {}).get("const", ""))


def _value(data: Any, at: Place) -> Any:
    for part in at:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _meant(error: dict[str, Any]) -> str:
    """What was probably meant by a value."""
    given = error["input"]
    if not isinstance(given, str):
        return ""
    if error["type"] in NUMBERS:
        plain = unicodedata.normalize("NFKC", given).replace(",", "").replace("_", "").strip()
        return f"; write {plain}, without quotes" if re.fullmatch(r"-?\d+(\.\d+)?", plain, re.ASCII) else ""
    if error["type"] == "literal_error":
        return hint(given, QUOTED.findall(str(error["ctx"]["expected"])))
    return ""
