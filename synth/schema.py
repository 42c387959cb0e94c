"""Structured output: how a schema is asked for, how a text becomes a pydantic model, and what to ask when it does not.

The rungs of the ladder, cheapest first: read as it is, mend locally (every mending has a name that the row keeps), ask
for the failing fields only, ask for the whole again, ask anew, ask another teacher.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Generic, Literal, NamedTuple, TypeVar, cast

import orjson
from pydantic import BaseModel, JsonValue, ValidationError, create_model

from synth.patterns import lazy
from synth.types import Message

M = TypeVar("M", bound=BaseModel)

CORRECTIONS = 2
ASKED_ANEW = 2
"""How often the same is asked again without showing the answers that did not fit, when corrections were of no use."""
FENCE = lazy(r"\A[\ufeff\s]*+```[a-zA-Z]*+")
BY_WORDS = {
    "en": "Answer with one JSON object only, without any other text. It must fit this JSON schema:\n{schema}",
    "ja": "JSONオブジェクトを一つだけ出力し、ほかは書かないでください。次のJSONスキーマに従ってください。\n{schema}",
}
AGAIN = {
    "en": "That answer could not be used: {error}\nSend the whole corrected JSON object again, and nothing else.",
    "ja": "その回答は使えませんでした: {error}\n正しいJSONオブジェクト全体だけを、もう一度送ってください。",
}
FIELDS_AGAIN = {
    "en": "These parts could not be used: {error}\nSend one JSON object that holds only {names}, corrected.",
    "ja": "次の部分が使えませんでした: {error}\n{names}だけを正しく書いたJSONオブジェクトを一つ送ってください。",
}
EXTRACT = {
    "en": "Put what the following answer says into one JSON object. Add nothing that it does not say.\n\n{text}",
    "ja": "次の回答の内容を一つのJSONオブジェクトにまとめてください。ないことは加えないでください。\n\n{text}",
}
FULL_WIDTH = 2
CONTROL = lazy(r"[\x00-\x1f]")
# a string; else a comma before a bracket, or what stands for an ASCII sign where a Japanese keyboard was left on
OUTSIDE = lazy(r'"(?:[^"\\]|\\.)*+(?:"|\Z)|(,)(?=\s*[}\]])|([｛｝［］：，])', re.DOTALL)


@lru_cache(maxsize=64)  # making one takes a millisecond, and every judgement asks with the same
def strict_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a model as strict servers want it: closed objects, every property required. Not to be changed:
    all requests share it."""
    return cast("dict[str, Any]", _close(model.model_json_schema()))


def response_format(
    model: type[BaseModel], how: Literal["json_schema", "json_object", "prompt"]
) -> Mapping[str, JsonValue] | None:
    """The `response_format` field of a request; None where words must do."""
    if how == "json_schema":
        named = {"name": model.__name__.strip("_"), "strict": True, "schema": strict_schema(model)}
        return {"type": "json_schema", "json_schema": cast("JsonValue", named)}
    return {"type": "json_object"} if how == "json_object" else None


def with_words(messages: Sequence[Message], model: type[BaseModel], language: str) -> tuple[Message, ...]:
    """The messages with the schema spelled out at the end, for servers that do not enforce one."""
    schema = orjson.dumps(strict_schema(model)).decode()
    words = BY_WORDS.get(language, BY_WORDS["en"]).format(schema=schema)
    last = messages[-1]
    return (*messages[:-1], replace(last, content=f"{last.content}\n\n{words}"))


class Reading(NamedTuple, Generic[M]):
    """What was found in a text."""

    value: M | None = None
    mended: tuple[str, ...] = ()
    """What had to be mended, by name: `fence`, `prose`, `trailing_comma`, `full_width`, `control_character`,
    `choice:FIELD`, `dropped:FIELD`."""
    problem: str = ""
    """One sentence that the teacher can act on; empty when a value was found."""
    sound: Mapping[str, Any] = {}
    """The fields that stand, when others do not."""
    wrong: tuple[str, ...] = ()
    """The fields to ask for again; empty when all of it is."""


class Step(NamedTuple):
    """One request for an object."""

    rung: str
    """`first`, `fields`, `whole`, `fresh`, or `fallback`; `free` for what another teacher puts into the schema."""
    messages: Sequence[Message]
    form: type[BaseModel]
    """What its answer has to look like: the model, or its failing fields."""
    kept: Mapping[str, Any] = {}
    """What the answer is to be completed with."""
    place: int = 0
    fresh: int = 0
    """Which of the replies to the same messages is wanted."""


