"""Batches at Anthropic and Gemini, against servers of the shapes that their documentation shows."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from synth import pipeline
from synth.backends.batch.anthropic import AnthropicOrders
from synth.batches import course
from synth.errors import Fatal, Rejected, Transient
from synth.profiles import named
from synth.protocol.replies import read
from synth.recipes.loading import load
from synth.results.result import Options

SEEDS = 9
RECIPE = """\
name: half
language: ja
seeds: {{kind: jsonl, path: seeds.jsonl}}
accept_terms: [{terms}]
teachers:
  main:
    model: {model}
    base_url: "{url}"
    profile: {profile}
    key_variable: SOME_KEY
    sampling: {{max_tokens: 300}}
    price: {{input_usd: 2, output_usd: 8}}
stages:
  - name: answer
    can_wait_h: 1
    generator: {{kind: answer, prompt: ask.md.j2}}
    validators: []
"""


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    for name in ("anthropic", "google"):
        known = named()[name]
        assert known.batch is not None
        soon = known.model_copy(update={"batch": known.batch.model_copy(update={"poll_s": 0.05})})
        monkeypatch.setitem(named(), name, soon)


def served(host, path: str, profile: str, folder: Path):
    """Run the recipe against a host, and give the result."""

    folder.mkdir()

    async def serve():
        runner = web.AppRunner(host.application(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
            recipe = RECIPE.format(url=f"{host.origin}{path}", profile=profile, model=host.MODEL, terms=host.TERMS)
            (folder / "recipe.yaml").write_text(recipe)
            (folder / "ask.md.j2").write_text("{{ q }}")
            questions = [json.dumps({"q": f"問題{number}"}, ensure_ascii=False) for number in range(SEEDS)]
            (folder / "seeds.jsonl").write_text("\n".join(questions) + "\n")
            return await pipeline.run(load(folder), Options(folder / "run"))
        finally:
            await runner.cleanup()

    return asyncio.run(serve())


def settled(folder: Path) -> tuple[Counter[str], Counter[str]]:
    """How attempts ended, by batch and online."""
    with closing(sqlite3.connect(folder / "run" / "run.db")) as store:
        rows = store.execute("SELECT failure, attempt IN (SELECT attempt FROM batched) FROM settled").fetchall()
    return Counter(name for name, by in rows if by), Counter(name for name, by in rows if not by)


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


class Anthropic:
    """https://platform.claude.com/docs/en/api/messages/batches"""

    MODEL, TERMS = "claude-haiku-4-5", "anthropic"

    def __init__(self, *, drops: int = 0, fates: tuple[str, ...] = (), others: int = 0, looks: int = 0) -> None:
        self.paid: Counter[str] = Counter()
        self.batches: dict[str, dict] = {}
        self._results: dict[str, bytes] = {}
        self._drops = drops
        self._fates = fates
        self._looks = looks
        self.origin = ""
        for number in range(others):  # somebody else's, of the same size and time
            self._order([{"custom_id": f"theirs-{one}", "params": {}} for one in range(SEEDS)], f"msgbatch_o{number}")

    def application(self) -> web.Application:
        application = web.Application(middlewares=[self._keyed])
        application.add_routes(
            [
                web.post("/v1/messages", self._online),
                web.post("/v1/messages/batches", self._create),
                web.get("/v1/messages/batches", self._list),
                web.get("/v1/messages/batches/{id}", self._look),
                web.get("/v1/messages/batches/{id}/results", self._lines),
                web.post("/v1/messages/batches/{id}/cancel", self._look),
            ]
        )
        return application

    @web.middleware
    async def _keyed(self, request, handler):
        assert request.headers["x-api-key"].startswith("sk-CANARY")
        assert request.headers["anthropic-version"] == "2023-06-01"
        return await handler(request)

    def _said(self, params: dict) -> dict:
        question = params["messages"][0]["content"]
        self.paid[question] += 1
        usage = {"input_tokens": 10, "output_tokens": 5, "service_tier": "batch"}
        content = [{"type": "text", "text": f"{question}の答え"}]
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": self.MODEL,
            "content": content,
            "stop_reason": "end_turn",
            "usage": usage,
        }

    async def _online(self, request):
        return web.json_response(self._said(await request.json()))

    def _order(self, requests: list[dict], name: str) -> dict:
        lines = []
        for place, request in enumerate(requests):
            fate = self._fates[place] if place < len(self._fates) else "succeeded"
            result: dict = {"type": fate}
            if name.startswith("msgbatch_o"):
                result["message"] = {}
            elif fate == "succeeded":
                result["message"] = self._said(request["params"])
            elif fate not in ("expired", "canceled"):
                error = {"type": "error", "error": {"type": fate, "message": "失敗"}}
                result = {"type": "errored", "error": error}
            if fate != "lost":
                lines.append(orjson.dumps({"custom_id": request["custom_id"], "result": result}))
        self._results[name] = b"\n".join(reversed(lines))
        counts = dict.fromkeys(("succeeded", "errored", "canceled", "expired"), 0)
        self.batches[name] = {
            "id": name,
            "type": "message_batch",
            "processing_status": "in_progress",
            "request_counts": {**counts, "processing": len(requests)},
            "created_at": now(),
            "results_url": None,
        }
        return self.batches[name]

    async def _create(self, request):
        body = await request.json()
        assert {"custom_id", "params"} == body["requests"][0].keys()
        batch = dict(self._order(body["requests"], f"msgbatch_{len(self.batches):03d}"))
        if self._drops:
            self._drops -= 1
            request.transport.abort()
        return web.json_response(batch)

    async def _list(self, request):
        every = list(self.batches.values())[::-1]
        after = request.query.get("after_id")
        if after:
            every = every[[one["id"] for one in every].index(after) + 1 :]
        page = every[:1]  # so that the pages are turned
        told = {"data": page, "has_more": len(every) > 1, "last_id": page[0]["id"] if page else None}
        self._looks -= 1
        for batch in self.batches.values() if self._looks < 0 else ():
            self._end(batch)
        return web.json_response(told)

    def _end(self, batch: dict) -> None:
        url = f"{self.origin}/v1/messages/batches/{batch['id']}/results"
        batch |= {"processing_status": "ended", "results_url": url, "ended_at": now()}

    async def _look(self, request):
        batch = self.batches[request.match_info["id"]]
        told = dict(batch)
        self._end(batch)  # the next time
        return web.json_response(told)

    async def _lines(self, request):
        return web.Response(body=self._results[request.match_info["id"]])


