"""Spans of attempts, looked at with the SDK's own exporter in memory."""

from __future__ import annotations

import pytest
import transqueue_otel
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from transqueue import Event, Reject, RetryLater, handler
from transqueue.testing import Kit, PluginContract


class TestContract(PluginContract):
    plugin = "otel"


TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


@handler("pay", max_attempts=2)
def pay(transaction, context):
    raised = {"reject": Reject("no"), "later": RetryLater(after_seconds=1), "fail": ValueError("broken")}
    if how := transaction.data.get("how"):
        raise raised[how]
    context.enqueue("note", {})
    return "paid"


@handler("note")
def note(transaction, context):
    return "noted"


@handler("many", batch=True)
def many(transactions, context):
    return [None for _ in transactions]


@pytest.fixture
def spans(monkeypatch):
    """What was exported, in memory."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(transqueue_otel.providers, "tracer", provider.get_tracer("test"))
    yield exporter.get_finished_spans
    provider.shutdown()


@pytest.fixture
def tq(spans, monkeypatch):
    monkeypatch.setattr(transqueue_otel.providers, "start", lambda *_: None)
    with Kit({"plugins": {"otel": {}, "shop": {}}}, provides={"shop": [pay, note, many]}) as kit:
        yield kit


def submit(tq, type="pay", headers=None, **data):
    answer = tq.door.client.post("/api/data/", json={"type": type, "data": data}, headers=headers or {})
    assert answer.status_code == 200, answer.text
    return answer.get_json()["data"]["transaction_id"]


def test_an_attempt_is_a_span_in_the_trace_of_its_submitter(tq, spans):
    id = submit(tq, headers={"traceparent": TRACEPARENT})
    tq.run()
    paid, noted = spans()
    assert (paid.name, paid.kind) == ("process pay", SpanKind.CONSUMER)
    assert f"{paid.context.trace_id:032x}" == TRACE
    assert f"{paid.parent.span_id:016x}" == PARENT
    assert paid.attributes["messaging.message.id"] == id
    assert paid.attributes["messaging.destination.name"] == "pay"
    assert (paid.attributes["transqueue.attempt"], paid.attributes["transqueue.plugin"]) == (1, "shop")
    assert f"{noted.context.trace_id:032x}" == TRACE


def test_each_attempt_is_a_span_and_an_exception_is_recorded(tq, spans):
    submit(tq, headers={"traceparent": TRACEPARENT}, how="fail")
    tq.run()
    tq.advance()
    tq.run()
    assert [span.attributes["transqueue.attempt"] for span in spans()] == [1, 2]
    assert {span.status.status_code for span in spans()} == {StatusCode.ERROR}
    assert spans()[0].events[0].attributes["exception.message"] == "broken"


@pytest.mark.parametrize(("how", "outcome"), [("reject", "Reject"), ("later", "RetryLater")])
def test_an_answer_of_the_handler_is_no_error(tq, spans, how, outcome):
    submit(tq, how=how)
    tq.run()
    (span,) = spans()
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes["transqueue.outcome"] == outcome


@pytest.mark.parametrize("header", [None, "nonsense", f"00-{'0' * 32}-{PARENT}-01", f"ff-{TRACE}-{PARENT}-01"])
def test_without_a_valid_traceparent_a_trace_begins(tq, spans, header):
    submit(tq, headers={"traceparent": header} if header else None, how="reject")
    tq.run()
    (span,) = spans()
    assert span.parent is None


def test_a_group_is_one_span_with_a_link_to_each_submitters_trace(tq, spans):
    for number in range(5):
        header = {"traceparent": TRACEPARENT.replace(PARENT, f"{number:016x}")} if number else {}
        submit(tq, "many", headers=header)
    tq.run()
    assert sum(span.attributes.get("messaging.batch.message_count", 1) for span in spans()) == 5
    group = max(spans(), key=lambda span: len(span.links))
    assert [f"{link.context.span_id:016x}" for link in group.links] == [f"{number:016x}" for number in range(1, 5)]
    assert group.parent is None


def test_events_are_counted_by_name_and_type(monkeypatch):
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader]).get_meter("test")
    monkeypatch.setattr(transqueue_otel.providers, "counter", meter.create_counter("transqueue.events"))
    for _ in range(2):
        transqueue_otel.transqueue_event(Event("transactions.completed", {"type": "pay", "count": 3}))
    transqueue_otel.transqueue_event(Event("worker.ready", {"slot": 1}))
    (metric,) = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
    counted = {tuple(point.attributes.items()): point.value for point in metric.data.data_points}
    assert counted == {(("event", "transactions.completed"), ("type", "pay")): 6, (("event", "worker.ready"),): 1}


def test_an_endpoint_without_the_exporter_is_told_with_the_cure(monkeypatch):
    providers = transqueue_otel.Providers()
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'transqueue-otel\[otlp\]'"):
        providers.start("transqueue", "http://127.0.0.1:4318", {}, "worker")
