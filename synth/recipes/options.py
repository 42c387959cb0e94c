"""What options name in place of a recipe's own words: a teacher's endpoint, what vLLM is to serve, caps."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from synth.errors import RecipeError
from synth.language.near import hint
from synth.money.budget import Caps
from synth.protocol.endpoint import OWN, SERVE, Endpoint
from synth.types import Value

V = TypeVar("V", bound=Value)


def endpoint_of(text: str, option: str, like: Endpoint | None = None) -> Endpoint:
    """The endpoint of `BASE_URL,MODEL` or `BASE_URL,MODEL,KEY_VARIABLE`, in all else `like` another one.

    Raises RecipeError when it is none.
    """
    parts = text.split(",")
    if len(parts) not in (2, 3):
        raise RecipeError(
            f"{option}...: write BASE_URL,MODEL[,KEY_VARIABLE], such as http://localhost:8000/v1,my-model."
        )
    changed = {"base_url": parts[0], "model": parts[1], "key_variable": parts[2] if len(parts) == 3 else None}
    return _moved(like, changed, option)


def _moved(like: Endpoint | None, changed: Mapping[str, Any], option: str) -> Endpoint:
    fields = {**(_elsewhere(like) if like else {}), **changed}
    if not fields["base_url"].startswith(OWN):
        fields.pop("vllm_args", None)
    try:
        return Endpoint.model_validate(fields).filled()
    except ValidationError as error:
        reason = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        # the rest of the option stays unsaid: a key may have been typed where its variable's name belongs
        raise RecipeError(f"{option}...: {reason}") from None


def served(text: str, teachers: Mapping[str, Endpoint], said: str = "--serve ") -> tuple[str, Endpoint]:
    """The teacher that `[NAME=]MODEL [OPTIONS]` names, or the only one, as vLLM is to serve it; it was `said` so.

    Raises RecipeError when no teacher can be told from it.
    """
    try:
        first, *options = shlex.split(text)
    except ValueError as error:
        raise RecipeError(f"{said}{text}: {error}; write [NAME=]MODEL [OPTIONS of vllm serve].") from None
    name, _, model = first.partition("=") if first.partition("=")[0] in teachers else ("", "", first)
    names = ", ".join(teachers)
    if not name and "=" in model and not Path(model).expanduser().is_dir():  # which no name on the Hub has
        raise RecipeError(f"{said}{first}: the recipe names no teacher {first.partition('=')[0]!r}; there is {names}.")
    if not name and len(teachers) > 1:
        raise RecipeError(f"{said}{first}: the recipe names several teachers ({names}); write NAME={first}.")
    name = name or next(iter(teachers))
    path = Path(model).expanduser()
    changed: dict[str, Any] = {
        "base_url": f"{SERVE}{path.absolute()}" if path.is_dir() else f"{SERVE}{model}",
        "model": model,
        "key_variable": None,
        "vllm_args": options or teachers[name].vllm_args,
    }
    return name, _moved(teachers[name], changed, f"{said}{name}=")


def _elsewhere(endpoint: Endpoint) -> dict[str, Any]:
    """What stays of an endpoint that moves: without what its first host called for, and no replica."""
    given = endpoint.model_dump(exclude_unset=True, exclude={"profile", "replicas"})
    if endpoint.structured == endpoint.known.ways(endpoint.model)[0]:
        given.pop("structured", None)
    return given


def caps_of(fields: Mapping[str, Any], said: str = "--budget") -> Caps:
    """The caps of these names and values, which were `said` so. Raises RecipeError for others."""
    return changed(Caps, fields, said)


def changed(model: type[V], fields: Mapping[str, Any], option: str) -> V:
    """A value of these fields, which `option` named. Raises RecipeError when it is none."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        reason = str(first["msg"]).removeprefix("Value error, ")
        if model is Caps and first["type"] == "extra_forbidden":
            reason = "each cap has an option of its own" if "," in name else "there is no such cap"
            known = hint(name, Caps.model_fields) or f"; the caps are {', '.join(Caps.model_fields)}."
            raise RecipeError(f"{option} {name}={first['input']}: {reason}{known}") from None
        raise RecipeError(f"{option} {name}={first['input']}: {reason}.") from None
