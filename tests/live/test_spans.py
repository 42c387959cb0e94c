"""A run as OpenTelemetry spans: the real SDK sends them to a receiver that reads the protocol's own messages."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from synth.protocol.endpoint import Endpoint
from synth.storage.store import Store
from synth.types import Outcome, Planned, Request, Usage

ROOT = Path(__file__).parents[2]
needs_otel = pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry") is None or importlib.util.find_spec("opentelemetry.sdk") is None,
    reason="the extra otel is not installed",
)
PRICED = "price: {input_usd: 1.0, output_usd: 4.0}"


class Collector:
    """What was sent to it, as the protocol's own messages."""

    def __init__(self, status: int = 200) -> None:
        self.bodies: list[bytes] = []
        self.keys: set[str | None] = set()
        mine = self

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                mine.keys.add(self.headers["x-key"])
                mine.bodies.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(status)
                self.end_headers()

            def log_message(self, format: str, *_: Any) -> None:  # noqa: A002
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def spans(self) -> list[Any]:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        sent = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [span for one in sent for each in one.resource_spans for some in each.scope_spans for span in some.spans]

    def services(self) -> set[str]:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        sent = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return {of(each.resource)["service.name"] for one in sent for each in one.resource_spans}


def of(span: Any) -> dict[str, Any]:
    """A span's attributes, or an event's."""

    def value(one: Any) -> Any:
        kind = one.WhichOneof("value")
        return [value(each) for each in one.array_value.values] if kind == "array_value" else getattr(one, kind)

    return {one.key: value(one.value) for one in span.attributes}


@pytest.fixture
def collector() -> Generator[Collector]:
    found = Collector()
    yield from _served(found)


def _served(found: Collector) -> Generator[Collector]:
    thread = threading.Thread(target=found.server.serve_forever, args=(0.05,))
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


@needs_otel
def test_a_run_is_a_trace_and_each_request_one_of_its_own_that_links_to_its_step(
    synth: Any, write_recipe: Any, collector: Collector, tmp_path: Path
) -> None:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_EXPORTER_OTLP_HEADERS": "x-key=hidden-word"}
    finished = synth("run", write_recipe(endpoint=PRICED), "--out", "run", "--otel", "--events", "e", env=env)
    assert finished.returncode == 0
    assert "hidden-word" not in finished.stdout + finished.stderr
    assert (collector.keys, collector.services()) == ({"hidden-word"}, {"synth"})
    spans = collector.spans()
    (run,) = [one for one in spans if one.name == "invoke_workflow small"]
    steps = {of(one)["synth.step"]: one for one in spans if one.name.startswith("step ")}
    requests = [one for one in spans if one.name == "chat practice-1"]
    assert len(spans) == 1 + len(steps) + len(requests)
    assert steps.keys() == {"write", "answer", "answer:score"}
    assert {(one.trace_id, one.parent_span_id) for one in steps.values()} == {(run.trace_id, run.span_id)}
    assert len({one.trace_id for one in requests}) == len(requests)
    assert all(one.links[0].span_id == steps[of(one)["synth.step"]].span_id for one in requests)
    with closing(sqlite3.connect(tmp_path / "run" / "run.db")) as connection:
        sent = "FROM attempt JOIN settled ON attempt = id WHERE failure NOT IN ('unsent', 'reused')"
        alone = f"{sent} AND id NOT IN (SELECT attempt FROM lot WHERE place > 0)"  # others went along
        keys = {key.hex() for (key,) in connection.execute(f"SELECT DISTINCT key {alone}")}
        cost, tokens = connection.execute(f"SELECT sum(cost_microusd), sum(completion_tokens) {sent}").fetchone()
        failed = dict(connection.execute(f"SELECT failure, count(*) {alone} AND failure != 'ok' GROUP BY 1").fetchall())
    assert {of(one)["synth.request"] for one in requests} == keys
    assert of(run)["synth.cost_microusd"] == cost == sum(of(one)["synth.cost_microusd"] for one in requests)
    assert of(run)["gen_ai.usage.output_tokens"] == tokens
    events = Counter(of(event)["error.type"] for one in requests for event in one.events)
    assert events == failed
    assert events
    ended = json.loads((tmp_path / "e").read_text().splitlines()[-1])
    assert of(run)["synth.rows"] == sum(ended["rows"].values())
    good = of(next(one for one in requests if not one.events))
    assert good["gen_ai.operation.name"] == "chat"
    assert (good["gen_ai.request.max_tokens"], good["gen_ai.request.temperature"]) == (800, 0.7)
    assert (good["gen_ai.response.model"], good["gen_ai.usage.input_tokens"] > 0) == ("practice-1", True)
    assert good["gen_ai.response.finish_reasons"] in (["stop"], ["length"])
    for row in map(json.loads, (tmp_path / "run" / "rows.jsonl").read_text().splitlines()):
        for message in row["messages"]:
            assert not any(
                message["content"].encode() in body for body in collector.bodies if len(message["content"]) > 9
            )


