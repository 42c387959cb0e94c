"""The answer is JSON of a given shape."""

from __future__ import annotations

from typing import Any, Literal, cast

import orjson
from pydantic import Field, JsonValue, field_validator

from synth.errors import Rejected
from synth.schema import FENCE
from synth.text import subject
from synth.types import Sample, Value

MISSING = "the json_schema validator needs the package jsonschema; install it with: pip install 'synth[schema]'"


class JsonSchema(Value):
    """Refuse an answer that is not a JSON document fitting `shape`, a JSON Schema (draft 2020-12).

    `fences` accepts a code fence around the document.
    """

    kind: Literal["json_schema"] = "json_schema"
    shape: dict[str, JsonValue] = Field(default={"type": "object"})
    fences: bool = False

    @field_validator("shape")
    @classmethod
    def _is_schema(cls, shape: dict[str, JsonValue]) -> dict[str, JsonValue]:
        validator = _validator_class()
        errors: list[str] = [str(error.message) for error in validator(validator.META_SCHEMA).iter_errors(shape)]
        if errors:
            raise ValueError(f"it is not a JSON schema: {errors[0]}")
        return shape

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`invalid_json`) or Rejected(`schema_mismatch`)."""
        text = subject(sample)
        fenced = FENCE.match(text) if self.fences else None
        try:
            value = orjson.loads(fenced[1] if fenced else text)
        except orjson.JSONDecodeError as error:
            raise Rejected("invalid_json", f"{error}: {text[:80]!r}") from None
        for error in _validator_class()(self.shape).iter_errors(value):
            where = "/".join(str(part) for part in error.absolute_path) or "the document"
            raise Rejected("schema_mismatch", f"{where}: {str(error.message)[:200]}")


def _validator_class() -> Any:
    try:
        from jsonschema import Draft202012Validator  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
    except ModuleNotFoundError:
        raise ValueError(MISSING) from None
    return cast("Any", Draft202012Validator)
