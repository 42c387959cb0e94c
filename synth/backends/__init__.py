"""How replies are obtained. A backend is one method; what it returns is judged by `replies.py` alone."""

from __future__ import annotations

from typing import Protocol

from synth.types import Outcome, Request


class Backend(Protocol):
    """Sends one request and returns what came back, whatever it was."""

    async def send(self, request: Request) -> Outcome:
        """Obtain the reply. Transport failures are outcomes, not exceptions; it always ends by the deadline."""
        ...
