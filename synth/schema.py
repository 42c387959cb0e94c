"""Structured output: how a schema is asked for, and how a text becomes a pydantic model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar, cast

import orjson
from pydantic import BaseModel, JsonValue, ValidationError

from synth.types import Message

M = TypeVar("M", bound=BaseModel)

REASKS = 2
FENCE = re.compile(r"\A[\ufeff\s]*```[a-zA-Z]*(?![a-zA-Z])\s*(.*?)\s*```\s*\Z", re.DOTALL)
BY_WORDS = {
    "en": "Answer with one JSON object only, without any other text. It must fit this JSON schema:\n{schema}",
    "ja": "JSONオブジェクトを一つだけ出力し、ほかは書かないでください。次のJSONスキーマに従ってください。\n{schema}",
}
AGAIN = {
    "en": "That answer could not be used: {error}\nSend the whole corrected JSON object again, and nothing else.",
    "ja": "その回答は使えませんでした: {error}\n正しいJSONオブジェクト全体だけを、もう一度送ってください。",
}


def strict_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a model as strict servers want it: closed objects, every property required."""
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


def ask_again(messages: Sequence[Message], text: str, error: str, language: str) -> tuple[Message, ...]:
    """The conversation that shows the teacher its answer and what was wrong with it."""
    words = AGAIN.get(language, AGAIN["en"]).format(error=error)
    return (*messages, Message(role="assistant", content=text), Message(role="user", content=words))


def parse(model: type[M], text: str) -> M:
    """The object in a text; a code fence around it and a byte order mark are taken off, nothing else is mended.

    Raises ValueError with one sentence that the teacher can act on.
    """
    fenced = FENCE.match(text)
    inner = fenced[1] if fenced else text.lstrip("\ufeff")
    try:
        value = orjson.loads(inner)  # which is strict, but takes the last of two values under one name
        json.loads(inner, object_pairs_hook=_unambiguous)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"it is not valid JSON ({error})") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = [f"{'.'.join(map(str, one['loc'])) or 'the object'}: {one['msg']}" for one in error.errors()[:5]]
        raise ValueError("; ".join(found)) from None


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names differ: of two values under one name nobody knows which is meant."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice[:80]!r} stands twice in one object")
    return found


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
