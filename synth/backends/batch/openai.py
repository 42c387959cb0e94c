"""OpenAI's files and batches, https://platform.openai.com/docs/api-reference/batch, and whoever speaks alike."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import aiohttp
import orjson

from synth.backends.batch import Look, Row, Sought, identified, loaded
from synth.backends.batch.control import Control
from synth.types import UNSERVED, Outcome

ENDED = ("completed", "failed", "expired", "cancelled")
UNWORKED = ("batch_expired", "batch_cancelled")
"""How a line says that its request never had its turn."""
PAGE = 100
CLOCKS_S = 24 * 3600
"""How far the host's clock may be from ours: hours, where one of them takes local time for universal time."""


@dataclass(frozen=True, slots=True)
class OpenAIOrders:
    """Batches over a host's `/files` and `/batches`."""

    control: Control

    def line(self, name: str, path: str, body: bytes) -> bytes:
        """The line of a batch's file for a request."""
        return b'{"custom_id":"%b","method":"POST","url":"/v1%b","body":%b}\n' % (name.encode(), path.encode(), body)

    async def upload(self, name: str, file: Path) -> str:
        """Bring a file to the host; its id."""
        with file.open("rb") as content:
            form = aiohttp.FormData()
            form.add_field("purpose", "batch")
            form.add_field("file", content, filename=f"{name}.jsonl", content_type="application/jsonl")
            return identified(await self.control.ask("POST", "/files", data=form))

    async def order(self, name: str, path: str, file: Path, place: str) -> str:  # noqa: ARG002 (the host has it)
        """Have an uploaded file worked on; the id of the batch."""
        asked = {
            "input_file_id": place,
            "endpoint": f"/v1{path}",
            "completion_window": "24h",
            "metadata": {"synth": name},
        }
        return identified(await self.control.ask("POST", "/batches", json=asked))

    async def find(self, sought: Sought) -> str | None:
        """The id of the batch that carries a name, or works on its file."""
        async for batch in self.control.pages("/batches", "data", {"limit": PAGE}, _following):
            if float(batch.get("created_at") or sought.since_s) < sought.since_s - CLOCKS_S:
                return None  # the newest come first
            told = batch.get("metadata")
            is_named = isinstance(told, dict) and cast("dict[str, Any]", told).get("synth") == sought.name
            if is_named or batch.get("input_file_id") == sought.place:
                return str(batch["id"])
        return None

    async def look(self, batch: str) -> Look:
        """How far a batch is."""
        told = await self.control.ask("GET", f"/batches/{batch}")
        said = str(told.get("status"))
        places = [str(told[name]) for name in ("output_file_id", "error_file_id") if told.get(name)]
        refused = _problems(told.get("errors")) if said == "failed" else ""
        return Look(said, said in ENDED, said == "completed", refused, places)

    async def cancel(self, batch: str) -> None:
        """Ask for the end of a batch."""
        await self.control.end(f"/batches/{batch}/cancel")

    def lines(self, place: str) -> AsyncIterator[bytes]:
        """What a file of results holds."""
        return self.control.lines(f"/files/{place}/content")

    def row(self, line: bytes) -> Row | None:
        """What a line says. Some servers put the reply into a text."""
        told = loaded(line)
        if told is None or not isinstance(told.get("custom_id"), str):
            return None
        name, response, error = str(told["custom_id"]), told.get("response"), told.get("error")
        response = cast("dict[str, Any]", response) if isinstance(response, dict) else {}
        error = cast("dict[str, Any]", error) if isinstance(error, dict) else {}
        status, body = response.get("status_code"), response.get("body")
        if type(status) is int and status > 0:
            content = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else _dumped(body)
            identity = response.get("request_id")
            return Row(name, Outcome(status, content, {"x-request-id": identity} if isinstance(identity, str) else {}))
        code, message = str(error.get("code")), str(error.get("message") or "the batch has no reply to it")
        if code in UNWORKED:
            return Row(name, Outcome(0, line, error=UNSERVED, detail=message, written=False))
        return Row(name, Outcome(0, line, error="batch", detail=message))


def _following(page: dict[str, Any]) -> dict[str, Any] | None:
    entries = cast("list[dict[str, Any]]", page.get("data") or [])
    return {"after": entries[-1]["id"]} if entries and page.get("has_more") else None


def _problems(errors: Any) -> str:
    """What a host found wrong with a batch as a whole."""
    listed: Any = cast("dict[str, Any]", errors).get("data") if isinstance(errors, dict) else None
    problems = [cast("dict[str, Any]", one) for one in cast("list[Any]", listed or []) if isinstance(one, dict)]
    told = [f"{one.get('message')} ({one.get('code')})" for one in problems[:3]]
    return "; ".join(told) or "it did not say why"


def _dumped(body: Any) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:  # what only json reads, only json writes
        return json.dumps(body).encode()
