"""Recorded replies at the interface of a live teacher: from an earlier run's store, or from a JSONL file.

A line of the file is `{"prompt": ..., "draw": 0, "content": ...}`: the request's last user message, its draw (from 0,
optional) and the answer. In place of `content`, `response` may hold a whole chat completion.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import orjson

from synth.errors import FolderError, Problem, RecipeError, StoreStopped
from synth.storage.database import DAMAGED, damage, readable
from synth.storage.emergency import connect_whole
from synth.storage.found import Reading, Stored
from synth.storage.kept import decided
from synth.types import CHAT, Outcome, Request

MISSING = "no reply was recorded for this request"
ALL = sys.maxsize
"""Later than any attempt."""


class ReplayFile:
    """Replies of a JSONL file, found by the last user message and the draw."""

    def __init__(self, path: Path) -> None:
        """Read the whole file; raises RecipeError with the line when one cannot be used."""
        self._replies: dict[bytes, bytes] = {}
        with path.open("rb") as file:
            for line, text in enumerate(file, 1):
                if text.strip():
                    place, reply = _recorded(text, path, line)
                    self._replies[place] = reply

    async def send(self, request: Request) -> Outcome:
        """The recorded reply to a chat, or an error of our own that rejects this sample only."""
        if request.path != CHAT:
            return _not_recorded()
        messages = orjson.loads(request.body)["messages"]
        prompt = next((message["content"] for message in reversed(messages) if message["role"] == "user"), "")
        reply = self._replies.get(_place(prompt, request.draw))
        return _not_recorded() if reply is None else Outcome(200, reply)


class ReplayRun:
    """Replies of an earlier run's store, found by the key of the whole request. The store is only read."""

    def __init__(self, path: Path) -> None:
        """Open the store of a run folder, with what its disk once refused. Raises FolderError when there is none."""
        self._path = path / "run.db"
        self._reader = connect_whole(self._path)
        self._reading = Reading(self._reader)
        self.forgiven = 0
        """The last attempt whose failure does not count as final."""
        try:
            with readable(self._path):
                for (last,) in self._reader.execute("SELECT value FROM meta WHERE name = 'forgiven'"):
                    self.forgiven = int(last)
        except FolderError:
            self.close()
            raise

    async def send(self, request: Request) -> Outcome:
        """The newest good reply to the same request. Raises StoreStopped when it cannot be read."""
        known = decided(self.find(request.key), request.path, ALL)
        return known[0].outcome if known else _not_recorded()

    def find(self, key: bytes) -> Sequence[Stored]:
        """The kept replies to a request, newest first. Raises StoreStopped when they cannot be read: they were paid."""
        try:
            return self._reading.found([key]).get(key, ())
        except DAMAGED as error:
            raise StoreStopped(damage(self._path, error)) from error

    def close(self) -> None:
        """Let go of the store."""
        self._reader.close()


def replay(base_url: str, folder: Path) -> ReplayFile | ReplayRun:
    """The backend of `replay:PATH`; a relative path counts from the recipe's folder.

    Raises RecipeError when there is nothing at the path, FolderError when the folder holds no run.
    """
    path = folder / base_url.split(":", 1)[1]
    if path.is_dir():
        return ReplayRun(path)
    if not path.is_file():
        raise RecipeError(f"There are no recorded replies at {path.absolute()}; give a run folder or a JSONL file.")
    return ReplayFile(path)


def _recorded(text: bytes, path: Path, line: int) -> tuple[bytes, bytes]:
    try:
        loaded = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RecipeError(Problem(f"not JSON: {error}", str(path), line)) from None
    record = cast("dict[str, Any]", loaded) if isinstance(loaded, dict) else {}
    prompt, draw, content = record.get("prompt"), record.get("draw", 0), record.get("content")
    response = record.get("response")
    if not isinstance(prompt, str) or not isinstance(draw, int) or (content is None) == (response is None):
        message = "a recorded reply needs a text `prompt`, a whole number `draw`, and `content` or `response`"
        raise RecipeError(Problem(message, str(path), line))
    if response is None:
        message = {"role": "assistant", "content": content}
        response = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    return _place(prompt, draw), orjson.dumps(response)


def _place(prompt: str, draw: int) -> bytes:
    return hashlib.blake2b(f"{draw}\0{prompt}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _not_recorded() -> Outcome:
    return Outcome(422, orjson.dumps({"error": {"message": MISSING, "code": "not_recorded"}}))
