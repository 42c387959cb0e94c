"""The answer is JSON of a given shape."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any, Literal

import orjson
from pydantic import Field, JsonValue, field_validator

from synth.errors import Rejected
from synth.language.text import subject
from synth.recipes.classes import Shape
from synth.schema import fenced
from synth.types import Sample, Value

MISSING = "the json_schema validator needs the package jsonschema; install it with: pip install 'synth[schema]'"
ANYTHING: tuple[JsonValue, ...] = (None, {}, [], "", 0)


class JsonSchema(Value):
    """Refuse an answer that is not a JSON document fitting `shape`, a JSON Schema (draft 2020-12).

    A `shape` such as `order.py:Order` is that of the pydantic model of this name in a file beside the recipe, which is
    run; checks that the model makes in Python are not part of it. `fences` accepts a code fence around the document.
    """

    kind: Literal["json_schema"] = "json_schema"
    shape: Shape = Field(default={"type": "object"})
    fences: bool = False

    @field_validator("shape")
    @classmethod
    def _is_schema(cls, shape: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if problem := problem_of(shape):
            raise ValueError(problem)
        return shape

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`invalid_json`) or Rejected(`schema_mismatch`)."""
        text = subject(sample)
        inside = fenced(text) if self.fences else None
        try:
            value = orjson.loads(text.lstrip("\ufeff") if inside is None else inside)
        except orjson.JSONDecodeError as error:
            raise Rejected("invalid_json", f"{error}: {text[:80]!r}") from None
        if misfit := misfit_of(self.shape, value):
            raise Rejected("schema_mismatch", misfit)


def problem_of(shape: Any) -> str:
    """Why a document is no JSON schema; empty when it is one. Raises ValueError where jsonschema is not installed."""
    validator = validator_of(shape)
    errors: list[str] = [str(error.message) for error in validator_of(validator.META_SCHEMA).iter_errors(shape)]
    if errors:
        return f"it is not a JSON schema: {errors[0]}"
    unresolvable: Any = import_module("referencing.exceptions").Unresolvable
    for part in _referring(shape):
        try:  # a reference is only looked up when something is held against it
            for value in ANYTHING:
                validator.evolve(schema=part).is_valid(value)
        except unresolvable:
            return f"the reference {part['$ref']!r} leads nowhere in this JSON schema"
        except RecursionError:
            return f"the reference {part['$ref']!r} leads back to itself"
    return ""


def misfit_of(shape: Any, value: Any) -> str:
    """The first place in a document that does not fit a JSON schema, and why; empty when all of it fits."""
    for error in validator_of(shape).iter_errors(value):
        where = "/".join(str(part) for part in error.absolute_path) or "the document"
        return f"{where}: {str(error.message)[:200]}"
    return ""


def _referring(schema: JsonValue) -> Iterator[dict[str, JsonValue]]:
    """Every part of a schema that refers to another."""
    if isinstance(schema, list):
        for item in schema:
            yield from _referring(item)
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema
        for name, value in schema.items():
            if name not in ("const", "enum", "default", "examples"):
                yield from _referring(value)


def validator_of(schema: Any) -> Any:
    """A validator that looks references up in the schema and the specification, never on the network."""
    try:
        jsonschema, specifications = import_module("jsonschema"), import_module("jsonschema_specifications")
    except ModuleNotFoundError:
        raise ValueError(MISSING) from None
    return jsonschema.Draft202012Validator(schema, registry=specifications.REGISTRY)
