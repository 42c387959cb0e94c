"""Files and batches of the practice teacher (https://platform.openai.com/docs/api-reference/batch), with their faults:
replies come in another order, and when asked for some of them twice, without a status, not at all, or not in time."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Literal, NamedTuple

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from synth.backends.practice.faults import Faults
from synth.backends.practice.forms import checked, error, reply

WINDOW_S = 24 * 3600
MOST_REQUESTS = 50_000
MOST_BYTES = 200 * 1024 * 1024
PAGE, MOST_PAGE = 20, 100
ENDED = ("failed", "completed", "expired", "cancelled")
AT_ONCE = 50
"""Requests that are answered before others get a turn on the loop."""

Answer = Callable[[bytes], tuple[int, dict[str, Any]]]
"""What a request's body is answered with: a status and a document."""


class File(NamedTuple):
    """What was uploaded, or came of a batch."""

    id: str
    name: str
    purpose: str
    content: bytes
    created: int

    def told(self) -> dict[str, Any]:
        """As the API tells of it."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.content),
            "created_at": self.created,
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
        }


class _BatchRequest(BaseModel):
    """https://platform.openai.com/docs/api-reference/batch/create"""

    model_config = ConfigDict(strict=True)

    input_file_id: str
    endpoint: str
    completion_window: Literal["24h"]
    metadata: dict[str, str] | None = None


class _Line(BaseModel):
    """https://platform.openai.com/docs/api-reference/batch/request-input"""

    model_config = ConfigDict(strict=True)

    custom_id: str = Field(min_length=1)
    method: Literal["POST"]
    url: str
    body: dict[str, Any]


class Batches:
    """Everything that was uploaded and ordered, in memory."""

    def __init__(self, faults: Faults, answers: dict[str, Answer]) -> None:
        """`answers` by the path of a line's `url`."""
        self.batches: dict[str, dict[str, Any]] = {}
        self._faults = faults
        self._answers = answers
        self._files: dict[str, File] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._cancelled: dict[str, asyncio.Event] = {}

    def routes(self) -> list[web.RouteDef]:
        """Where all of it is asked for."""
        return [
            web.post("/v1/files", self._upload),
            web.get("/v1/files", self._list_files),
            web.get("/v1/files/{id}", self._file),
            web.delete("/v1/files/{id}", self._delete),
            web.get("/v1/files/{id}/content", self._content),
            web.post("/v1/batches", self._create),
            web.get("/v1/batches", self._list_batches),
            web.get("/v1/batches/{id}", self._batch),
            web.post("/v1/batches/{id}/cancel", self._cancel),
        ]

    async def stop(self, _application: web.Application) -> None:
        """End what is being worked on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        upload, purpose = form.get("file"), form.get("purpose")
        if not isinstance(upload, web.FileField) or not isinstance(purpose, str):
            place = "purpose" if isinstance(upload, web.FileField) else "file"
            return error(400, f"Missing required parameter: {place!r}.", "missing_required_parameter", place)
        content = await asyncio.to_thread(upload.file.read)
        return reply(self._added(upload.filename, purpose, content).told())

    def _added(self, name: str, purpose: str, content: bytes) -> File:
        number = len(self._files)
        file = File(f"file-practice{number:06d}", name, purpose, content, int(time.time()))
        self._files[file.id] = file
        return file

    async def _list_files(self, request: web.Request) -> web.StreamResponse:
        purpose = request.query.get("purpose")
        files = [one.told() for one in self._files.values() if purpose in (None, one.purpose)]
        return _page(request, files, 10_000, 10_000)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        file = self._files.get(request.match_info["id"])
        return _no("File", request) if file is None else reply(file.told())

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        file = self._files.pop(request.match_info["id"], None)
        return _no("File", request) if file is None else reply({"id": file.id, "object": "file", "deleted": True})

    async def _content(self, request: web.Request) -> web.StreamResponse:
        file = self._files.get(request.match_info["id"])
        return _no("File", request) if file is None else web.Response(body=file.content)

    async def _create(self, request: web.Request) -> web.StreamResponse:
        body, problem = checked(await request.read(), _BatchRequest, self._unfit)
        if problem is not None:
            return problem
        now = int(time.time())
        made: dict[str, Any] = {
            "id": f"batch_practice{len(self.batches):06d}",
            "object": "batch",
            "endpoint": body["endpoint"],
            "input_file_id": body["input_file_id"],
            "completion_window": "24h",
            "status": "validating",
            "created_at": now,
            "expires_at": now + WINDOW_S,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "metadata": body.get("metadata"),
        }
        self.batches[made["id"]] = made
        self._cancelled[made["id"]] = asyncio.Event()
        task = asyncio.get_running_loop().create_task(self._work(made))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return reply(made)

    def _unfit(self, request: _BatchRequest) -> web.Response | None:
        if request.endpoint.removeprefix("/v1") not in self._answers:
            return error(400, f"Invalid value: {request.endpoint!r}.", "invalid_value", "endpoint")
        if request.input_file_id not in self._files:
            return error(400, f"No such File object: {request.input_file_id}", None, "input_file_id")
        return None

    async def _list_batches(self, request: web.Request) -> web.StreamResponse:
        return _page(request, list(self.batches.values()), PAGE, MOST_PAGE)

    async def _batch(self, request: web.Request) -> web.StreamResponse:
        batch = self.batches.get(request.match_info["id"])
        return _no("Batch", request) if batch is None else reply(batch)

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        batch = self.batches.get(request.match_info["id"])
        if batch is None:
            return _no("Batch", request)
        if batch["status"] in ENDED:
            return error(409, f"Cannot cancel a batch with status '{batch['status']}'.", None)
        batch |= {"status": "cancelling", "cancelling_at": int(time.time())}
        self._cancelled[batch["id"]].set()
        return reply(batch)

    async def _pause(self, batch: dict[str, Any], seconds: float) -> None:
        """Let time pass, but for a batch that was cancelled."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._cancelled[batch["id"]].wait()

    async def _work(self, batch: dict[str, Any]) -> None:
        """From validation to the end."""
        content = self._files[batch["input_file_id"]].content
        await self._pause(batch, self._faults.batch_s / 2)
        lines, problems = _lines(content, batch["endpoint"])
        if problems:
            listed = {"object": "list", "data": problems}
            batch |= {"status": "failed", "failed_at": int(time.time()), "errors": listed}
            return
        batch["request_counts"]["total"] = len(lines)
        if batch["status"] == "validating":
            batch |= {"status": "in_progress", "in_progress_at": int(time.time())}
        dice = random.Random(hashlib.sha256(content).digest())  # noqa: S311 (play, no secret)
        dice.shuffle(lines)
        await self._answered(batch, lines, dice)

    async def _answered(self, batch: dict[str, Any], lines: list[_Line], dice: random.Random) -> None:
        """Answer line by line; what a cancellation or the end of the time leaves is told in the file of errors."""
        expires = dice.random() < self._faults.batch_expiry
        due = len(lines) if not expires else dice.randint(0, len(lines))
        done, failed = list[bytes](), list[bytes]()
        for place, line in enumerate(lines):
            if place % AT_ONCE == 0:
                await self._pause(batch, self._faults.batch_s / 2 * AT_ONCE / max(AT_ONCE, len(lines)))
            if batch["status"] == "cancelling" or place >= due:
                code = "batch_cancelled" if batch["status"] == "cancelling" else "batch_expired"
                failed.append(_undone(line.custom_id, code))
                continue
            for name, status, written in self._written(line, dice):
                (done if status == 200 else failed).append(written)
                batch["request_counts"][name] += 1
        dice.shuffle(done)
        ended = {"cancelling": "cancelled"}.get(batch["status"], "expired" if expires else "completed")
        for field, some in (("output_file_id", done), ("error_file_id", failed)):
            if some:
                batch[field] = self._added(f"{batch['id']}_{field}.jsonl", "batch_output", b"".join(some)).id
        batch |= {"status": ended, f"{ended}_at": int(time.time())}

    def _written(self, line: _Line, dice: random.Random) -> Iterator[tuple[str, int, bytes]]:
        """The lines that a request's reply becomes: usually one; which count it goes to, and its status."""
        status, document = self._answers[line.url.removeprefix("/v1")](orjson.dumps(line.body))
        point = dice.random() - self._faults.batch_missing
        if point < 0:
            return
        if (point := point - self._faults.batch_no_status) < 0:
            status, document = 0, {}
        times = 2 if 0 <= point < self._faults.batch_repeated else 1
        for _ in range(times):
            told = {"status_code": status, "request_id": "practice", "body": document}
            row = {"id": f"batch_req_{line.custom_id}", "custom_id": line.custom_id, "response": told, "error": None}
            yield "completed" if status == 200 else "failed", status, orjson.dumps(row) + b"\n"