def test_anthropics_batches_bring_what_its_messages_would(tmp_path):
    host = Anthropic()
    result = served(host, "/v1", "anthropic", tmp_path / "run")
    assert result.manifest.row_count == SEEDS
    assert (set(host.paid.values()), len(host.batches)) == ({1}, 1)
    assert settled(tmp_path / "run") == ({"ok": SEEDS}, {})
    assert result.manifest.cost_microusd == SEEDS * (10 * 1 + 5 * 4)  # half of 2 and 8 dollars
    assert "問題3の答え" in (tmp_path / "run" / "run" / "rows.jsonl").read_text(encoding="utf-8")


def test_what_anthropic_did_not_work_on_or_refused_is_asked_online(tmp_path):
    host = Anthropic(fates=("expired", "canceled", "overloaded_error", "lost"))
    result = served(host, "/v1", "anthropic", tmp_path / "run")
    assert result.manifest.row_count == SEEDS
    by_batch, online = settled(tmp_path / "run")
    assert by_batch == {"unserved": 2, "capacity": 1, "ambiguous": 1, "ok": SEEDS - 4}
    assert online == {"ok": 4}


def test_an_order_that_anthropic_took_unheard_is_known_by_what_it_brings(tmp_path):
    host = Anthropic(drops=1, others=2)
    result = served(host, "/v1", "anthropic", tmp_path / "run")
    assert result.manifest.row_count == SEEDS
    assert set(host.paid.values()) == {1}
    assert len(host.batches) == 3


def test_an_order_that_anthropic_took_unheard_is_waited_for_as_long_as_it_may_take(tmp_path, monkeypatch):
    monkeypatch.setattr(course, "PATIENCE_S", 0.2)
    host = Anthropic(drops=1, looks=5)
    result = served(host, "/v1", "anthropic", tmp_path / "run")
    assert (result.message, result.manifest.row_count) == ("", SEEDS)
    assert (set(host.paid.values()), len(host.batches)) == ({1}, 1)


def test_an_order_of_which_nothing_shows_in_time_is_left_to_the_next_run_with_the_reason(tmp_path, monkeypatch):
    known = named()["anthropic"]
    at_once = known.model_copy(update={"batch": known.batch.model_copy(update={"hours": 0})})
    monkeypatch.setitem(named(), "anthropic", at_once)
    monkeypatch.setattr(course, "PATIENCE_S", 0.3)
    result = served(Anthropic(drops=1, looks=10**6), "/v1", "anthropic", tmp_path / "run")
    assert result.exit_code == 4
    assert "took a batch of 'main' shows only when what it works on has ended" in result.message
    assert "answers" not in result.message
    assert "'main' のバッチを受け付けたかどうかは、処理中のバッチが終わるまで分かりません" in result.manifest.message_ja


@pytest.mark.parametrize(
    ("kind", "raised", "named_so"),
    [
        ("overloaded_error", Transient, "capacity"),
        ("rate_limit_error", Transient, "rate"),
        ("api_error", Transient, "transient"),
        ("invalid_request_error", Rejected, "permanent"),
        ("authentication_error", Fatal, None),
        ("unheard_of_error", Transient, "transient"),
    ],
)
def test_an_error_in_anthropics_results_meets_the_fate_that_it_would_online(kind, raised, named_so):
    error = {"type": "error", "error": {"type": kind, "message": "失敗しました"}}
    row = AnthropicOrders(None).row(orjson.dumps({"custom_id": "a-1", "result": {"type": "errored", "error": error}}))
    assert row is not None
    with pytest.raises(raised) as found:
        read(row.outcome)
    assert named_so in (None, getattr(found.value, "failure", getattr(found.value, "reason", None)))


