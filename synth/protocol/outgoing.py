"""A request in the words of the host that it goes to, once its key is made: a moved server buys nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import orjson

from synth.profiles import Profile
from synth.protocol import messages
from synth.protocol.endpoint import Endpoint
from synth.types import CHAT, Request

KEY = "synth"
"""The member of a request's metadata that holds its key, where the host is to keep what comes of it."""

Translate = Callable[[Request], Request]


def translation(endpoint: Endpoint) -> Translate | None:
    """What makes of a request the one that a host is sent; None when every host's own will do."""
    known, tier = endpoint.known, endpoint.service_tier
    if not (known.renamed or known.added or tier or endpoint.recover) and known.protocol == "chat":
        return None

    def translated(request: Request) -> Request:
        if request.path != CHAT:
            return request
        body: dict[str, Any] = orjson.loads(request.body)
        if tier and not request.is_standard:
            body["service_tier"] = tier
        if endpoint.recover and request.key:
            body |= {"store": True, "metadata": {**body.get("metadata", {}), KEY: request.key.hex()}}
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
