"""What the practice teacher's server answers to a request that is wrong, in OpenAI's form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

MODEL, EMBEDDER, REWARDER = "practice-1", "practice-embedding-1", "practice-reward-1"

R = TypeVar("R", bound=BaseModel)


def checked(
    raw: bytes, kind: type[R], unfit: Callable[[R], web.Response | None]
) -> tuple[dict[str, Any], web.Response | None]:
    """What a body holds, and what is wrong with it: `unfit` looks at a request whose fields are right one by one."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}, error(400, "We could not parse the JSON body of your request.", None)
    if not isinstance(body, dict):
        return {}, error(400, "The body must be a JSON object.", None)
    try:
        request = kind.model_validate(body)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing":
            return {}, missing(place)
        return {}, error(400, f"Invalid value for {place!r}: {first['msg']}.", None, place)
    return cast("dict[str, Any]", body), unfit(request)


def missing(place: str) -> web.Response:
    """A field is not there."""
    return error(400, f"Missing required parameter: {place!r}.", "missing_required_parameter", place)


def no_model(name: str, right: str) -> web.Response:
    """There is no such model where it was asked for."""
    message = f"The model `{name}` does not exist; the practice teacher is called `{right}` here."
    return error(404, message, "model_not_found", "model")


def error(
    status: int, message: str, code: str | None, param: str | None = None, headers: dict[str, str] | None = None
) -> web.Response:
    """An error as OpenAI's API writes it."""
    kind = {429: "requests", 500: "server_error"}.get(status, "invalid_request_error")
    told = {"message": message, "type": kind, "param": param, "code": code}
    return reply({"error": told}, status, headers)


def reply(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON document as a response."""
    return web.Response(body=orjson.dumps(document), status=status, headers=headers, content_type="application/json")
