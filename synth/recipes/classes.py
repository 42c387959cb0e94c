"""Classes in a Python file beside the recipe, which it names as `file.py:Class`: plug-ins, and models of objects."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, NamedTuple, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    JsonValue,
    PlainSerializer,
    PydanticUndefinedAnnotation,
    PydanticUserError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)

from synth import stopping
from synth.language.near import hint
from synth.patterns import lazy

NAMED = lazy(r"^(?P<file>.+\.py):(?P<name>[A-Za-z_][A-Za-z0-9_]*)$")
FOLDER = "folder"
"""Under which name the recipe's folder stands in the context of a validation."""


class Found(NamedTuple):
    """What a name led to."""

    file: str
    raw: bytes
    """What was read from the file."""
    name: str
    value: Any
    """None when the file holds nothing of that name."""
    classes: dict[str, type]
    """All classes that the file names."""


def found(named: str, folder: Path, held: bytes | None = None) -> Found:
    """What `file.py:Class` names in a folder; the file is run, or what was read from it before.

    Raises ValueError where it cannot be, with its line.
    """
    parts = NAMED.match(named)
    if parts is None:
        raise ValueError(f"{named!r} names no class; write file.py:Class")
    file, name = parts["file"], parts["name"]
    if Path(file).is_absolute() or ".." in Path(file).parts:
        raise ValueError(f"{file} must lie in the recipe's folder")
    try:
        raw = (folder / file).read_bytes() if held is None else held
    except OSError as error:
        near = hint(file, files_in(folder))
        raise ValueError(f"{folder / file} cannot be read ({error.strerror}){near}") from None
    values = vars(_module(file, folder / file, raw))
    classes = {one: value for one, value in values.items() if inspect.isclass(value)}
    return Found(file, raw, name, values.get(name), classes)


def files_in(folder: Path) -> list[str]:
    """The Python files beside a recipe."""
    return sorted(path.name for path in folder.glob("*.py"))


def model_of(named: str, folder: Path) -> type[BaseModel]:
    """The pydantic model that `file.py:Model` names. Raises ValueError, with what to do, where there is none of use."""
    at = found(named, folder)
    models = {name: one for name, one in at.classes.items() if issubclass(one, BaseModel) and one is not BaseModel}
    if at.name not in models:
        if at.name in at.classes:
            raise ValueError(f"{at.name} in {at.file} is no pydantic model; write `class {at.name}(BaseModel):`")
        there = hint(at.name, list(models)) or f"; there is {', '.join(models) or 'no model'}"
        raise ValueError(f"{at.file} has no class {at.name!r}{there}")
    model = models[at.name]
    try:
        schema_of(model)
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{at.name} in {at.file} holds what JSON cannot: {reason}") from None
    return model


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a model, without the titles that pydantic makes of its names."""
    return cast("dict[str, Any]", _untitled(model.model_json_schema()))


def _untitled(part: Any) -> Any:
    if isinstance(part, list):
        return [_untitled(one) for one in cast("list[Any]", part)]
    if not isinstance(part, dict):
        return part
    kept: dict[str, Any] = {}
    for name, value in cast("dict[str, Any]", part).items():
        if name in ("properties", "$defs"):
            kept[name] = {own: _untitled(one) for own, one in value.items()}
        elif name != "title":
            kept[name] = value if name in ("default", "examples", "enum", "const") else _untitled(value)
    return kept


def _read(given: Any, _handler: ValidatorFunctionWrapHandler | None, info: ValidationInfo) -> type[BaseModel]:
    if inspect.isclass(given) and issubclass(given, BaseModel):
        return given
    return model_of(str(given), Path(cast("dict[str, Any]", info.context or {}).get(FOLDER, "")))


OwnModel = Annotated[
    type[BaseModel],
    WrapValidator(_read),
    PlainSerializer(schema_of),
    WithJsonSchema({"type": "string", "pattern": NAMED.pattern}),
]
"""A model in a file of the user's own, written as `file.py:Model`; what is kept of it is its JSON schema."""


def _shape(given: Any, info: ValidationInfo) -> Any:
    return schema_of(_read(given, None, info)) if isinstance(given, str) else given


Shape = Annotated[
    dict[str, JsonValue],
    BeforeValidator(_shape),
    WithJsonSchema({"anyOf": [{"type": "object"}, {"type": "string", "pattern": NAMED.pattern}]}),
]
"""A JSON schema, or the pydantic model in a file of the user's own that it is made of, written as `file.py:Model`."""


def _module(file: str, path: Path, raw: bytes) -> ModuleType:
    """The module of a file, made once of what was read. Raises ValueError with the line where it fails."""
    name = f"synth_own_{hashlib.sha256(str(path.absolute()).encode() + raw).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(path))
    assert spec is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    try:
        with stopping.doing(stopping.end):  # as while modules are imported
            exec(compile(raw, str(path), "exec"), module.__dict__)  # noqa: S102 (the user's own file)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ValueError(_told(file, path, error)) from error
    return module


def _told(file: str, path: Path, error: BaseException) -> str:
    """What went wrong in a file, with its line."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{file}, line {error.lineno}: {error.msg}"
    lines = [one.lineno for one in traceback.extract_tb(error.__traceback__) if one.filename == str(path)]
    what = str(error).partition("\n")[0]
    return f"{file}{f', line {lines[-1]}' if lines else ''}: {type(error).__name__}: {what}"
