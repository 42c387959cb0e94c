"""Where spans go: an OTLP collector over HTTP, as the standard OTEL_ variables say. Needs the extra `otel`."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from synth.errors import RecipeError

AFTER_FAILURE_S = 30.0
"""How long nothing is sent to a collector that took nothing."""
TAKEN = {
    "OTEL_TRACES_EXPORTER": ("", "otlp", "none"),
    "OTEL_EXPORTER_OTLP_PROTOCOL": ("", "http/protobuf"),
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": ("", "http/protobuf"),
}
"""What variables may say, of those that ask for packages which the extra does not bring."""


class Counting(SpanExporter):
    """Counts what a collector took; one that took nothing is left alone for a while."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._not_before = 0.0
        self.lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans."""
        if time.monotonic() >= self._not_before:
            if self._inner.export(spans) is SpanExportResult.SUCCESS:
                return SpanExportResult.SUCCESS
            self._not_before = time.monotonic() + AFTER_FAILURE_S
        self.lost += len(spans)
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Close it."""
        self._inner.shutdown()


class Heard(logging.Handler):
    """Keeps the first thing that OpenTelemetry has to say, which would stand in the middle of the view."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.first = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.first = self.first or " ".join(record.getMessage().split())[:300]


def exporter() -> Counting | None:
    """What sends spans; None where OTEL_TRACES_EXPORTER is `none`.

    Raises RecipeError for variables that ask for what is not there.
    """
    for name, taken in TAKEN.items():
        value = os.environ.get(name, "")
        if value not in taken:
            known = " or ".join(one for one in taken if one)
            raise RecipeError(f"{name} is {value!r}; synth sends spans by {known}: set it so, or unset it.")
    return None if os.environ.get("OTEL_TRACES_EXPORTER") == "none" else Counting(OTLPSpanExporter())


def resource() -> Resource:
    """Who sends them: `synth`, unless a variable says otherwise."""
    is_named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return Resource.create({} if is_named else {"service.name": "synth"})
