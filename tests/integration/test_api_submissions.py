"""The door's two bodies, one at a time and in batches, against the application in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from marshmallow import Schema, fields, validate

from transqueue import Handler
from transqueue.api.app import create_app
from transqueue.api.submissions import BATCH_BYTES, SINGLE_BYTES
from transqueue.config import Config
from transqueue.errors import QueueUnavailable
from transqueue.events import Event, Events
from transqueue.plugins import PluginState
from transqueue.queue import Receipt
from transqueue.testing import MemoryQueue, SettableClock
from transqueue.transaction import Transaction

CLASSIC_ERROR = {
    "status": "error",
    "message": "Invalid input. You must provide a username and a numeric value.",
}
JSON = "application/json"


class Deposit(Schema):
    username = fields.String(required=True)
    value = fields.Decimal(required=True, validate=validate.Range(min=0))


def nothing(transaction: Any, context: Any) -> None:
    """Do nothing."""


DEPOSIT = Handler(type="deposit", target=nothing, schema=Deposit(), plugin="ledger", version="1")
KEYED = Handler(type="keyed", target=nothing, ordering_key="account", plugin="keyed", version="1")
ANYTHING = replace(DEPOSIT, type="any", schema=None)


class Claims:
    """A table written down by hand."""

    def __init__(self) -> None:
        self.handlers = {one.type: one for one in (DEPOSIT, KEYED, ANYTHING)}
        self.broken: dict[str, str] = {}

    def resolve(self, type: str, /) -> Handler | None:
        return self.handlers.get(type)

    def types(self) -> Mapping[str, Handler]:
        return self.handlers

    def parked(self, type: str, /) -> str | None:
        return self.broken.get(type)

    def vetters(self):
        return ()

    def states(self) -> Sequence[PluginState]:
        return [PluginState(name="ledger", state="ok")]


class Away(MemoryQueue):
    """A queue whose database can be made not to answer, or to fail in a way that nobody foresaw."""

    trouble: Exception | None = None

    def enqueue(self, transactions: Sequence[Transaction]) -> list[Receipt]:
        if self.trouble:
            raise self.trouble
        return super().enqueue(transactions)


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def queue(clock: SettableClock) -> Away:
    return Away(clock=clock)


@pytest.fixture
def claims() -> Claims:
    return Claims()


@pytest.fixture
def heard() -> list[Event]:
    return []


@pytest.fixture
def client(queue: Away, claims: Claims, clock: SettableClock, heard: list[Event]) -> Iterator[FlaskClient]:
    app = create_app(queue=queue, table=claims, config=Config(), clock=clock, events=Events(heard.append))
    with app.test_client() as client:
        yield client


def post(client: FlaskClient, body: Any, path: str = "/api/data/", **headers: str) -> Any:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    length = {"CONTENT_LENGTH": str(len(sent))}
    return client.post(path, data=sent, content_type=JSON, headers=named, environ_overrides=length)


def stored(queue: MemoryQueue) -> int:
    return sum(sum(states.values()) for states in queue.counts().values())


ANN = {"username": "ann", "value": 5}


@pytest.mark.parametrize("path", ["/api/data/", "/api/data"])
def test_a_classic_body_is_answered_in_exactly_the_classic_words(client: FlaskClient, path: str) -> None:
    response = post(client, b'{"username": "user123", "value": 150.0}', path)
    identity = response.json["data"]["transaction_id"]
    assert response.status_code == 200
    assert response.get_data(as_text=True) == (
        '{"status":"success","message":"Data received for user user123",'
        f'"data":{{"username":"user123","value":150.0,"transaction_id":"{identity}"}}}}'
    )
    assert identity.isdigit()
    assert len(identity) == 21
    assert response.headers["Location"] == f"/api/data/{identity}"
    assert response.content_type == JSON


@pytest.mark.parametrize("value", ["150", "150.0", "150.00", "0.1", "1E+5", "999999999999999.999999999999999999"])
def test_the_value_is_given_back_as_sent_at_first_and_at_each_replay(client: FlaskClient, value: str) -> None:
    body = f'{{"username": "ann", "value": {value}}}'.encode()
    first, again = post(client, body, Idempotency_Key="k"), post(client, body, Idempotency_Key="k")
    assert f'"value":{value},' in first.get_data(as_text=True)
    assert first.data == again.data


NOT_CLASSIC = {
    "nothing": b"",
    "no JSON": b"username=ann&value=5",
    "cut short": b'{"username": "ann", "value": 5',
    "an array": b"[]",
    "null": b"null",
    "an empty object": b"{}",
    "no value": b'{"username": "ann"}',
    "no username": b'{"value": 5}',
    "empty username": b'{"username": "", "value": 5}',
    "username is a number": b'{"username": 5, "value": 5}',
    "username is null": b'{"username": null, "value": 5}',
    "username with NUL": b'{"username": "a\\u0000", "value": 5}',
    "username with half a surrogate pair": b'{"username": "\\ud800", "value": 5}',
    "value is a text": b'{"username": "ann", "value": "5"}',
    "value is true": b'{"username": "ann", "value": true}',
    "value is null": b'{"username": "ann", "value": null}',
    "value is NaN": b'{"username": "ann", "value": NaN}',
    "value is Infinity": b'{"username": "ann", "value": -Infinity}',
    "value overflows": b'{"username": "ann", "value": 1e400}',
    "value is 10^15": b'{"username": "ann", "value": 1000000000000000}',
    "value of 5,000 digits": b'{"username": "ann", "value": ' + b"9" * 5000 + b"}",
    "value with 19 places": b'{"username": "ann", "value": 0.0000000000000000001}',
    "key twice": b'{"username": "ann", "value": 5, "value": 6}',
    "another key": b'{"username": "ann", "value": 5, "_id": 1}',
    "operator": b'{"username": {"$gt": ""}, "value": 5}',
    "nested too deeply": b'{"username": ' + b"[" * 100_000,
    "Latin-1": '{"username": "é", "value": 5}'.encode("latin-1"),
    "UTF-16": '{"username": "ann", "value": 5}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"username": "ann", "value": 5}',
}


@pytest.mark.parametrize("body", NOT_CLASSIC.values(), ids=NOT_CLASSIC)
def test_anything_else_without_a_type_is_answered_with_exactly_two_keys(
    client: FlaskClient, queue: MemoryQueue, body: bytes
) -> None:
    response = post(client, body)
    assert (response.status_code, response.json) == (400, CLASSIC_ERROR)
    assert list(response.json) == ["status", "message"]
    assert stored(queue) == 0


INVALID_TYPED = {
    "type is a number": (b'{"type": 5, "data": {}}', "invalid_data"),
    "no data": (b'{"type": "any"}', "invalid_data"),
    "data is an array": (b'{"type": "any", "data": []}', "invalid_data"),
    "another key": (b'{"type": "any", "data": {}, "state": "done"}', "invalid_data"),
    "unknown option": (b'{"type": "any", "data": {}, "options": {"later": 1}}', "invalid_data"),
    "unknown type": (b'{"type": "anyy", "data": {}}', "unknown_type"),
    "operator": (b'{"type": "any", "data": {"$where": "1"}}', "invalid_json"),
    "dotted key": (b'{"type": "any", "data": {"a.b": 1}}', "invalid_json"),
    "NUL in a key": (b'{"type": "any", "data": {"a\\u0000": 1}}', "invalid_json"),
    "NaN": (b'{"type": "any", "data": {"a": NaN}}', "invalid_json"),
    "1e400": (b'{"type": "any", "data": {"a": 1e400}}', "invalid_json"),
    "2^64": (b'{"type": "any", "data": {"a": 18446744073709551616}}', "invalid_json"),
    "key twice": (b'{"type": "any", "data": {"a": 1, "a": 2}}', "invalid_json"),
    "depth 200": (b'{"type": "any", "data": ' + b'{"a":' * 200 + b"1" + b"}" * 201, "invalid_json"),
    "1,001 keys": (json.dumps({"type": "any", "data": {f"k{n}": n for n in range(999)}}).encode(), "invalid_json"),
    "ordering key missing": (b'{"type": "keyed", "data": {}}', "invalid_data"),
    "priority on a keyed type": (
        b'{"type": "keyed", "data": {"account": "a"}, "options": {"priority": 1}}',
        "invalid_data",
    ),
}


@pytest.mark.parametrize(("body", "code"), INVALID_TYPED.values(), ids=INVALID_TYPED)
def test_an_invalid_typed_body_is_refused_in_the_general_shape(
    client: FlaskClient, queue: MemoryQueue, body: bytes, code: str
) -> None:
    response = post(client, body)
    assert (response.status_code, response.json["status"], response.json["code"]) == (400, "error", code)
    assert response.json["message"]
    assert stored(queue) == 0


def test_field_errors_are_told_by_dotted_path(client: FlaskClient) -> None:
    body = {"type": "deposit", "data": {"username": "ann", "value": "much"}}
    response = post(client, body)
    assert response.json["code"] == "invalid_data"
    assert response.json["errors"] == {"data.value": ["Not a valid number."]}


def test_a_classic_body_that_the_default_types_schema_refuses_is_told_in_the_general_shape(client: FlaskClient) -> None:
    response = post(client, {"username": "ann", "value": -5})
    assert (response.status_code, response.json["code"]) == (400, "invalid_data")
    assert list(response.json["errors"]) == ["value"]


def test_a_typed_body_is_answered_with_its_state_and_data(client: FlaskClient, queue: MemoryQueue) -> None:
    body = {"type": "any", "data": {"a": [1.5, None, "é"]}, "options": {"delay_seconds": 60, "priority": 2}}
    response = post(client, body)
    assert response.status_code == 200
    data = dict(response.json["data"])
    transaction = queue.get(data.pop("transaction_id"))
    assert data == {"type": "any", "state": "queued", "data": body["data"]}
    assert transaction is not None
    assert transaction.due_at == transaction.created_at + timedelta(seconds=60)
    assert transaction.priority == 2


UNREADABLE = {
    "no content type": ({"CONTENT_TYPE": ""}, 415),
    "form": ({"CONTENT_TYPE": "application/x-www-form-urlencoded"}, 415),
    "vendor JSON": ({"CONTENT_TYPE": "application/vnd.x+json"}, 415),
    "Latin-1": ({"CONTENT_TYPE": "application/json; charset=latin-1"}, 415),
    "another parameter": ({"CONTENT_TYPE": "application/json; profile=x"}, 415),
    "NDJSON, alone": ({"CONTENT_TYPE": "application/x-ndjson"}, 415),
    "gzip": ({"HTTP_CONTENT_ENCODING": "gzip"}, 415),
    "chunked": ({"HTTP_TRANSFER_ENCODING": "chunked"}, 411),
    "no length": ({"CONTENT_LENGTH": ""}, 411),
    "length is no number": ({"CONTENT_LENGTH": "-5"}, 411),
    "too large": ({"CONTENT_LENGTH": str(SINGLE_BYTES + 1)}, 413),
    "length of 5,000 digits": ({"CONTENT_LENGTH": "9" * 5000}, 413),
    "shorter than announced": ({"CONTENT_LENGTH": "100"}, 400),
    "key with a blank": ({"HTTP_IDEMPOTENCY_KEY": "a b"}, 400),
    "empty key": ({"HTTP_IDEMPOTENCY_KEY": ""}, 400),
}


@pytest.mark.parametrize(("environ", "status"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_wrong_with_the_request_itself_is_told_in_the_general_shape(
    client: FlaskClient, queue: MemoryQueue, environ: dict[str, str], status: int
) -> None:
    body = json.dumps(ANN).encode()
    response = client.post("/api/data/", data=body, content_type=JSON, environ_overrides=environ)
    assert response.status_code == status
    assert {"status", "message", "code"} == set(response.json)
    assert stored(queue) == 0


@pytest.mark.parametrize(
    "kind", [JSON, "Application/JSON", "application/json;charset=UTF-8", 'application/json; charset="utf-8"']
)
def test_json_in_utf_8_may_be_named_in_several_ways(client: FlaskClient, kind: str) -> None:
    assert client.post("/api/data/", data=json.dumps(ANN), content_type=kind).status_code == 200


def test_the_largest_body_is_read(client: FlaskClient) -> None:
    body = json.dumps({"type": "any", "data": {"a": ""}})
    full = body.replace('""', '"' + "x" * (SINGLE_BYTES - len(body)) + '"').encode()
    assert post(client, full).status_code == 200
    assert post(client, full + b" ").status_code == 413


def test_a_replay_gets_the_first_answer_again(client: FlaskClient, queue: MemoryQueue) -> None:
    first, again, quoted = (post(client, ANN, Idempotency_Key=key) for key in ("k-1", "k-1", '"k-1"'))
    assert first.data == again.data == quoted.data
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == quoted.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert stored(queue) == 1


def test_a_replay_gets_the_first_answer_whatever_became_of_the_transaction(
    client: FlaskClient, queue: MemoryQueue
) -> None:
    body = {"type": "any", "data": {"a": 1.50}}
    first = post(client, body, Idempotency_Key="k")
    queue.cancel(first.json["data"]["transaction_id"])
    assert post(client, body, Idempotency_Key="k").data == first.data


@pytest.mark.parametrize("other", [{**ANN, "value": 6}, {"type": "deposit", "data": ANN}, {"type": "any", "data": {}}])
def test_the_same_key_with_another_body_is_refused(client: FlaskClient, queue: MemoryQueue, other: Any) -> None:
    post(client, ANN, Idempotency_Key="k")
    response = post(client, other, Idempotency_Key="k")
    assert (response.status_code, response.json["code"]) == (422, "idempotency_key_reused")
    assert stored(queue) == 1


def test_a_refused_submission_does_not_use_up_its_key(client: FlaskClient) -> None:
    assert post(client, {"username": "ann", "value": -1}, Idempotency_Key="k").status_code == 400
    assert post(client, ANN, Idempotency_Key="k").status_code == 200


@pytest.mark.parametrize("path", ["/api/data/", "/api/data/batch"])
def test_a_database_that_does_not_answer_is_told_as_unknown(client: FlaskClient, queue: Away, path: str) -> None:
    queue.trouble = QueueUnavailable()
    body: Any = {"transactions": [ANN]} if path.endswith("batch") else ANN
    response = post(client, body, path)
    assert (response.status_code, response.json["code"]) == (503, "unavailable")
    assert 1 <= int(response.headers["Retry-After"]) <= 5
    assert "unknown" in response.json["message"]
    assert "same Idempotency-Key" in response.json["message"]


def test_whatever_goes_wrong_inside_is_reported_and_answered_with_503(
    client: FlaskClient, queue: Away, heard: list[Event]
) -> None:
    queue.trouble = ZeroDivisionError("a secret")
    response = post(client, ANN)
    assert (response.status_code, response.json["code"]) == (503, "internal")
    assert "secret" not in response.get_data(as_text=True)
    assert [event.name for event in heard] == ["request.failed"]
    assert heard[0].facts["error"].startswith("ZeroDivisionError < ")
    assert "secret" not in repr(heard[0])


def test_a_type_whose_plugin_is_not_working_is_refused_with_a_time_to_come_back(
    client: FlaskClient, claims: Claims
) -> None:
    del claims.handlers["deposit"]
    claims.broken["deposit"] = "it could not be imported"
    response = post(client, {"type": "deposit", "data": ANN})
    assert (response.status_code, response.json["code"]) == (503, "handler_unavailable")
    assert int(response.headers["Retry-After"]) > 0


# Batches


def batch(client: FlaskClient, items: Sequence[Any], **headers: str) -> Any:
    return post(client, {"transactions": items}, "/api/data/batch", **headers)


def ndjson(client: FlaskClient, lines: bytes) -> Any:
    return client.post("/api/data/batch", data=lines, content_type="application/x-ndjson")


def test_a_batch_has_one_result_each_in_order_each_like_a_single_answer(
    client: FlaskClient, queue: MemoryQueue
) -> None:
    response = batch(
        client, [ANN, {"type": "any", "data": {"a": 1}}, {"username": "bob"}, {"type": "anyy", "data": {}}]
    )
    classic, typed, invalid, unknown = response.json["data"]["results"]
    assert response.status_code == 200
    assert classic["message"] == "Data received for user ann"
    assert list(classic["data"]) == ["username", "value", "transaction_id"]
    assert typed["data"]["state"] == "queued"
    assert invalid == CLASSIC_ERROR
    assert unknown["code"] == "unknown_type"
    assert stored(queue) == 2


def test_ids_follow_the_order_of_a_batch(client: FlaskClient) -> None:
    results = batch(client, [ANN] * 50).json["data"]["results"]
    ids = [result["data"]["transaction_id"] for result in results]
    assert ids == sorted(set(ids))


def test_a_batch_may_be_sent_line_by_line(client: FlaskClient, queue: MemoryQueue) -> None:
    lines = b'{"username": "ann", "value": 1.50}\r\n\n{"type": "any", "data": {"a": 1, "a": 2}}\nno JSON\n[]'
    results = ndjson(client, lines).json["data"]["results"]
    assert [result["status"] for result in results] == ["success", "error", "error", "error"]
    assert results[1]["code"] == "invalid_json"
    assert results[2] == results[3] == CLASSIC_ERROR
    assert stored(queue) == 1


def test_a_batch_counts_its_key_by_position(client: FlaskClient, queue: MemoryQueue) -> None:
    first = batch(client, [ANN, ANN], Idempotency_Key="k")
    again = batch(client, [ANN, {**ANN, "value": 6}, ANN], Idempotency_Key="k")
    results = again.json["data"]["results"]
    assert results[0] == {**first.json["data"]["results"][0], "replayed": True}
    assert results[1]["code"] == "idempotency_key_reused"
    assert results[2]["status"] == "success"
    assert stored(queue) == 3
    assert post(client, {**ANN, "value": 7}, Idempotency_Key="k").status_code == 200


def test_an_items_own_key_is_the_same_key_alone(client: FlaskClient, queue: MemoryQueue) -> None:
    alone = post(client, ANN, Idempotency_Key="own")
    results = batch(client, [{**ANN, "idempotency_key": "own"}, ANN], Idempotency_Key="k").json["data"]["results"]
    assert results[0] == {**alone.json, "replayed": True}
    assert stored(queue) == 2


BAD_BATCHES = {
    "no array": b'{"transactions": {}}',
    "nothing": b"{}",
    "an array alone": b"[]",
    "no JSON": b"x",
    "another key": b'{"transactions": [], "atomic": true}',
    "key twice": b'{"transactions": [{"username": "a", "username": "b", "value": 1}]}',
    "1,001 items": json.dumps({"transactions": [ANN] * 1001}).encode(),
}


@pytest.mark.parametrize("body", BAD_BATCHES.values(), ids=BAD_BATCHES)
def test_a_batch_that_is_none_is_refused_as_a_whole(client: FlaskClient, queue: MemoryQueue, body: bytes) -> None:
    response = post(client, body, "/api/data/batch")
    assert response.status_code == 400
    assert {"status", "message", "code"} <= set(response.json)
    assert stored(queue) == 0


def test_a_batch_holds_a_thousand(client: FlaskClient, queue: MemoryQueue) -> None:
    assert batch(client, [ANN] * 1000).json["message"] == "1000 of 1000 accepted"
    assert stored(queue) == 1000
    assert batch(client, []).json["data"] == {"results": []}


def test_an_item_that_would_be_refused_alone_is_refused_in_a_batch(client: FlaskClient) -> None:
    large = {"type": "any", "data": {"a": "x" * SINGLE_BYTES}}
    wide = {"type": "any", "data": {f"k{n}": n for n in range(1000)}}
    for results in (
        batch(client, [ANN, large, wide]).json["data"]["results"],
        ndjson(client, b"\n".join(json.dumps(one).encode() for one in (ANN, large, wide))).json["data"]["results"],
    ):
        assert [result.get("code") for result in results] == [None, "too_large", "invalid_json"]


def test_a_batch_larger_than_its_limit_is_refused(client: FlaskClient) -> None:
    environ = {"CONTENT_LENGTH": str(BATCH_BYTES + 1)}
    response = client.post("/api/data/batch", data=b"{}", content_type=JSON, environ_overrides=environ)
    assert response.status_code == 413
