"""What the door shows: transactions, types, plugins, health; and that no request gets a 5xx but 503."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marshmallow import INCLUDE, Schema, fields

from transqueue import Handler
from transqueue.api.app import create_app
from transqueue.api.waiters import Waiters
from transqueue.config import ApiConfig, Config
from transqueue.errors import QueueUnavailable
from transqueue.events import Event, Events
from transqueue.plugins import PluginState
from transqueue.testing import MemoryQueue, SettableClock
from transqueue.transaction import State, Transaction

T0 = datetime(2026, 1, 1, tzinfo=UTC)
NO_ID = "1" * 21


class Party(Schema):
    name = fields.String(metadata={"example": "Ann"})


class Transfer(Schema):
    value = fields.Decimal(required=True, metadata={"example": 5})
    note = fields.String(data_key="memo")
    to = fields.Nested(Party, required=True)


class Open(Schema):
    class Meta:
        unknown = INCLUDE


def transfer(transaction: Any, context: Any) -> None:
    """Move money.

    From here to there.
    """


TRANSFER = Handler(type="transfer", target=transfer, schema=Transfer(), plugin="bank", version="2.0", max_attempts=3)


class Claims:
    """A table written down by hand."""

    def __init__(self) -> None:
        self.handlers = {one.type: one for one in (TRANSFER, replace(TRANSFER, type="pay.*", schema=None))}
        self.broken = {"lost": "it could not be imported"}

    def resolve(self, type: str, /) -> Handler | None:
        return self.handlers.get(type) or (self.handlers["pay.*"] if type.startswith("pay.") else None)

    def types(self) -> Mapping[str, Handler]:
        return self.handlers

    def parked(self, type: str, /) -> str | None:
        return self.broken.get(type)

    def vetters(self):
        return ()

    def states(self) -> Sequence[PluginState]:
        return [PluginState(name="bank", state="ok", version="2.0", types=["transfer"])]


class Watched(MemoryQueue):
    """A queue that counts how often it is asked for ends, holds what is put, and may be away."""

    away = False

    def __init__(self, clock: SettableClock) -> None:
        super().__init__(clock=clock)
        self.asked: list[frozenset[str]] = []

    def ended(self, ids: Collection[str]) -> frozenset[str]:
        self.asked.append(frozenset(ids))
        return super().ended(ids)

    def get(self, transaction_id: str) -> Transaction | None:
        if self.away:
            raise QueueUnavailable
        return super().get(transaction_id)


class Fixed(Watched):
    """A queue that shows one transaction, whatever its state."""

    shown: Transaction

    def get(self, transaction_id: str) -> Transaction | None:
        return self.shown if transaction_id == self.shown.id else None


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock(T0)


@pytest.fixture
def queue(clock: SettableClock) -> Watched:
    return Watched(clock)


@pytest.fixture
def claims() -> Claims:
    return Claims()


@pytest.fixture
def heard() -> list[Event]:
    return []


@pytest.fixture
def make_app(claims: Claims, clock: SettableClock, heard: list[Event]) -> Callable[..., Flask]:
    def make(queue: MemoryQueue, threads: int = 8, default_type: str = "transfer") -> Flask:
        config = Config(default_type=default_type, api=ApiConfig(threads=threads))
        return create_app(queue=queue, table=claims, config=config, clock=clock, events=Events(heard.append))

    return make


@pytest.fixture
def client(make_app: Callable[..., Flask], queue: Watched) -> Iterator[FlaskClient]:
    with make_app(queue).test_client() as client:
        yield client


def submit(client: FlaskClient, **more: Any) -> str:
    body = {"type": "pay.bill", "data": {"a": 1}, **more}
    return str(client.post("/api/data/", json=body).json["data"]["transaction_id"])


def transaction(**fields: Any) -> Transaction:
    base = {"id": NO_ID, "type": "pay.bill", "data": {"a": 1}, "created_at": T0, "due_at": T0, "max_attempts": 3}
    return Transaction(**{**base, **fields})


# One transaction


def test_a_transaction_is_shown_with_its_times_in_utc(client: FlaskClient) -> None:
    identity = submit(client)
    response = client.get(f"/api/data/{identity}")
    assert response.json == {
        "status": "success",
        "data": {
            "transaction_id": identity,
            "type": "pay.bill",
            "state": "queued",
            "data": {"a": 1},
            "attempts": 0,
            "created_at": "2026-01-01T00:00:00.000Z",
            "due_at": "2026-01-01T00:00:00.000Z",
            "finished_at": None,
            "result": None,
            "error": None,
            "history": [],
        },
    }


def test_no_traceback_is_ever_shown(make_app: Callable[..., Flask], clock: SettableClock) -> None:
    error = {"type": "ValueError", "message": "no", "traceback": "File secret.py"}
    queue = Fixed(clock)
    queue.shown = transaction(
        state=State.DEAD,
        error=error,
        result={"n": float("nan")},
        history=({"at": T0, "what": "retry", "error": error},),
    )
    response = make_app(queue).test_client().get(f"/api/data/{NO_ID}")
    assert "secret" not in response.get_data(as_text=True)
    assert response.json["data"]["error"] == {"type": "ValueError", "message": "no"}
    assert response.json["data"]["history"][0]["at"] == "2026-01-01T00:00:00.000Z"
    assert response.json["data"]["result"] == {"n": None}


@pytest.mark.parametrize(
    "identity",
    [NO_ID, "1", "1" * 22, "x" * 21, "%00", "a%00b", "..%2f", "%ff", "9" * 10_000, "\u0661" * 21, "$where", "null"],
)
@pytest.mark.parametrize(("method", "tail"), [("GET", ""), ("POST", "/cancel"), ("POST", "/retry")])
def test_what_is_no_transaction_is_not_found(client: FlaskClient, identity: str, method: str, tail: str) -> None:
    response = client.open(f"/api/data/{identity}{tail}", method=method)
    assert (response.status_code, response.json["code"]) == (404, "not_found")


def test_cancel_ends_what_is_queued_and_nothing_else(client: FlaskClient) -> None:
    identity = submit(client)
    first, again = (client.post(f"/api/data/{identity}/cancel") for _ in range(2))
    assert (first.status_code, first.json["data"]["state"]) == (200, "cancelled")
    assert (again.status_code, again.json["code"]) == (409, "wrong_state")
    assert "cancelled" in again.json["message"]


def test_retry_is_for_the_dead_and_grants_what_the_handler_grants(
    make_app: Callable[..., Flask], clock: SettableClock
) -> None:
    granted: list[int] = []

    class Dead(Fixed):
        def redrive(self, transaction_id: str, *, more_attempts: int) -> bool:
            granted.append(more_attempts)
            well = self.shown.state is State.DEAD
            self.shown = replace(self.shown, state=State.QUEUED)
            return well

    queue = Dead(clock)
    queue.shown = transaction(state=State.DEAD, attempts=3, max_attempts=33)
    client = make_app(queue).test_client()
    first, again = (client.post(f"/api/data/{NO_ID}/retry") for _ in range(2))
    assert (first.status_code, first.json["data"]["state"]) == (200, "queued")
    assert (again.status_code, again.json["code"]) == (409, "wrong_state")
    assert granted == [3, 3]


# Waiting


def test_a_wait_ends_when_the_transaction_does(client: FlaskClient, queue: Watched) -> None:
    identity = submit(client)
    threading.Timer(0.2, queue.cancel, [identity]).start()
    started = time.monotonic()
    response = client.get(f"/api/data/{identity}?wait=20")
    assert response.json["data"]["state"] == "cancelled"
    assert 0.15 < time.monotonic() - started < 5


def test_a_wait_that_is_over_answers_the_present_state(client: FlaskClient) -> None:
    identity = submit(client)
    started = time.monotonic()
    assert client.get(f"/api/data/{identity}?wait=0.3").json["data"]["state"] == "queued"
    assert 0.25 < time.monotonic() - started < 5


def test_what_has_ended_is_not_waited_for(client: FlaskClient, queue: Watched) -> None:
    identity = submit(client)
    queue.cancel(identity)
    assert client.get(f"/api/data/{identity}?wait=20").json["data"]["state"] == "cancelled"
    assert queue.asked == []


def test_more_than_a_quarter_of_the_threads_do_not_wait(
    make_app: Callable[..., Flask], queue: Watched, wait_until: Callable[..., Any]
) -> None:
    app = make_app(queue, threads=8)
    ids = [submit(app.test_client()) for _ in range(3)]
    answers: list[str] = []

    def wait(identity: str) -> None:
        answers.append(app.test_client().get(f"/api/data/{identity}?wait=20").json["data"]["state"])

    threads = [threading.Thread(target=wait, args=[identity]) for identity in ids[:2]]
    for thread in threads:
        thread.start()
    wait_until(lambda: queue.asked and queue.asked[-1] == frozenset(ids[:2]))
    started = time.monotonic()
    assert app.test_client().get(f"/api/data/{ids[2]}?wait=20").json["data"]["state"] == "queued"
    assert time.monotonic() - started < 5
    for identity in ids:
        queue.cancel(identity)
    for thread in threads:
        thread.join(10)
    assert answers == ["cancelled", "cancelled"]


def test_one_thread_asks_for_all_who_wait_and_is_over_when_nobody_does(
    queue: Watched, wait_until: Callable[..., Any]
) -> None:
    waiters = Waiters(queue, limit=10)
    threads = [threading.Thread(target=waiters.wait, args=[str(n), 0.5]) for n in range(10)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(queue.asked[-1:] and queue.asked[-1]) == 10)
    for thread in threads:
        thread.join(10)
    wait_until(lambda: not waiters._waiting)
    assert len(queue.asked) < 40
    wait_until(lambda: not any(thread.name == "waiters" for thread in threading.enumerate()), message="it is over")


def test_a_database_that_fails_while_someone_waits_costs_only_that_look(
    clock: SettableClock, wait_until: Callable[..., Any]
) -> None:
    class Flaky(Watched):
        def ended(self, ids: Collection[str]) -> frozenset[str]:
            self.asked.append(frozenset(ids))
            if len(self.asked) < 4:
                raise QueueUnavailable
            return frozenset(ids)

    queue = Flaky(clock)
    started = time.monotonic()
    Waiters(queue, limit=1).wait("1", 20)
    assert time.monotonic() - started < 5
    assert len(queue.asked) >= 4


@pytest.mark.parametrize("wait", ["-1", "31", "1e9", "nan", "inf", "x", ""])
def test_a_wait_is_from_0_to_30_seconds(client: FlaskClient, wait: str) -> None:
    response = client.get(f"/api/data/{submit(client)}?wait={wait}")
    assert (response.status_code, list(response.json["errors"])) == (400, ["wait"])


# Lists


def test_a_list_is_paged_newest_first_by_its_cursor(client: FlaskClient) -> None:
    ids = [submit(client) for _ in range(5)]
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        page = client.get(f"/api/data/?limit=2{cursor and '&after=' + cursor}").json
        seen += [one["transaction_id"] for one in page["data"]]
        cursor = page["next"]
    assert seen == ids[::-1]


def test_a_list_is_filtered_by_state_and_type(client: FlaskClient, queue: Watched) -> None:
    first, second = submit(client), submit(client, type="pay.rent")
    queue.cancel(first)

    def listed(query: str) -> list[str]:
        return [one["transaction_id"] for one in client.get(f"/api/data{query}").json["data"]]

    assert listed("") == [second, first]
    assert listed("?state=cancelled") == [first]
    assert listed("?type=pay.rent") == [second]
    assert listed("?type=pay.rent&state=cancelled") == []


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=-1", "limit=x", "limit=1e9", "state=lost", "state=", "type=", "after=x", "after=",
     "sort=$where", "page=1", "type=" + "a" * 129, "after=" + "9" * 22],
)  # fmt: skip
def test_a_filter_that_is_none_is_refused(client: FlaskClient, query: str) -> None:
    response = client.get(f"/api/data/?{query}")
    assert (response.status_code, response.json["code"]) == (400, "invalid_data")
    assert list(response.json["errors"]) == [query.partition("=")[0]]


# Types and plugins


def test_a_type_is_described_for_those_who_want_to_submit_it(client: FlaskClient) -> None:
    described = client.get("/api/types/transfer").json["data"]
    schema = described.pop("schema")
    assert described == {
        "type": "transfer",
        "summary": "Move money.",
        "example": {"value": 5, "to": {"name": "Ann"}},
        "limits": {
            "max_attempts": 3,
            "backoff_seconds": [2.0, 300.0],
            "timeout_seconds": 60.0,
            "ordered": False,
            "bytes": 262144,
        },
        "plugin": "bank",
        "version": "2.0",
        "paused": None,
    }
    assert schema["required"] == ["to", "value"]
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == {"value", "memo", "to"}
    assert schema["properties"]["to"]["properties"]["name"]["type"] == "string"


def test_all_types_are_listed_each_as_it_is_described_alone(client: FlaskClient) -> None:
    listed = client.get("/api/types").json["data"]["types"]
    assert [one["type"] for one in listed] == ["pay.*", "transfer"]
    assert listed[1] == client.get("/api/types/transfer").json["data"]
    assert listed[0]["schema"] == {"type": "object"}


def test_a_type_of_a_family_is_described_as_the_family(client: FlaskClient) -> None:
    assert client.get("/api/types/pay.bill").json["data"]["type"] == "pay.*"


@pytest.mark.parametrize("type", ["nothing", "lost", "%00", "a" * 5000])
def test_a_type_without_a_handler_is_not_found(client: FlaskClient, type: str) -> None:
    response = client.get(f"/api/types/{type}")
    assert (response.status_code, response.json["code"]) == (404, "not_found")
    assert ("could not be imported" in response.json["message"]) is (type == "lost")


def test_a_schema_that_takes_more_says_so(client: FlaskClient, claims: Claims) -> None:
    claims.handlers["open"] = replace(TRANSFER, type="open", schema=Open())
    assert client.get("/api/types/open").json["data"]["schema"]["additionalProperties"] is True


def test_a_schema_beyond_description_is_shown_as_any_object_and_reported(
    client: FlaskClient, claims: Claims, heard: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transqueue.api.schemas.json_schema", lambda schema: 1 / 0)
    claims.handlers["odd"] = replace(TRANSFER, type="odd")
    assert client.get("/api/types/odd").json["data"]["schema"] == {"type": "object"}
    assert [(event.name, event.facts["part"]) for event in heard] == [("handler.failed", "json_schema")]


def test_plugins_are_shown_as_they_are(client: FlaskClient) -> None:
    (plugin,) = client.get("/api/plugins").json["data"]["plugins"]
    assert (plugin["name"], plugin["state"], plugin["types"]) == ("bank", "ok", ["transfer"])


def test_stats_count_by_type_and_state(client: FlaskClient, queue: Watched) -> None:
    first = submit(client)
    submit(client)
    queue.cancel(first)
    told = client.get("/api/stats").json["data"]
    assert (told["types"], told["paused"]) == ({"pay.bill": {"queued": 1, "cancelled": 1}}, {})
    assert told["counted_to"] == 10_000
    assert told["depths"]["types"]["pay.bill"] == {
        "queued": 1,
        "due": 1,
        "running": 0,
        "dead": 0,
        "oldest_due_at": told["depths"]["types"]["pay.bill"]["oldest_due_at"],
    }


# Health


def test_alive_answers_without_the_database(client: FlaskClient, queue: Watched) -> None:
    queue.away = True
    assert client.get("/healthz").status_code == 200


def test_ready_means_that_the_database_answers_and_the_default_type_has_a_handler(
    client: FlaskClient, queue: Watched, claims: Claims
) -> None:
    assert client.get("/readyz").status_code == 200
    queue.away = True
    claims.handlers.clear()
    response = client.get("/readyz")
    assert (response.status_code, response.json["code"]) == (503, "not_ready")
    assert set(response.json["errors"]) == {"database", "default_type"}
    assert int(response.headers["Retry-After"]) > 0


def test_a_question_that_the_database_does_not_answer_gets_503(client: FlaskClient, queue: Watched) -> None:
    queue.away = True
    response = client.get(f"/api/data/{NO_ID}")
    assert (response.status_code, response.json["code"]) == (503, "unavailable")
    assert 1 <= int(response.headers["Retry-After"]) <= 5


# Anything


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/api", 404),
        ("GET", "//api/data", 404),
        ("GET", "/api/data/../types", 404),
        ("PUT", "/api/data/", 405),
        ("OPTIONS", "/api/data/", 405),
        ("BREW", "/api/data/", 405),
        ("GET", "/api/data/1/cancel", 405),
        ("DELETE", "/healthz", 405),
    ],
)
def test_a_wrong_address_or_method_is_told_in_the_general_shape(
    client: FlaskClient, method: str, path: str, status: int
) -> None:
    response = client.open(path, method=method)
    assert response.status_code == status
    assert response.json["code"] == {404: "not_found", 405: "method_not_allowed"}[status]
    assert ("Allow" in response.headers) is (status == 405)


METHODS = st.sampled_from(["GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "X"])
PATHS = st.sampled_from(
    ["/api/data/", "/api/data/batch", f"/api/data/{NO_ID}", "/api/types/transfer", "/readyz", "/api/stats", "/%00"]
) | st.text(max_size=20).map(lambda text: "/" + text)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "CONTENT_TYPE": st.sampled_from(["application/json", "application/x-ndjson", 'a;b="', ";", "\xff"]),
        "CONTENT_LENGTH": st.sampled_from(["0", "5", "-1", "x", "9" * 30, "\xb2"]),
        "HTTP_HOST": st.sampled_from(["", "a b", "[", "\xff", "x" * 300, "a:99999"]),
        "HTTP_IDEMPOTENCY_KEY": st.text(st.characters(max_codepoint=255), max_size=5),
        "HTTP_TRANSFER_ENCODING": st.just("chunked"),
        "HTTP_CONTENT_ENCODING": st.sampled_from(["gzip", "identity", ""]),
        "QUERY_STRING": st.text(st.characters(max_codepoint=127), max_size=20),
    },
)
BODIES = st.binary(max_size=50) | st.sampled_from(
    [
        b'{"type": "transfer", "data": {}}',
        b'{"username": "a", "value": 1}',
        b'{"transactions": [1, {}, []]}',
        b"{}\n[]\nx",
    ]
)


@given(method=METHODS, path=PATHS, environ=HEADERS, body=BODIES)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_request_gets_a_5xx_but_503_and_every_error_has_the_one_shape(
    client: FlaskClient, heard: list[Event], method: str, path: str, environ: dict[str, str], body: bytes
) -> None:
    response = client.open(
        "/", method=method, data=body, environ_overrides={"PATH_INFO": path.encode().decode("latin-1"), **environ}
    )
    assert response.status_code < 500 or response.status_code == 503
    assert [event for event in heard if event.name == "request.failed"] == []
    if response.status_code >= 400 and method != "HEAD":
        assert {"status", "message"} <= set(response.json)