def climb(step: Step, first: Step, text: str, found: Reading[Any], language: str) -> Step | None:
    """What to ask after an answer that did not fit; None at the ladder's end."""
    place = step.place + 1
    if place > CORRECTIONS:
        fresh = place - CORRECTIONS
        return None if fresh > ASKED_ANEW else first._replace(rung="fresh", place=place, fresh=fresh)
    shown = (*step.messages, Message(role="assistant", content=text))
    if found.wrong and place == 1:
        names = ", ".join(found.wrong)
        words = FIELDS_AGAIN.get(language, FIELDS_AGAIN["en"]).format(error=found.problem, names=names)
        fields = {name: (field.annotation, field) for name, field in first.form.model_fields.items()}
        form: type[BaseModel] = create_model(first.form.__name__, **{name: fields[name] for name in found.wrong})  # pyright: ignore[reportCallIssue, reportArgumentType, reportUnknownVariableType]
        return Step("fields", (*shown, Message(role="user", content=words)), form, found.sound, place)
    words = AGAIN.get(language, AGAIN["en"]).format(error=found.problem)
    return first._replace(rung="whole", messages=(*shown, Message(role="user", content=words)), place=place)


def words_again(language: str) -> tuple[str, ...]:
    """The words, with their gaps, in which an object is asked for again."""
    return FIELDS_AGAIN.get(language, FIELDS_AGAIN["en"]), AGAIN.get(language, AGAIN["en"])


def extraction(text: str, language: str) -> tuple[Message, ...]:
    """The prompt that has an answer in free text put into a schema."""
    return (Message(role="user", content=EXTRACT.get(language, EXTRACT["en"]).format(text=text)),)


def read(model: type[M], text: str, kept: Mapping[str, Any] | None = None) -> Reading[M]:
    """The object in a text, mended where the meaning is beyond doubt; `kept` are fields that are known already.

    An object in which two values stand under one name is never mended: nobody knows which is meant.
    """
    mended: list[str] = []
    try:
        value = _loads(text, mended)
    except ValueError as error:
        return Reading(problem=str(error))
    if kept and isinstance(value, dict):
        value = {**cast("dict[str, Any]", value), **kept}
    try:
        return Reading(model.model_validate(value), tuple(mended))
    except ValidationError as error:
        problems = error.errors()
    schema = model.model_json_schema()
    for one in problems:
        if isinstance(value, dict):
            _mend(cast("dict[str, Any]", value), one["loc"], one["type"], schema, mended)
    try:
        return Reading(model.model_validate(value), tuple(mended))
    except ValidationError as error:
        return _misfit(model, value, error.errors())


def _misfit(model: type[M], value: Any, problems: Iterable[Any]) -> Reading[M]:
    """What does not fit, and which fields stand."""
    found = [f"{'.'.join(map(str, one['loc'])) or 'the object'}: {one['msg']}" for one in problems][:5]
    failing = {str(one["loc"][0]) if one["loc"] else "" for one in problems}
    fields = model.model_fields
    sound: dict[str, Any] = {}
    if isinstance(value, dict) and failing <= fields.keys():
        every = cast("dict[str, Any]", value)
        sound = {name: every[name] for name in every.keys() & fields.keys() if name not in failing}
    return Reading(
        problem="; ".join(found), sound=sound, wrong=tuple(name for name in fields if name in failing) if sound else ()
    )


def fenced(text: str) -> str | None:
    """What stands in a text that is one code fence; None when it is not."""
    begun, text = FENCE.match(text), text.rstrip()
    whole = begun is not None and text.endswith("```") and begun.end() <= len(text) - 3
    return text[begun.end() : -3].strip() if begun and whole else None


def _loads(text: str, mended: list[str]) -> Any:
    """The JSON value of a text; adds what had to be mended. Raises ValueError with a sentence."""
    inner = text.lstrip("\ufeff")
    try:
        return _strictly(inner)
    except orjson.JSONDecodeError as error:
        problem = f"it is not valid JSON ({error})"
    if (inside := fenced(text)) is not None:
        inner = inside
        mended.append("fence")
    elif "{" in inner.replace("｛", "{"):
        begin = min(place for sign in "{｛" if (place := inner.find(sign)) >= 0)
        end = max(inner.rfind("}"), inner.rfind("｝")) + 1
        if end > begin and (inner[:begin].strip() or inner[end:].strip()):
            inner = inner[begin:end]
            mended.append("prose")
    try:
        return _strictly(OUTSIDE.sub(lambda part: _plain(part, mended), inner))
    except orjson.JSONDecodeError:
        raise ValueError(problem) from None


