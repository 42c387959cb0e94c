"""The JSON schema of recipes with what each field is for: the docstrings that stand below the fields.

pydantic can do so by itself (`use_attribute_docstrings`), but then reads every model's source at each start of a run.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from synth.recipes.recipe import Recipe


def json_schema() -> dict[str, Any]:
    """The JSON schema of a recipe, for editors and for the reference."""
    return described(Recipe)


def described(model: type[BaseModel]) -> dict[str, Any]:
    """A model's JSON schema with what each field is for."""
    return model.model_json_schema(schema_generator=_Described)


class _Described(GenerateJsonSchema):
    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        for name, text in field_docs(schema["cls"]).items():
            if name in made.get("properties", {}):
                made["properties"][name]["description"] = text
        return made


def field_docs(model: type[BaseModel]) -> dict[str, str]:
    """The docstring below each field of a model, by the field's name, with the fields that it inherits."""
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if issubclass(each, BaseModel) and each is not BaseModel:
            found |= _own_docs(each)
    return found


def _own_docs(model: type[BaseModel]) -> dict[str, str]:
    try:
        defined = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    except OSError:  # a plug-in that came without its source
        return {}
    body = defined.body if isinstance(defined, ast.ClassDef) else []
    return {
        field.target.id: inspect.cleandoc(below.value.value)
        for field, below in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }
