"""Anthropic's message batches, https://platform.claude.com/docs/en/api/messages/batches: no files, and no names.

One that was ordered while the process died is told by the names of the requests in what it brings, once it has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import orjson

from synth.backends.batch import Look, Row, Sought, Undecided, identified, loaded
from synth.backends.batch.control import Control
from synth.protocol.messages import STATUSES
from synth.types import MESSAGES, UNSERVED, Outcome

BATCHES = f"{MESSAGES}/batches"
UNWORKED = ("canceled", "expired")
PAGE = 100
CLOCKS_S = 24 * 3600
"""How far the host's clock may be from ours: hours, where one of them takes local time for universal time."""
ACCEPTED_S = 900
"""How long a host may take to accept an order."""


@dataclass(frozen=True, slots=True)
class AnthropicOrders:
    """Batches over a host's `/messages/batches`."""

    control: Control

    def line(self, name: str, path: str, body: bytes) -> bytes:  # noqa: ARG002 (there is one path)
        """A request of a batch."""
        return b'{"custom_id":"%b","params":%b}\n' % (name.encode(), body)

    async def upload(self, name: str, file: Path) -> str:  # noqa: ARG002
        """Nothing is uploaded before it is ordered."""
        return ""

    async def order(self, name: str, path: str, file: Path, place: str) -> str:  # noqa: ARG002
        """Have the requests in a file worked on; the id of the batch."""
        lines = (await asyncio.to_thread(file.read_bytes)).rstrip(b"\n").split(b"\n")
        body = b'{"requests":[%b]}' % b",".join(lines)
        headers = {"Content-Type": "application/json"}
        return identified(await self.control.ask("POST", BATCHES, data=body, headers=headers))

    async def find(self, sought: Sought) -> str | None:
        """The id of the batch whose results name the requests of the one that is sought.

        Raises Undecided as long as one is worked on that may be it.
        """
        undecided = False
        async for batch in self.control.pages(BATCHES, "data", {"limit": PAGE}, _following):
            age_s = datetime.fromisoformat(str(batch.get("created_at"))).timestamp() - sought.since_s
            if age_s < -CLOCKS_S:  # the newest come first
                break
            counts = cast("dict[str, int]", batch.get("request_counts") or {})
            if age_s > CLOCKS_S + ACCEPTED_S or sum(counts.values()) != sought.requests or batch["id"] in sought.known:
                continue
            if batch.get("results_url") is None:
                undecided |= batch.get("processing_status") != "ended"
                continue
            async for line in self.lines(str(batch["results_url"])):
                row = self.row(line)
                if row is not None and sought.is_ours(row.name):
                    return str(batch["id"])
                break
        if undecided:
            raise Undecided("a batch that may be ours is worked on, and does not tell yet whose it is")
        return None

    async def look(self, batch: str) -> Look:
        """How far a batch is. What it did not work on it says of each request."""
        told = await self.control.ask("GET", f"{BATCHES}/{batch}")
        said, place = str(told.get("processing_status")), told.get("results_url")
        return Look(said, said == "ended", places=[str(place)] if place else [])

    async def cancel(self, batch: str) -> None:
        """Ask for the end of a batch."""
        await self.control.end(f"{BATCHES}/{batch}/cancel")

    def lines(self, place: str) -> AsyncIterator[bytes]:
        """What a batch brought."""
        return self.control.lines(place)

    def row(self, line: bytes) -> Row | None:
        """What a line says. An error of a request is not charged, and has a status that it would have come with."""
        told = loaded(line)
        result: Any = None if told is None else told.get("result")
        if told is None or not isinstance(told.get("custom_id"), str) or not isinstance(result, dict):
            return None
        name, found = str(told["custom_id"]), cast("dict[str, Any]", result)
        kind, message = str(found.get("type")), found.get("message")
        if kind == "succeeded" and isinstance(message, dict):
            return Row(name, Outcome(200, orjson.dumps(message)))
        if kind in UNWORKED:
            detail = f"the batch ended before its turn ({kind})"
            return Row(name, Outcome(0, line, error=UNSERVED, detail=detail, written=False))
        error: Any = found.get("error")
        inner: Any = cast("dict[str, Any]", error).get("error") if isinstance(error, dict) else None
        if kind == "errored" and isinstance(inner, dict):
            return Row(
                name, Outcome(STATUSES.get(str(cast("dict[str, Any]", inner).get("type")), 500), orjson.dumps(error))
            )
        return Row(name, Outcome(0, line, error="batch", detail=f"the batch has no reply to it ({kind})"))


def _following(page: dict[str, Any]) -> dict[str, Any] | None:
    return {"after_id": page["last_id"]} if page.get("has_more") and page.get("last_id") else None
