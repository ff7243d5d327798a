"""Where spans and counts go: an exporter of our own for the configured endpoint, else what the process has set up."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

NAME = "transqueue"
FLUSH_MILLISECONDS = 2000
_OTLP = "opentelemetry.exporter.otlp.proto.http"


class Providers:
    """The tracer and the counter of this process; usable before `start`, and without it."""

    def __init__(self) -> None:
        self._tracing: TracerProvider | None = None
        self._metering: MeterProvider | None = None
        self.tracer = trace.get_tracer(NAME)
        self.counter = self._count(metrics.get_meter(NAME))

    def start(self, service_name: str, endpoint: str, headers: Mapping[str, str], role: str) -> None:
        """Export to the endpoint from now on.

        Raises:
            ModuleNotFoundError: the exporter is not installed.
        """
        if not endpoint:
            self.tracer, self.counter = trace.get_tracer(NAME), self._count(metrics.get_meter(NAME))
            return
        resource = Resource.create({"service.name": service_name, "transqueue.role": role})
        base = endpoint.rstrip("/")
        spans = _exporter("trace_exporter", "OTLPSpanExporter", f"{base}/v1/traces", headers)
        counts = _exporter("metric_exporter", "OTLPMetricExporter", f"{base}/v1/metrics", headers)
        self._tracing = TracerProvider(resource=resource)
        self._tracing.add_span_processor(BatchSpanProcessor(spans))
        self._metering = MeterProvider([PeriodicExportingMetricReader(counts)], resource=resource)
        self.tracer = self._tracing.get_tracer(NAME)
        self.counter = self._count(self._metering.get_meter(NAME))

    def stop(self) -> None:
        """Send what is left, for a moment, and end."""
        if self._tracing:
            self._tracing.force_flush(FLUSH_MILLISECONDS)
            self._tracing.shutdown()
        if self._metering:
            self._metering.shutdown(FLUSH_MILLISECONDS)
        self._tracing = self._metering = None

    def _count(self, meter: metrics.Meter) -> metrics.Counter:
        return meter.create_counter("transqueue.events", description="What happened, by event and type")


def _exporter(module: str, name: str, endpoint: str, headers: Mapping[str, str]) -> Any:
    try:
        found = getattr(import_module(f"{_OTLP}.{module}"), name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("the OTLP exporter is missing: pip install 'transqueue-otel[otlp]'") from error
    return found(endpoint=endpoint, headers=dict(headers), timeout=5)
