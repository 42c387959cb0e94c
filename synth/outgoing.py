"""A request in the words of the host that it goes to, once its key is made: a moved server buys nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from synth import messages
from synth.profiles import Profile
from synth.types import CHAT, Request

Translate = Callable[[Request], Request]


def translation(profile: Profile) -> Translate | None:
    """What makes of a request the one that a host is sent; None when every host's own will do."""
    if not profile.renamed and profile.protocol == "chat":
        return None

    def translated(request: Request) -> Request:
        if request.path != CHAT:
            return request
        return request._replace(body=orjson.dumps(wording(profile, orjson.loads(request.body))), path=profile.chat_path)

    return translated


def wording(profile: Profile, body: dict[str, Any]) -> dict[str, Any]:
    """The body of a chat's request as a host wants it, online or as a line of a batch."""
    body = {profile.renamed.get(name, name): value for name, value in body.items()}
    return messages.asked(body) if profile.protocol == "messages" else body