class Gemini:
    """https://ai.google.dev/gemini-api/docs/openai, with the files of https://ai.google.dev/api/files"""

    MODEL, TERMS = "gemini-3-flash", "google-gemini"

    def __init__(self, *, drops: int = 0) -> None:
        self.paid: Counter[str] = Counter()
        self.files: dict[str, tuple[str, bytes]] = {}
        self.batches: dict[str, dict] = {}
        self._drops = drops
        self._uploads: list[str] = []
        self.origin = ""

    def application(self) -> web.Application:
        application = web.Application(middlewares=[self._keyed])
        application.add_routes(
            [
                web.post("/v1beta/openai/chat/completions", self._online),
                web.post("/v1beta/openai/batches", self._create),
                web.get("/v1beta/openai/batches/{id}", self._look),
                web.get("/v1beta/batches", self._list),
                web.post("/upload/v1beta/files", self._begin),
                web.post("/upload/v1beta/resume/{number}", self._upload),
                web.get("/download/v1beta/files/{id}:download", self._download),
            ]
        )
        return application

    @web.middleware
    async def _keyed(self, request, handler):
        alike = "/openai/" in request.path
        assert ("Authorization" in request.headers, "x-goog-api-key" in request.headers) == (alike, not alike)
        return await handler(request)

    def _said(self, body: dict) -> dict:
        question = body["messages"][0]["content"]
        self.paid[question] += 1
        message = {"role": "assistant", "content": f"{question}の答え"}
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return {"id": "x", "object": "chat.completion", "model": self.MODEL, "choices": choices, "usage": usage}

    async def _online(self, request):
        return web.json_response(self._said(await request.json()))

    async def _begin(self, request):
        assert request.headers["X-Goog-Upload-Command"] == "start"
        self._uploads.append((await request.json())["file"]["displayName"])
        url = f"{self.origin}/upload/v1beta/resume/{len(self._uploads) - 1}"
        return web.json_response({}, headers={"X-Goog-Upload-URL": url})

    async def _upload(self, request):
        assert request.headers["X-Goog-Upload-Command"] == "upload, finalize"
        shown, name = self._uploads[int(request.match_info["number"])], f"files/f{len(self.files)}"
        self.files[name] = shown, await request.read()
        return web.json_response({"file": {"name": name, "displayName": shown}})

    async def _create(self, request):
        body = await request.json()
        lines = [json.loads(line) for line in self.files[body["input_file_id"]][1].splitlines()]
        rows = [
            {"custom_id": line["custom_id"], "response": {"status_code": 200, "body": self._said(line["body"])}}
            for line in reversed(lines)
        ]
        output = f"files/out{len(self.batches)}"
        self.files[output] = "", b"\n".join(map(orjson.dumps, rows))
        name = f"batches/b{len(self.batches)}"
        self.batches[name] = {"id": name, "status": "in_progress", "input_file_id": body["input_file_id"]}
        told = dict(self.batches[name])
        self.batches[name] |= {"status": "completed", "output_file_id": output}
        if self._drops:
            self._drops -= 1
            request.transport.abort()
        return web.json_response(told)

    async def _look(self, request):
        return web.json_response(self.batches[f"batches/{request.match_info['id']}"])

    async def _list(self, request):
        token, every = int(request.query.get("pageToken", 0)), list(self.batches.items())
        page = [
            {"name": name, "metadata": {"inputConfig": {"fileName": one["input_file_id"]}}}
            for name, one in every[token : token + 1]
        ]
        more = {"nextPageToken": str(token + 1)} if token + 1 < len(every) else {}
        return web.json_response({"operations": page, **more})

    async def _download(self, request):
        assert request.query["alt"] == "media"
        return web.Response(body=self.files[f"files/{request.match_info['id']}"][1])


@pytest.mark.parametrize("drops", [0, 1])
def test_geminis_batches_are_ordered_once_and_collected_by_its_own_files(tmp_path, drops):
    host = Gemini(drops=drops)
    result = served(host, "/v1beta/openai", "google", tmp_path / "run")
    assert result.manifest.row_count == SEEDS
    assert (set(host.paid.values()), len(host.batches)) == ({1}, 1)
    assert settled(tmp_path / "run") == ({"ok": SEEDS}, {})
    assert result.manifest.cost_microusd == SEEDS * (10 * 1 + 5 * 4)


@pytest.mark.parametrize("name", ["openai", "anthropic", "google"])
def test_every_profile_with_batches_says_where_its_limits_were_read(name):
    terms = named()[name].batch
    assert terms is not None
    assert terms.source.startswith("https://")
    assert 0 < terms.factor < 1
