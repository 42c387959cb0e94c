"""A request in the words of the host that it goes to, once its key is made: a moved server buys nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import orjson

from synth import messages
from synth.endpoint import Endpoint
from synth.profiles import Profile
from synth.types import CHAT, Request

Translate = Callable[[Request], Request]


def translation(endpoint: Endpoint) -> Translate | None:
    """What makes of a request the one that a host is sent; None when every host's own will do."""
    known, tier = endpoint.known, endpoint.service_tier
    if not known.renamed and not known.added and known.protocol == "chat" and not tier:
        return None

    def translated(request: Request) -> Request:
        if request.path != CHAT:
            return request
        body: dict[str, Any] = orjson.loads(request.body)
        if tier and not request.is_standard:
            body["service_tier"] = tier
        return request._replace(body=orjson.dumps(wording(known, body)), path=known.chat_path)

    return translated


def wording(profile: Profile, body: dict[str, Any]) -> dict[str, Any]:
    """The body of a chat's request as a host wants it, online or as a line of a batch."""
    body = {profile.renamed.get(name, name): value for name, value in body.items()}
    for name, members in profile.added.items():
        given = body.get(name, {})
        if isinstance(given, dict):
            body[name] = {**members, **cast("dict[str, Any]", given)}
    return messages.asked(body) if profile.protocol == "messages" else body
