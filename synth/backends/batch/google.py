"""Gemini's batches in OpenAI's words, https://ai.google.dev/gemini-api/docs/openai: the order and its state are asked
for as at OpenAI, while files come and go, and batches are listed, by Gemini's own protocol
(https://ai.google.dev/api/files, https://ai.google.dev/api/batch-api)."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from synth.backends.batch import Look, Row, Sought, Unanswered, identified
from synth.backends.batch.control import Control
from synth.backends.batch.openai import OpenAIOrders

PAGE = 100
OWN = "batches/"
"""How its own names of batches begin."""


@dataclass(frozen=True, slots=True)
class GoogleOrders:
    """Batches at Gemini."""

    alike: OpenAIOrders
    """Its layer that speaks as OpenAI does."""
    native: Control
    """The host itself, with the key as it wants it there."""

    def line(self, name: str, path: str, body: bytes) -> bytes:
        """The line of a batch's file for a request."""
        return self.alike.line(name, path, body)

    async def upload(self, name: str, file: Path) -> str:
        """Bring a file to the host; its name there."""
        with file.open("rb") as content:
            return await self._brought(name, content, os.fstat(content.fileno()).st_size)

    async def _brought(self, name: str, content: BinaryIO, size: int) -> str:
        begun = {
            "X-Goog-Upload-Protocol": "resumable",
            "X-Goog-Upload-Command": "start",
            "X-Goog-Upload-Header-Content-Length": str(size),
            "X-Goog-Upload-Header-Content-Type": "application/jsonl",
        }
        told = {"file": {"displayName": name}}
        _, headers = await self.native.ask_raw("POST", "/upload/v1beta/files", json=told, headers=begun)
        where = headers.get("X-Goog-Upload-URL")
        if not where:
            raise Unanswered(0, "the host named no place to upload to")
        ended = {"X-Goog-Upload-Offset": "0", "X-Goog-Upload-Command": "upload, finalize"}
        made = await self.native.ask("POST", where, data=content, headers={**ended, "Content-Length": str(size)})
        return identified(made.get("file"), "name")

    async def order(self, name: str, path: str, file: Path, place: str) -> str:
        """Have an uploaded file worked on; the id of the batch."""
        return (await self.alike.order(name, path, file, place)).removeprefix(OWN)

    async def find(self, sought: Sought) -> str | None:
        """The id of the batch that works on the file, which no other one does."""
        async for batch in self.native.pages("/v1beta/batches", "operations", {"pageSize": PAGE}, _following):
            told = cast("dict[str, Any]", batch.get("metadata") or {})
            given = cast("dict[str, Any]", told.get("inputConfig") or {})
            if sought.place in (given.get("fileName"), told.get("inputFileId")):
                return str(batch["name"]).removeprefix(OWN)
        return None

    async def look(self, batch: str) -> Look:
        """How far a batch is."""
        return await self.alike.look(batch)

    async def cancel(self, batch: str) -> None:
        """Ask for the end of a batch."""
        await self.native.end(f"/v1beta/{OWN}{batch}:cancel")

    def lines(self, place: str) -> AsyncIterator[bytes]:
        """What a file of results holds."""
        return self.native.lines(f"/download/v1beta/{place}:download?alt=media")

    def row(self, line: bytes) -> Row | None:
        """What a line says."""
        return self.alike.row(line)


def _following(page: dict[str, Any]) -> dict[str, Any] | None:
    return {"pageToken": page["nextPageToken"]} if page.get("nextPageToken") else None
