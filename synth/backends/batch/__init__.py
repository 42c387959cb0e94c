"""How hosts take batches: one file for each protocol, all with the same few steps, which may be repeated but for the
one that orders the work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from synth.types import Outcome


class Unanswered(Exception):
    """A step brought no answer, or a refusal. `status` is HTTP's, 0 without an answer; its text is for people."""

    def __init__(self, status: int, text: str, retry_after_s: float | None = None) -> None:
        self.status = status
        self.retry_after_s = retry_after_s
        super().__init__(text)


class Row(NamedTuple):
    """What a batch brought for one of its requests."""

    name: str
    """The name that the request was given."""
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Look:
    """How far a batch is."""

    said: str
    """The state in the host's own word."""
    ended: bool = False
    whole: bool = True
    """Whether every request had its turn; else what it does not bring was not worked on, and costs nothing."""
    refused: str = ""
    """Why the host took none of it; empty when it did."""
    places: Sequence[str] = ()
    """Where what it brought can be read."""


class Orders(Protocol):
    """A host's batches."""

    def line(self, name: str, path: str, body: bytes) -> bytes:
        """The line of a batch's file for a request."""
        ...

    async def upload(self, name: str, file: Path) -> str:
        """Bring a file to the host; where it lies there."""
        ...

    async def order(self, name: str, path: str, file: Path, place: str) -> str:
        """Have a batch worked on whose requests are for `path`; its id. Never repeated unseen."""
        ...

    async def find(self, name: str, place: str, since_s: float, requests: int) -> str | None:
        """The id of the batch that was ordered under a name, not before a time; None when the host knows none."""
        ...

    async def look(self, batch: str) -> Look:
        """How far a batch is."""
        ...

    async def cancel(self, batch: str) -> None:
        """Ask for the end of a batch; nothing happens to one that has ended."""
        ...

    def lines(self, place: str) -> AsyncIterator[bytes]:
        """What a batch brought, line by line."""
        ...

    def row(self, line: bytes) -> Row | None:
        """What a line says; None when it is no line of a batch."""
        ...