def request(name: str, draw: int = 0) -> Request:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "秘密の文"}], "max_tokens": 9}).encode()
    return Request(name.encode().ljust(32), "先生", "m", body, draw, 9, 9)


GOOD = json.dumps(
    {"model": "m-1", "choices": [{"message": {"content": "答え"}, "finish_reason": "stop"}],
     "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
).encode()  # fmt: skip


async def keep(folder: Path) -> None:
    """Requests that end in every way there is."""
    from synth.live.spans import Spans

    store = Store(folder)
    endpoint = Endpoint(model="m", base_url="https://api.mistral.ai/v1")
    spans = Spans("算数", folder, {"先生": endpoint})
    usage = Usage(7, 3, cached_tokens=2, reasoning_tokens=1)

    async def sent(name: str, failure: str, status: int) -> None:
        attempt = await store.begin([Planned(request(name), "解く", name, 50)], "{}")
        await store.keep(attempt, Outcome(status, GOOD if status == 200 else b"{}", seconds=1.5))
        store.settle(attempt, failure, usage if status == 200 else Usage(), 40 if status == 200 else 0)

    await sent("before", "ok", 200)
    await store.note("a", "b")
    spans.begin("名")
    await sent("good", "ok", 200)
    await sent("late", "rate", 429)
    await sent("late", "transient", 500)
    await sent("late", "ok", 200)
    await sent("wrong", "permanent", 400)
    await sent("never", "rate", 429)
    store.release(await store.begin([Planned(request("not sent"), "解く", "u", 50)], "{}"))
    first = await store.begin([Planned(request(f"draw {one}", one), "解く", "u", 20) for one in range(3)], "{}")
    await store.keep(first, Outcome(200, GOOD, seconds=2.0), 3)
    for one in range(3):
        store.settle(first + one, "ok", Usage(2, 1), 10)
    await store.note("a", "c")
    said = await asyncio.to_thread(spans.end, 6, "The budget is reached.", {"synth.state": "stopped_by_budget"})
    assert said == ""
    store.close()


@needs_otel
def test_every_fate_of_a_request_is_told(collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "蒸留")
    asyncio.run(keep(tmp_path / "run"))
    assert collector.services() == {"蒸留"}
    spans = collector.spans()
    requests = {of(one)["synth.unit"]: one for one in spans if one.name == "chat m"}
    assert requests.keys() == {"good", "late", "wrong", "never", "u"}
    good = of(requests["good"])
    assert {name: good[name] for name in good if name.startswith(("gen_ai.provider", "gen_ai.usage", "server"))} == {
        "gen_ai.provider.name": "mistral_ai", "server.address": "api.mistral.ai", "server.port": 443,
        "gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 3, "gen_ai.usage.cache_read.input_tokens": 2,
        "gen_ai.usage.reasoning.output_tokens": 1,
    }  # fmt: skip
    late = [(of(one)["error.type"], of(one)["http.response.status_code"]) for one in requests["late"].events]
    assert late == [("rate", 429), ("transient", 500)]
    assert requests["late"].status.code == 0
    assert requests["late"].end_time_unix_nano - requests["late"].start_time_unix_nano >= 1_500_000_000
    codes = {name: (one.status.code, of(one).get("error.type")) for name, one in requests.items()}
    assert codes == {
        "good": (0, None), "late": (0, None), "u": (0, None), "wrong": (2, "permanent"), "never": (2, "rate"),
    }  # fmt: skip
    draws = of(requests["u"])
    assert (draws["gen_ai.request.choice.count"], draws["gen_ai.usage.input_tokens"]) == (3, 6)
    assert draws["synth.cost_microusd"] == 30
    (run,) = [one for one in spans if one.name == "invoke_workflow 算数"]
    assert (run.status.code, run.status.message, of(run)["synth.exit_code"]) == (2, "The budget is reached.", 6)
    assert of(run)["error.type"] == "stopped_by_budget"
    (step,) = [one for one in spans if one.name == "step 解く"]
    assert (of(step)["synth.requests"], of(step)["synth.failed"]) == (5, 2)
    assert not any("秘密の文".encode() in body or "答え".encode() in body for body in collector.bodies)


@needs_otel
def test_every_name_is_on_the_page(collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    asyncio.run(keep(tmp_path / "run"))
    page = (ROOT / "docs" / "while-it-runs.md").read_text(encoding="utf-8")
    spans = collector.spans()
    names = {name for span in spans for one in (span, *span.events) for name in (*of(one), one.name.split()[0])}
    assert {name for name in names if f"`{name}`" not in page and f"`{name} " not in page} == set()
    assert len(names) > 25


@needs_otel
def test_the_standard_sampler_chooses_among_requests_and_the_run_is_always_told(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    asyncio.run(keep(tmp_path / "run"))
    spans = {one.name: of(one) for one in collector.spans()}
    assert spans.keys() == {"invoke_workflow 算数", "step 解く"}
    assert spans["step 解く"]["synth.requests"] == 5


@needs_otel
@pytest.mark.parametrize("status", [None, 401], ids=["nobody", "refused"])
def test_a_collector_that_takes_nothing_stops_nothing_and_is_one_sentence(
    status: int | None, synth: Any, write_recipe: Any
) -> None:
    found = Collector(status or 200)
    if status is None:
        found.server.server_close()
        serving = iter([None])
    else:
        serving = _served(found)
    next(serving)
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": found.url, "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    finished = synth("run", write_recipe(), "--out", "run", "--limit", "2", "--otel", env=env)
    next(serving, None)
    assert finished.returncode == 0
    told = [line for line in finished.stderr.splitlines() if "span" in line]
    assert len(told) == 1
    assert "spans could not be sent (" in told[0]
    assert "Traceback" not in finished.stderr


@needs_otel
def test_variables_that_ask_for_what_is_not_there_are_one_sentence(synth: Any, write_recipe: Any) -> None:
    finished = synth("run", write_recipe(), "--out", "run", "--otel", env={"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    assert (finished.returncode, finished.stderr.splitlines()[-1]) == (
        2,
        "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'; synth sends spans by http/protobuf: set it so, or unset it.",
    )


def _main(tmp_path: Path, before: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"import sys; {before}; from synth.cli import main; main()", *arguments],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_without_the_extra_a_sentence_names_it(write_recipe: Any, tmp_path: Path) -> None:
    recipe = str(write_recipe())
    finished = _main(tmp_path, "sys.modules['opentelemetry'] = None", "run", recipe, "--out", "run", "--otel")
    assert finished.returncode == 2
    assert finished.stderr.splitlines()[-1].endswith("is missing): pip install 'synth[otel]'")
    assert not (tmp_path / "run").exists()


def test_nothing_of_it_is_imported_where_it_is_not_asked_for(write_recipe: Any, tmp_path: Path) -> None:
    look = "import atexit; atexit.register(lambda: print('opentelemetry' in sys.modules))"
    finished = _main(tmp_path, look, "run", str(write_recipe()), "--out", "run", "--limit", "1", "--events", "e")
    assert finished.stdout.splitlines()[-1] == "False"