def _lines(content: bytes, endpoint: str) -> tuple[list[_Line], list[dict[str, Any]]]:
    """The requests in a file, and what is wrong with it."""
    found, problems = list[_Line](), list[dict[str, Any]]()
    every = [line for line in content.split(b"\n") if line.strip()]
    if len(every) > MOST_REQUESTS or len(content) > MOST_BYTES or not every:
        return [], [_problem("invalid_request", f"A batch holds 1 to {MOST_REQUESTS} requests and 200 MB.", None)]
    for number, raw in enumerate(every, 1):
        try:
            line = _Line.model_validate_json(raw)
        except ValueError:
            problems.append(_problem("invalid_json_line", "This line is not a request in JSON.", number))
            continue
        if line.url != endpoint:
            problems.append(_problem("mismatched_url", f"'url' must be {endpoint}.", number))
        found.append(line)
    if len({line.custom_id for line in found}) < len(found):
        problems.append(_problem("duplicate_custom_id", "A 'custom_id' comes twice.", None))
    if len({line.body.get("model") for line in found}) > 1:
        problems.append(_problem("mismatched_model", "All requests of a batch must be for one model.", None))
    return found, problems


def _problem(code: str, message: str, line: int | None) -> dict[str, Any]:
    return {"code": code, "message": message, "param": None, "line": line}


def _undone(custom_id: str, code: str) -> bytes:
    words = {
        "batch_expired": "This request could not be executed before the completion window expired.",
        "batch_cancelled": "This request was not executed because the batch was cancelled.",
    }
    told = {"code": code, "message": words[code]}
    return (
        orjson.dumps({"id": f"batch_req_{custom_id}", "custom_id": custom_id, "response": None, "error": told}) + b"\n"
    )


def _page(request: web.Request, newest_last: Iterable[dict[str, Any]], usual: int, most: int) -> web.Response:
    """One page of a listing, newest first."""
    every = list(newest_last)[::-1]
    after, limit = request.query.get("after"), request.query.get("limit", str(usual))
    if not limit.isdecimal() or not 1 <= int(limit) <= most:
        return error(400, f"'limit' must be from 1 to {most}.", "invalid_value", "limit")
    if after is not None:
        ids = [one["id"] for one in every]
        every = every[ids.index(after) + 1 :] if after in ids else []
    page, has_more = every[: int(limit)], len(every) > int(limit)
    first, last = (page[0]["id"], page[-1]["id"]) if page else ("", "")
    return reply({"object": "list", "data": page, "first_id": first, "last_id": last, "has_more": has_more})


def _no(what: str, request: web.Request) -> web.Response:
    return error(404, f"No such {what} object: {request.match_info['id']}", None, "id")
