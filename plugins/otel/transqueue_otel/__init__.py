"""OpenTelemetry: a span for each attempt, in the trace in which its transaction was submitted, and a counter of events.

Spans are exported in the background by the SDK. Nothing here waits for an exporter, and nothing is lost with one.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from marshmallow import Schema, fields, validate
from opentelemetry import trace
from opentelemetry.context import Context as Trace
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from transqueue import Event, Handler, Reject, RetryLater, Transaction, hookimpl

from .providers import Providers

transqueue_api = "1.0"

_propagator = TraceContextTextMapPropagator()
providers = Providers()


class Config(Schema):
    """Where to send spans and counts."""

    service_name = fields.String(
        load_default="transqueue",
        validate=validate.Length(1, 128),
        metadata={"description": "How the spans name their service."},
    )
    endpoint = fields.String(
        load_default="", metadata={"description": "OTLP over HTTP; empty: the provider that the process has itself."}
    )
    headers = fields.Dict(
        fields.String(),
        fields.String(),
        load_default=dict,
        load_only=True,
        metadata={"description": "Headers for the endpoint, such as its authorization."},
    )


@hookimpl
def transqueue_config_schema() -> type[Schema]:
    """Where to send."""
    return Config


@hookimpl
def transqueue_startup(role: str, config: Mapping[str, Any]) -> None:
    """Begin to export."""
    providers.start(config["service_name"], config["endpoint"], config["headers"], role)


@hookimpl
def transqueue_shutdown() -> None:
    """Send what is left."""
    providers.stop()


@hookimpl
def transqueue_event(event: Event) -> None:
    """Count what happens, by name and type."""
    facts = {"type": event.facts["type"]} if isinstance(event.facts.get("type"), str) else {}
    providers.counter.add(int(event.facts.get("count", 1)), {"event": event.name, **facts})


@hookimpl(wrapper=True)
def transqueue_run(transaction: Transaction | Sequence[Transaction], handler: Handler) -> Generator[None, Any, Any]:
    """One attempt, of a transaction or of a group, is one span."""
    members = [transaction] if isinstance(transaction, Transaction) else list(transaction)
    parent, links = _context(members)
    with providers.tracer.start_as_current_span(
        f"process {members[0].type}",
        context=parent,
        kind=SpanKind.CONSUMER,
        attributes=_attributes(members, handler),
        links=links,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            return (yield)
        except (Reject, RetryLater) as answer:
            span.set_attribute("transqueue.outcome", type(answer).__name__)
            raise
        except BaseException as error:
            _failed(span, error)
            raise


def _failed(span: Span, error: BaseException) -> None:
    span.record_exception(error)
    span.set_status(Status(StatusCode.ERROR, type(error).__name__))


def _context(members: Sequence[Transaction]) -> tuple[Trace | None, list[Link]]:
    """One alone continues its submitter's trace; a group is a span of its own, with a link to each."""
    traces = [_propagator.extract({"traceparent": one.traceparent}) for one in members if one.traceparent]
    if len(members) == 1:
        return (traces[0] if traces else Trace()), []
    return Trace(), [Link(trace.get_current_span(one).get_span_context()) for one in traces]


def _attributes(members: Sequence[Transaction], handler: Handler) -> dict[str, Any]:
    first = members[0]
    one: dict[str, Any] = {"messaging.message.id": first.id, "transqueue.attempt": first.attempt}
    return {
        "messaging.system": "transqueue",
        "messaging.operation.type": "process",
        "messaging.destination.name": first.type,
        "transqueue.plugin": handler.plugin,
        **(one if len(members) == 1 else {"messaging.batch.message_count": len(members)}),
    }
