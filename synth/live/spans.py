"""A run as OpenTelemetry spans, made from what its store holds: nothing is added to the way of a request.

The run is one trace, with a span for each of its steps. Each request is a trace of its own that links to its step, so
that the standard samplers choose among requests; the run and its steps are always told. Names are those of the GenAI
semantic conventions 0.1.0 (https://github.com/open-telemetry/semantic-conventions-genai), and `synth.` for what they do
not know. No text of a prompt or an answer is among them. Needs the extra `otel`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from sqlite3 import Connection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson
import zstandard
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, set_span_in_context

from synth.errors import FolderError, Rejected, TeacherError, Transient
from synth.language.text import several
from synth.live.otlp import Heard, exporter, resource
from synth.profiles import named
from synth.protocol.endpoint import HERE, Endpoint
from synth.protocol.fates import FATES
from synth.protocol.replies import read
from synth.report.words import ENGLISH
from synth.storage.database import LOTS, RAW, connect, readable
from synth.types import Outcome

LOOK_EVERY_S = 1.0
AT_ONCE = 500
"""Attempts that are read together, and spans that are sent before more are made: no queue overflows."""
CLOSING_S = 30.0
NOT_SENT = ("unsent", "reused", "lost")
UNKNOWN = "openai_compatible"
PROVIDERS = {"azure": "azure.ai.openai", "google": "gcp.gemini", "mistral": "mistral_ai"}
"""What the conventions call hosts that have another name here."""
REQUEST_FIELDS = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "stop": "stop_sequences",
}
FOUND = (
    "SELECT attempt.id, key, stage, unit, teacher, model, draw, started_ns, body, failure, cost_microusd, "
    "prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, "
    "coalesce(status, 0), coalesce(error, ''), coalesce(seconds, 0.0), coalesce(lot.place, 0), coalesce(draws, 1), "
    "batched.attempt IS NOT NULL FROM attempt JOIN settled ON settled.attempt = attempt.id "
    "LEFT JOIN reply ON reply.attempt = attempt.id LEFT JOIN lot ON lot.attempt = attempt.id "
    "LEFT JOIN batched ON batched.attempt = attempt.id "
    "WHERE attempt.id IN (SELECT value FROM json_each(?)) ORDER BY attempt.id"
)
SETTLED = "SELECT attempt FROM settled WHERE attempt IN (SELECT value FROM json_each(?)) ORDER BY attempt"
USED = (
    "SELECT total(cost_microusd), total(prompt_tokens), total(completion_tokens), total(cached_tokens), "
    "total(cache_write_tokens), total(reasoning_tokens) FROM settled WHERE attempt BETWEEN ? AND ?"
)
REPLY = (
    f"SELECT reply.status, {RAW} FROM attempt JOIN reply ON reply.attempt = attempt.id {LOTS} "  # noqa: S608 (ours alone)
    "WHERE attempt.id = ?"
)


class Attempt(NamedTuple):
    """One send that is settled; of draws in one request the first."""

    id: int
    key: bytes
    stage: str
    unit: str
    teacher: str
    model: str
    draw: int
    started_ns: int
    body: bytes
    failure: str
    cost_microusd: int
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    status: int
    error: str
    seconds: float
    place: int
    draws: int
    is_batched: int

    @property
    def ended_ns(self) -> int:
        """When its reply was there; how long it waited for its turn after it was journalled is not known."""
        return self.started_ns + int(self.seconds * 1e9)

    @property
    def may_be_again(self) -> bool:
        """Whether the same request may be sent once more."""
        return self.failure != "poison" and self.failure in FATES and FATES[self.failure].raises is Transient


@dataclass(slots=True)
class _Step:
    """The span of a step and what its requests came to."""

    span: Span
    ended_ns: int = 0
    requests: int = 0
    failed: int = 0
    used: list[int] = field(default_factory=lambda: [0, 0, 0])
    """Micro-dollars, tokens in, tokens out."""


class Spans:
    """Reads a run's store while it goes on, and tells of it in spans. Where they go the standard variables say."""

    def __init__(self, name: str, folder: Path, teachers: Mapping[str, Endpoint]) -> None:
        """Raises RecipeError for variables that ask for what is not there."""
        self._name, self._path = name, folder / "run.db"
        self._whom = {each: _whom(endpoint) for each, endpoint in teachers.items()}
        self._exporter, of = exporter(), resource()
        self._providers = TracerProvider(ALWAYS_ON, of), TracerProvider(resource=of)
        if self._exporter is not None:
            processor = BatchSpanProcessor(self._exporter)
            for provider in self._providers:
                provider.add_span_processor(processor)
        self._whole, self._each = (one.get_tracer("synth") for one in self._providers)
        self._heard, self._logger = Heard(), logging.getLogger("opentelemetry")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="synth-spans", daemon=True)
        self._run: Span | None = None
        self._id: dict[str, str] = {}
        self._steps: dict[str, _Step] = {}
        self._failed: dict[bytes, list[Attempt]] = {}
        """Requests that may be sent again."""
        self._open: set[int] = set()
        self._last = 0
        self._recorded = 0
        """Spans since all were sent that there were."""
        self._problem = ""
        self._decompress = zstandard.ZstdDecompressor().decompress

    def begin(self, run: str) -> None:
        """The run with this identity is about to ask."""
        self._logger.addHandler(self._heard)
        self._logger.propagate = False
        self._id = {"synth.run": run}
        attributes = {"gen_ai.operation.name": "invoke_workflow", "gen_ai.agent.name": self._name, **self._id}
        self._run = self._whole.start_span(f"invoke_workflow {self._name}", attributes=attributes)
        with readable(self._path), closing(connect(self._path)) as connection:
            self._last = connection.execute("SELECT coalesce(max(id), 0) FROM attempt").fetchone()[0]
            # what a batch is to bring was asked for earlier
            rows = connection.execute("SELECT id FROM attempt WHERE id NOT IN (SELECT attempt FROM settled)")
            self._open = {number for (number,) in rows}
        self._thread.start()

    def end(self, exit_code: int, text: str, attributes: Mapping[str, Any]) -> str:
        """The run is over; a sentence when not all could be sent, or empty."""
        if self._run is None:
            return ""
        self._stop.set()
        self._thread.join(CLOSING_S)
        self._close(self._run, exit_code, text, attributes)
        for provider in self._providers:
            provider.shutdown()
        self._logger.removeHandler(self._heard)
        self._logger.propagate = True
        late = "The last spans were not sent in time. " if self._thread.is_alive() else ""
        lost = 0 if self._exporter is None else self._exporter.lost
        said = f" ({self._heard.first})" if self._heard.first else ""
        unsent = f"{several(lost, 'span')} could not be sent{said}."
        return f"{late}{self._problem}{unsent if lost else ''}".strip()

    def _close(self, run: Span, exit_code: int, text: str, attributes: Mapping[str, Any]) -> None:
        total = [0, 0, 0]
        for step in list(self._steps.values()):  # the thread may be late, and still at work
            total = [one + other for one, other in zip(total, step.used, strict=True)]
            step.span.set_attributes({"synth.requests": step.requests, "synth.failed": step.failed, **_sums(step.used)})
            step.span.end(step.ended_ns)
        run.set_attributes({**_sums(total), **attributes, "synth.exit_code": exit_code})
        if exit_code:
            run.set_attribute("error.type", str(attributes.get("synth.state", exit_code)))
            run.set_status(Status(StatusCode.ERROR, text))
        run.end()

    def _follow(self) -> None:
        try:
            with closing(connect(self._path)) as connection:
                while not self._stop.wait(LOOK_EVERY_S):
                    self._look(connection)
                self._look(connection)
                with readable(self._path):
                    for tries in self._failed.values():  # nothing came of them
                        self._tell(connection, tries)
        except FolderError as error:
            self._problem = f"{error} Spans end there. "

    def _look(self, connection: Connection) -> None:
        """Tell what was settled since the last look."""
        with readable(self._path):
            new = connection.execute("SELECT id FROM attempt WHERE id > ? ORDER BY id", (self._last,)).fetchall()
            self._open.update(number for (number,) in new)
            self._last = new[-1][0] if new else self._last
            for some in self._settled(connection):
                for attempt in some:
                    self._take(connection, attempt)
                if self._recorded >= AT_ONCE:
                    self._providers[0].force_flush()
                    self._recorded = 0

    def _settled(self, connection: Connection) -> Iterator[list[Attempt]]:
        """What is settled of what was open, some at a time, so that no reader holds the log of the store for long."""
        settled = [number for (number,) in connection.execute(SETTLED, (_listed(self._open),)).fetchall()]
        self._open.difference_update(settled)
        for start in range(0, len(settled), AT_ONCE):
            rows = connection.execute(FOUND, (_listed(settled[start : start + AT_ONCE]),)).fetchall()
            yield [Attempt._make(row) for row in rows]

    def _take(self, connection: Connection, attempt: Attempt) -> None:
        if attempt.failure in NOT_SENT or attempt.place:
            return
        tries = [*self._failed.pop(attempt.key, ()), attempt]
        if attempt.may_be_again:
            self._failed[attempt.key] = tries
        else:
            self._tell(connection, tries)

    def _tell(self, connection: Connection, tries: Sequence[Attempt]) -> None:
        """A request as a span, and each of its sends that failed as an event."""
        last, step = tries[-1], self._step(tries[0])
        body = self._decompress(last.body)
        operation = _operation(body)
        span = self._each.start_span(
            f"{operation} {last.model}",
            Context(),
            SpanKind.CLIENT,
            {
                "gen_ai.operation.name": operation,
                "gen_ai.request.model": last.model,
                **self._whom.get(last.teacher, {}),
                **self._id,
            },
            [Link(step.span.get_span_context())],
            tries[0].started_ns,
        )
        step.requests += 1
        step.failed += last.failure != "ok"
        step.ended_ns = max(step.ended_ns, last.ended_ns)
        used = [_used(connection, one) for one in tries]
        for place in range(3):
            step.used[place] += sum(one[place] for one in used)
        if span.is_recording():
            self._recorded += 1
            for one, (cost, *_) in zip(tries, used, strict=True):
                if one.failure != "ok":
                    span.add_event("synth.failed_attempt", _failure(one, cost), one.ended_ns)
            came = self._came(connection, last, used) if last.failure == "ok" else {}
            own = {"synth.step": last.stage, "synth.cost_microusd": sum(cost for cost, *_ in used)}
            span.set_attributes({**_asked(orjson.loads(body), last), **came, **own})
            if last.failure != "ok":
                span.set_attribute("error.type", last.failure)
                span.set_status(Status(StatusCode.ERROR, ENGLISH.failures.get(last.failure, last.failure)))
        span.end(last.ended_ns)

    def _step(self, first: Attempt) -> _Step:
        if first.stage not in self._steps:
            assert self._run is not None
            context = set_span_in_context(self._run)
            attributes = {"synth.step": first.stage, **self._id}
            span = self._whole.start_span(
                f"step {first.stage}", context, attributes=attributes, start_time=first.started_ns
            )
            self._steps[first.stage] = _Step(span)
        return self._steps[first.stage]

    def _came(self, connection: Connection, last: Attempt, used: Sequence[Sequence[int]]) -> dict[str, Any]:
        """What the reply says of itself."""
        _, tokens_in, tokens_out, cached, written, reasoning = used[-1]
        came: dict[str, Any] = {"gen_ai.usage.input_tokens": tokens_in, "gen_ai.usage.output_tokens": tokens_out}
        parts = {"cache_read.input": cached, "cache_write.input": written, "reasoning.output": reasoning}
        came |= {f"gen_ai.usage.{name}_tokens": number for name, number in parts.items() if number}
        status, raw = connection.execute(REPLY, (last.id,)).fetchone()
        with suppress(TeacherError, Rejected):
            completion = read(Outcome(status, self._decompress(raw)), None)
            if completion.model:
                came["gen_ai.response.model"] = completion.model
            if completion.finish_reason and last.draws == 1:
                came["gen_ai.response.finish_reasons"] = [completion.finish_reason]
        return came


