"""What operators ask of the door and say to it: pause and resume, explain, what is measured, and the audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from transqueue import Handler
from transqueue.admin.report import ProcessReport
from transqueue.api.app import create_app
from transqueue.config import Config
from transqueue.events import Events
from transqueue.plugins import PluginState
from transqueue.queue import WorkerRecord
from transqueue.testing import MemoryQueue, SettableClock
from transqueue.transaction import TransactionIds

T0 = datetime(2026, 1, 1, tzinfo=UTC)
DEPOSIT = Handler(type="deposit", target=print, plugin="bank", version="1")
PAY = Handler(type="pay.*", target=print, plugin="bank", version="1")


class Claims:
    """A table written down by hand."""

    def resolve(self, type: str, /) -> Handler | None:
        return self.types().get(type) or (PAY if type.startswith("pay.") else None)

    def types(self) -> Mapping[str, Handler]:
        return {"deposit": DEPOSIT, "pay.*": PAY}

    def parked(self, type: str, /) -> str | None:
        return "plugin 'lost' is broken" if type == "lost" else None

    def vetters(self) -> Sequence[Any]:
        return ()

    def states(self) -> Sequence[PluginState]:
        broken = PluginState(name="lost", state="broken", phase="import", reason="no", cure="mend it", types=["lost"])
        return [PluginState(name="bank", state="ok", types=["deposit", "pay.*"]), broken]


@pytest.fixture
def queue() -> MemoryQueue:
    return MemoryQueue(SettableClock(T0))


@pytest.fixture
def client(queue: MemoryQueue) -> FlaskClient:
    return create_app(queue=queue, table=Claims(), config=Config(), clock=queue.clock, events=Events()).test_client()


def submit(client: FlaskClient, type: str = "deposit") -> str:
    answer = client.post("/api/data/", json={"type": type, "data": {}})
    return str(answer.json["data"]["transaction_id"])


def metrics(client: FlaskClient) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.text)
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def of(found: Mapping[Any, float], name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def test_a_type_is_paused_shown_everywhere_and_resumed(client, queue):
    answer = client.post("/api/types/deposit/pause?reason=maintenance")
    assert answer.status_code == 200
    pause = {"by": "local", "at": "2026-01-01T00:00:00.000Z", "reason": "maintenance"}
    assert answer.json["data"]["paused"] | {"at": pause["at"]} == {"type": "deposit", **pause}
    shown = {one["type"]: one["paused"] for one in client.get("/api/types").json["data"]["types"]}
    assert (shown["deposit"]["by"], shown["pay.*"]) == ("local", None)
    assert client.get("/api/types/deposit").json["data"]["paused"]["reason"] == "maintenance"
    assert client.get("/api/stats").json["data"]["paused"]["deposit"]["by"] == "local"
    assert client.get("/readyz").status_code == 200
    assert client.post("/api/types/deposit/resume").json["data"]["paused"] is None
    assert [one.action for one in queue.audit.page().entries] == ["type.resumed", "type.paused"]


def test_a_paused_type_is_still_accepted_and_explained(client):
    client.post("/api/types/pay.*/pause?reason=because")
    one = submit(client, "pay.bill")
    found = client.get(f"/api/data/{one}/explain").json["data"]
    assert found["transaction_id"] == one
    assert [reason["code"] for reason in found["reasons"]] == ["type_paused", "no_worker"]
    assert "paused by local" in found["summary"]
    assert found["summary"].endswith(": because.")


@pytest.mark.parametrize("type", ["deposit", "pay.*", "pay.bill", "lost"])
def test_what_is_claimed_or_parked_can_be_paused(client, type):
    assert client.post(f"/api/types/{type}/pause").status_code == 200


@pytest.mark.parametrize("type", ["depositt", "play.*", "*", "no such"])
def test_what_nobody_knows_cannot_be_paused(client, type):
    answer = client.post(f"/api/types/{type}/pause")
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


def test_words_that_change_nothing_are_refused_with_what_stands(client):
    client.post("/api/types/pay.*/pause")
    again = client.post("/api/types/pay.*/pause")
    assert (again.status_code, again.json["code"]) == (409, "wrong_state")
    assert "by local" in again.json["message"]
    inside = client.post("/api/types/pay.bill/resume")
    assert (inside.status_code, "pay.*" in inside.json["message"]) == (409, True)
    assert client.post("/api/types/deposit/pause?reason=" + "x" * 501).status_code == 400


def test_cancel_and_retry_are_in_the_audit(client, queue):
    one = submit(client)
    assert client.post(f"/api/data/{one}/cancel").status_code == 200
    assert client.post(f"/api/data/{one}/retry").status_code == 409
    (entry,) = queue.audit.page().entries
    assert (entry.action, entry.target, entry.by) == ("transaction.cancelled", one, "local")


def test_nothing_is_explained_of_what_is_not_there(client):
    assert client.get(f"/api/data/{TransactionIds().next(T0)}/explain").status_code == 404
    assert client.get("/api/data/nonsense/explain").status_code == 404


def test_metrics_tell_what_was_counted_what_waits_and_how_plugins_are(client, queue):
    submit(client)
    queue.clock.advance(30)
    record = WorkerRecord(id="w", host="here", pid=1, slot=0, types=("deposit",), broken={"lost": "no"})
    queue.begin(record, lease_seconds=60)
    queue.pause("pay.*", by="local")
    queue.measures.tally.add("deposit", "accepted")
    queue.measures.tally.add("deposit", "done", 2)
    queue.measures.tally.observe("deposit", 0.02, 7000, histogram="run")
    found = metrics(client)
    assert of(found, "transqueue_accepted_total", type="deposit") == 1
    assert of(found, "transqueue_settled_total", type="deposit", outcome="done") == 2
    assert of(found, "transqueue_settled_total", type="deposit", outcome="dead") == 0
    assert of(found, "transqueue_handler_seconds_bucket", type="deposit", le="0.025") == 1
    assert of(found, "transqueue_handler_seconds_bucket", type="deposit", le="+Inf") == 2
    assert of(found, "transqueue_handler_seconds_count", type="deposit") == 2
    assert of(found, "transqueue_depth", type="deposit", state="queued") == 1
    assert of(found, "transqueue_due", type="deposit") == 1
    assert of(found, "transqueue_oldest_wait_seconds", type="deposit") == 30
    assert of(found, "transqueue_workers", host="here") == 1
    assert of(found, "transqueue_plugin_up", plugin="bank", role="worker") == 1
    assert of(found, "transqueue_plugin_up", plugin="lost", role="api") == 0
    assert of(found, "transqueue_plugin_up", plugin="lost", role="worker") == 0
    assert of(found, "transqueue_type_paused", type="pay.*") == 1
    assert of(found, "transqueue_worker_deaths_total") == 0
    assert of(found, "transqueue_leases_lapsed_total") == 0


def test_a_plugin_that_is_broken_in_one_process_of_a_role_on_any_host_is_down_in_that_role(queue):
    def told(role, host, bank):
        plugins = {"bank": {"state": bank}, "afar": {"state": "ok"}}
        return ProcessReport(role=role, host=host, slot=0, pid=1, plugins=plugins)

    parts = {"queue": queue, "table": Claims(), "config": Config(), "clock": queue.clock, "events": Events()}
    client = create_app(**parts, reports=lambda: reports).test_client()
    reports = [told("api", "here", "ok"), told("api", "there", "broken"), told("worker", "there", "ok")]
    found = metrics(client)
    assert of(found, "transqueue_plugin_up", plugin="bank", role="api") == 0
    assert of(found, "transqueue_plugin_up", plugin="bank", role="worker") == 1
    assert of(found, "transqueue_plugin_up", plugin="afar", role="api") == 1
    reports[1] = told("api", "there", "ok")
    reports[2] = told("worker", "there", "missing")
    found = metrics(client)
    assert of(found, "transqueue_plugin_up", plugin="bank", role="api") == 1
    assert of(found, "transqueue_plugin_up", plugin="bank", role="worker") == 0


def test_metrics_of_an_empty_queue_are_well_formed(client):
    assert of(metrics(client), "transqueue_workers", host="") == 0


def test_a_request_keeps_its_id_from_the_header_to_the_transaction(client, queue):
    body, sent = {"type": "deposit", "data": {}}, "order-7/try.1"
    answer = client.post("/api/data/", json=body, headers={"X-Request-Id": sent})
    assert answer.headers["X-Request-Id"] == sent
    assert queue.get(answer.json["data"]["transaction_id"]).request_id == sent
    batch = client.post("/api/data/batch", json={"transactions": [body]}, headers={"X-Request-Id": sent})
    (result,) = batch.json["data"]["results"]
    assert queue.get(result["data"]["transaction_id"]).request_id == sent


@pytest.mark.parametrize("sent", [None, "", "two words", "x" * 129, "caf\u00e9", 'a"b'])
def test_a_request_without_a_well_formed_id_gets_one(client, queue, sent):
    headers = {} if sent is None else {"X-Request-Id": sent}
    answer = client.post("/api/data/", json={"type": "deposit", "data": {}}, headers=headers)
    made = answer.headers["X-Request-Id"]
    assert len(made) == 32
    assert queue.get(answer.json["data"]["transaction_id"]).request_id == made
    assert client.get("/nowhere").headers["X-Request-Id"] != made