def _plain(part: re.Match[str], mended: list[str]) -> str:
    """The sign that was meant; a string stays as it is, but for line breaks and the like, which JSON wants escaped."""
    name, plain = "trailing_comma", ""
    if part.lastindex == FULL_WIDTH:
        name, plain = "full_width", unicodedata.normalize("NFKC", part[0])
    elif part.lastindex is None:
        name, plain = "control_character", CONTROL.sub(lambda sign: f"\\u{ord(sign[0]):04x}", part[0])
    if plain != part[0] and name not in mended:
        mended.append(name)
    return plain


def _strictly(text: str) -> Any:
    """Raises orjson.JSONDecodeError, or another ValueError when the value is no good though it is JSON."""
    try:
        value = orjson.loads(text)  # which is strict, but takes the last of two values under one name
        json.loads(text, object_pairs_hook=_unambiguous)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def _mend(
    value: dict[str, Any], loc: Sequence[str | int], kind: str, schema: dict[str, Any], mended: list[str]
) -> None:
    """Mend one misfit in place: a choice that differs in case, width or blanks, or a field that nobody asked for."""
    part, at = cast("Any", value), schema
    for step in loc[:-1]:
        part, at = _member(part, step), _inside(at, step, schema)
    last = loc[-1] if loc else ""
    held, name = _member(part, last), ".".join(map(str, loc))
    if kind == "extra_forbidden" and held is not None:
        del part[last]
        mended.append(f"dropped:{name}")
    elif kind in ("literal_error", "enum") and held is not None:
        at = _inside(at, last, schema)
        choices = [at["const"]] if "const" in at else at.get("enum", [])
        meant = [choice for choice in choices if _loose(choice) == _loose(held)]
        if len(meant) == 1:
            part[last] = meant[0]
            mended.append(f"choice:{name}")


def _member(part: Any, step: str | int) -> Any:
    """What an object or list holds there; None where it holds nothing: names of a union's members are no keys."""
    try:
        return part[step]
    except (TypeError, LookupError):
        return None


def _inside(schema: dict[str, Any], step: str | int, root: dict[str, Any]) -> dict[str, Any]:
    """The schema of a member; empty where it cannot be told."""
    at = schema.get("items", {}) if isinstance(step, int) else schema.get("properties", {}).get(step, {})
    reference = at.get("$ref", "")
    return root.get("$defs", {}).get(reference.rsplit("/", 1)[-1], {}) if reference else at


def _loose(value: Any) -> str:
    """A choice without what writers vary: case, width, blanks, signs around it, and what joins its words."""
    folded = unicodedata.normalize("NFKC", str(value)).casefold().strip(" \t\n.。、,!\"'「」()")
    return re.sub(r"(?<=[^\W\d_])[\s_\-]+(?=[^\W\d_])", "", folded)


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names differ: of two values under one name nobody knows which is meant."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice[:80]!r} stands twice in one object")
    return found


def example(schema: dict[str, Any], whole: dict[str, Any], text: str) -> Any:
    """A value that a JSON schema allows, with the text for its strings."""
    if "$ref" in schema:
        return example(whole["$defs"][schema["$ref"].rpartition("/")[2]], whole, text)
    if "enum" in schema or "const" in schema:
        return schema.get("enum", [schema.get("const")])[0]
    if "anyOf" in schema:
        return example(schema["anyOf"][-1], whole, text)  # the last, as null ends a schema that holds itself
    if "properties" in schema:
        return {name: example(one, whole, text) for name, one in schema["properties"].items()}
    least: Any = schema.get("minimum", 0)
    plain: dict[str, Any] = {
        "string": text,
        "integer": least,
        "number": least,
        "boolean": True,
        "array": [],
        "null": None,
    }
    return plain.get(schema.get("type", ""), {})


def _close(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_close(item) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    closed: dict[str, Any] = {name: _close(value) for name, value in cast("dict[str, Any]", schema).items()}
    properties = closed.get("properties")
    if closed.get("type") == "object" and isinstance(properties, dict):
        closed["additionalProperties"] = False
        closed["required"] = list(cast("dict[str, Any]", properties))
    return closed