def _listed(numbers: Iterable[int]) -> str:
    return orjson.dumps([*numbers]).decode()


def _used(connection: Connection, attempt: Attempt) -> Sequence[int]:
    """Micro-dollars and tokens of a send: in, out, and of them cached, written to the cache, reasoning."""
    if attempt.draws > 1:
        row = connection.execute(USED, (attempt.id, attempt.id + attempt.draws - 1)).fetchone()
        return [int(number) for number in row]
    tokens = (attempt.prompt_tokens or 0, attempt.completion_tokens or 0, attempt.cached_tokens)
    return (attempt.cost_microusd, *tokens, attempt.cache_write_tokens, attempt.reasoning_tokens)


def _sums(used: Sequence[int]) -> dict[str, int]:
    names = ("synth.cost_microusd", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")
    return dict(zip(names, used, strict=True))


def _operation(body: bytes) -> str:
    """By the field that holds what is asked; no text can hold it so, as its quotes are escaped."""
    return "chat" if b'"messages":' in body else "text_completion" if b'"prompt":' in body else "embeddings"


def _whom(endpoint: Endpoint) -> dict[str, str | int]:
    """Who is asked, as far as one can tell: of replicas none in particular."""
    profile = endpoint.known
    known = next((name for name, one in named().items() if one == profile), UNKNOWN)
    whom: dict[str, str | int] = {"gen_ai.provider.name": PROVIDERS.get(known, known)}
    if not endpoint.base_url.startswith(HERE) and not endpoint.replicas:
        parts = urlsplit(endpoint.base_url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        whom |= {"server.address": parts.hostname or "", "server.port": port}
    return whom


def _asked(asked: Mapping[str, Any], last: Attempt) -> dict[str, Any]:
    """How it was asked, and for what; no text of it."""
    fields = {f"gen_ai.request.{name}": asked[key] for key, name in REQUEST_FIELDS.items() if asked.get(key)}
    if (named_format := asked.get("response_format")) is not None:
        fields["gen_ai.output.type"] = "json" if named_format.get("type") != "text" else "text"
    if last.draws > 1:
        fields["gen_ai.request.choice.count"] = last.draws
    own = {"teacher": last.teacher, "unit": last.unit, "draw": last.draw, "request": last.key.hex()}
    own["batched"] = bool(last.is_batched)
    return {**fields, **{f"synth.{name}": value for name, value in own.items()}}


def _failure(attempt: Attempt, cost_microusd: int) -> dict[str, str | int | float]:
    said: dict[str, str | int | float] = {"error.type": attempt.failure, "synth.seconds": attempt.seconds}
    said |= {"http.response.status_code": attempt.status} if attempt.status else {}
    said |= {"synth.transport_error": attempt.error} if attempt.error else {}
    return {**said, "synth.cost_microusd": cost_microusd}
