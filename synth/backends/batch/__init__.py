"""How hosts take batches: one file for each protocol, all with the same few steps, which may be repeated but for the
one that orders the work."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import orjson

from synth.types import Outcome


class Unanswered(Exception):
    """A step brought no answer, or a refusal. `status` is HTTP's, 0 without an answer; its text is for people."""

    def __init__(self, status: int, text: str, retry_after_s: float | None = None) -> None:
        self.status = status
        self.retry_after_s = retry_after_s
        super().__init__(text)


class Undecided(Exception):
    """Whether the host has a batch shows when one that it works on has ended; its text is for people."""


class Sought(NamedTuple):
    """A batch that was ordered, whether or not that came to the host."""

    name: str
    place: str
    """Where its file lies at the host."""
    since_s: float
    """When it was ordered, in seconds of the epoch."""
    requests: int
    is_ours: Callable[[str], bool]
    """Whether a name of a request is one of its own."""
    known: Collection[str]
    """The ids of the run's other batches."""


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

    async def find(self, sought: Sought) -> str | None:
        """The id that the host gave a batch; None when it does not have it. Raises Undecided."""
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


def identified(document: Any, member: str = "id") -> str:
    """The name that a host gave to what it was brought. Raises Unanswered when it gave none."""
    name: Any = cast("dict[str, Any]", document).get(member) if isinstance(document, dict) else None
    if not isinstance(name, str) or not name:
        raise Unanswered(0, f"the host gave no {member!r} to what it was brought")
    return name


def loaded(line: bytes) -> dict[str, Any] | None:
    """The object in a line; None when there is none."""
    document: Any = None
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        with suppress(ValueError, RecursionError):
            document = json.loads(line)  # which takes half surrogate pairs and NaN
    return cast("dict[str, Any]", document) if isinstance(document, dict) else None
