"""Bad requests at the door, against a real database: what comes in, what is answered; what is refused stores nothing.

The rows that need a socket of their own (slow, cut off, smuggled) are here by what the server hands on, and once more
over real connections in `tests/acceptance/test_door_attacks.py`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from flask.testing import FlaskClient
from marshmallow import INCLUDE, Schema, fields, validate
from pymongo import MongoClient

from transqueue import Handler
from transqueue.access import Guard, Keyring, Scope, Strangers
from transqueue.api.app import create_app
from transqueue.config import Config
from transqueue.events import Event, Events
from transqueue.mongodb import MongoQueue, connect

JSON = "application/json"
DATABASE = "test_bad_requests"
MIB = 2**20


class Payment(Schema):
    """An amount in minor units, strict."""

    amount = fields.Integer(required=True, strict=True, validate=validate.Range(1, 10**15))


class Rate(Schema):
    rate = fields.Decimal(required=True)


class Free(Schema):
    class Meta:
        unknown = INCLUDE

    note = fields.String()


def nothing(transaction: Any, context: Any) -> None:
    """Do nothing."""


HANDLERS = {
    "pay": Handler(type="pay", target=nothing, schema=Payment(), plugin="bank", version="1"),
    "rate": Handler(type="rate", target=nothing, schema=Rate(), plugin="bank", version="1"),
    "free": Handler(type="free", target=nothing, schema=Free(), plugin="bank", version="1"),
    "deposit": Handler(type="deposit", target=nothing, plugin="bank", version="1"),
}


class Claims:
    """A table written down by hand."""

    def resolve(self, type: str, /) -> Handler | None:
        return HANDLERS.get(type)

    def types(self) -> Mapping[str, Handler]:
        return HANDLERS

    def parked(self, type: str, /) -> str | None:
        return None

    def vetters(self) -> Any:
        return ()

    def states(self) -> Any:
        return []


class Door:
    """The application on a database of its own, and what went wrong inside it."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.queue: MongoQueue = connect(uri, DATABASE)
        self.heard: list[Event] = []
        events = Events(self.heard.append)
        guard = Guard(Keyring(self.queue.api_keys, self.queue.clock), Strangers(events, None), loopback=True)
        clock = self.queue.clock
        app = create_app(queue=self.queue, table=Claims(), config=Config(), clock=clock, events=events, guard=guard)
        self.client: FlaskClient = app.test_client()

    def stored(self) -> int:
        return sum(sum(states.values()) for states in self.queue.counts().values())

    def post(self, body: bytes, path: str = "/api/data/", **environ: Any) -> Any:
        """Send bytes as they are, with their length, unless `environ` says otherwise."""
        given = {"CONTENT_TYPE": JSON, "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body), **environ}
        kept = {name: value for name, value in given.items() if value is not None}
        return self.client.open(path, method="POST", environ_overrides=kept)


@pytest.fixture(scope="module")
def door(mongo_uri: str, mongo_client: MongoClient[dict[str, Any]]) -> Iterator[Door]:
    door = Door(mongo_uri)
    yield door
    assert [event for event in door.heard if event.name == "request.failed"] == []
    door.queue.close()
    mongo_client.drop_database(DATABASE)


def pay(amount: str) -> bytes:
    """A payment whose amount is written so."""
    return f'{{"type": "pay", "data": {{"amount": {amount}}}}}'.encode()


def free(data: str) -> bytes:
    """Any object, written so."""
    return f'{{"type": "free", "data": {data}}}'.encode()


def nested(levels: int) -> bytes:
    return free('{"a": ' + "[" * levels + "]" * levels + "}")


# What comes in: the body, the status wanted, and its code.
BODIES: dict[str, tuple[bytes, int, str]] = {
    'amount "5"': (pay('"5"'), 400, "invalid_data"),
    "amount 5.7": (pay("5.7"), 400, "invalid_data"),
    "amount 5.0": (pay("5.0"), 400, "invalid_data"),
    'amount "1_000"': (pay('"1_000"'), 400, "invalid_data"),
    "amount 1_000": (pay("1_000"), 400, ""),
    'amount " 7 "': (pay('" 7 "'), 400, "invalid_data"),
    "amount in Arabic digits": (pay('"\u0665"'), 400, "invalid_data"),
    "amount 1e5": (pay("1e5"), 400, "invalid_data"),
    "amount true": (pay("true"), 400, "invalid_data"),
    "amount null": (pay("null"), 400, "invalid_data"),
    "amount NaN": (pay("NaN"), 400, "invalid_json"),
    "amount 1e400": (pay("1e400"), 400, "invalid_json"),
    "amount -5": (pay("-5"), 400, "invalid_data"),
    "amount 0": (pay("0"), 400, "invalid_data"),
    "amount 2^63": (pay(str(2**63)), 400, "invalid_json"),
    "amount 10^15 + 1": (pay(str(10**15 + 1)), 400, "invalid_data"),
    "a 5,000-digit integer": (pay("9" * 5000), 400, "invalid_json"),
    "NaN in a free object": (free('{"a": NaN}'), 400, "invalid_json"),
    "Infinity in a free object": (free('{"a": [Infinity]}'), 400, "invalid_json"),
    "1e400 in a free object": (free('{"a": 1e400}'), 400, "invalid_json"),
    "2^64 in a free object": (free('{"a": 18446744073709551616}'), 400, "invalid_json"),
    "NUL in a key": (free(r'{"a\u0000b": 1}'), 400, "invalid_json"),
    "NUL in a value": (free(r'{"a": "b\u0000"}'), 400, "invalid_json"),
    "a lone surrogate in a value": (free(r'{"a": "\ud800"}'), 400, "invalid_json"),
    "a lone surrogate in a key": (free(r'{"\udfff": 1}'), 400, "invalid_json"),
    "the key $where": (free('{"$where": "1"}'), 400, "invalid_json"),
    "the key $where, deep": (free('{"a": [{"$where": "1"}]}'), 400, "invalid_json"),
    "a dotted key": (free('{"a.b": 1}'), 400, "invalid_json"),
    "an empty key": (free('{"": 1}'), 400, "invalid_json"),
    "duplicate keys": (free('{"a": 1, "a": 2}'), 400, "invalid_json"),
    "duplicate keys, one escaped": (free(r'{"a": 1, "\u0061": 2}'), 400, "invalid_json"),
    "an unknown field": (b'{"type": "pay", "data": {"amount": 5, "x": 1}}', 400, "invalid_data"),
    "_id beside the data": (b'{"type": "free", "data": {}, "_id": 1}', 400, "invalid_data"),
    "state beside the data": (b'{"type": "free", "data": {}, "state": "done"}', 400, "invalid_data"),
    "submitter beside the data": (b'{"type": "free", "data": {}, "submitter": "bob"}', 400, "invalid_data"),
    "an unknown option": (b'{"type": "free", "data": {}, "options": {"x": 1}}', 400, "invalid_data"),
    "an unknown type": (b'{"type": "nope", "data": {}}', 400, "unknown_type"),
    "a type that is an object": (b'{"type": {"$ne": ""}, "data": {}}', 400, "invalid_json"),
    "nesting 150": (nested(150), 400, "invalid_json"),
    "nesting 250": (nested(250), 400, "invalid_json"),
    "nesting 2,000": (nested(2_000), 400, ""),
    "nesting 100,000": (nested(100_000), 400, ""),
    "100,000 brackets that nothing closes": (b'{"type": "free", "data": ' + b"[" * 100_000, 400, ""),
    "a UTF-8 BOM": (b"\xef\xbb\xbf" + pay("5"), 400, ""),
    "UTF-16": (pay("5").decode().encode("utf-16"), 400, ""),
    "UTF-32": (pay("5").decode().encode("utf-32"), 400, ""),
    "latin-1 bytes": (free('{"a": "caf\xe9"}').decode().encode("latin-1"), 400, ""),
    "20,000 keys": (free(json.dumps({f"k{n}": 1 for n in range(20_000)})), 400, "invalid_json"),
    "60,000 keys": (free(json.dumps({f"k{n}": 1 for n in range(60_000)})), 413, "too_large"),
    "more than 256 KiB": (free(json.dumps({"a": "x" * 300_000})), 413, "too_large"),
    "more than 1 MiB": (free(json.dumps({"a": "x" * MIB})), 413, "too_large"),
    "16 MB, which no document may have": (free(json.dumps({"a": "x" * 16 * MIB})), 413, "too_large"),
    "nothing": (b"", 400, ""),
    "blanks": (b"  \n ", 400, ""),
    "half an object": (b'{"type": "free", "da', 400, ""),
    "an object, blanks and rubbish": (pay("5") + b" " * 1000 + b"!", 400, ""),
    "two objects": (pay("5") + pay("5"), 400, ""),
    "a list": (b"[]", 400, ""),
    "null": (b"null", 400, ""),
    "classic: value true": (b'{"username": "ann", "value": true}', 400, ""),
    'classic: value "5"': (b'{"username": "ann", "value": "5"}', 400, ""),
    "classic: value NaN": (b'{"username": "ann", "value": NaN}', 400, ""),
    "classic: value 10^15": (b'{"username": "ann", "value": 1000000000000000}', 400, ""),
    "classic: a digit below 10^-18": (b'{"username": "ann", "value": 0.0000000000000000001}', 400, ""),
    "classic: no username": (b'{"username": "", "value": 5}', 400, ""),
    "classic: a field more": (b'{"username": "ann", "value": 5, "state": "done"}', 400, ""),
}

# What comes in: what the server hands on, the status wanted, and its code.
REQUESTS: dict[str, tuple[dict[str, Any], int, str]] = {
    "charset=latin-1": ({"CONTENT_TYPE": f"{JSON}; charset=latin-1"}, 415, "unsupported_media_type"),
    "application/x+json": ({"CONTENT_TYPE": "application/x+json"}, 415, "unsupported_media_type"),
    "a vendor's JSON type": ({"CONTENT_TYPE": "application/vnd.acme+json"}, 415, "unsupported_media_type"),
    "text/plain, as a form of any page may send": ({"CONTENT_TYPE": "text/plain"}, 415, "unsupported_media_type"),
    "no Content-Type": ({"CONTENT_TYPE": None}, 415, "unsupported_media_type"),
    "a Content-Encoding": ({"HTTP_CONTENT_ENCODING": "gzip"}, 415, "unsupported_media_type"),
    "no Content-Length": ({"CONTENT_LENGTH": ""}, 411, "length_required"),
    "chunked, however long": ({"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}, 411, "length_required"),
    "chunked and a length": ({"HTTP_TRANSFER_ENCODING": "chunked"}, 411, "length_required"),
    "a negative length": ({"CONTENT_LENGTH": "-5"}, 411, "length_required"),
    "a length in Arabic digits": ({"CONTENT_LENGTH": "\u0665"}, 411, "length_required"),
    "cut short of its length": ({"CONTENT_LENGTH": "500"}, 400, "body_incomplete"),
    "announced as more than 256 KiB": ({"CONTENT_LENGTH": "262145"}, 413, "too_large"),
    "announced as more than 64 bits": ({"CONTENT_LENGTH": "9" * 30}, 413, "too_large"),
    "an empty idempotency key": ({"HTTP_IDEMPOTENCY_KEY": ""}, 400, "invalid_idempotency_key"),
    "an idempotency key of 256 characters": ({"HTTP_IDEMPOTENCY_KEY": "k" * 256}, 400, "invalid_idempotency_key"),
    "an idempotency key with a control character": ({"HTTP_IDEMPOTENCY_KEY": "a\x01b"}, 400, "invalid_idempotency_key"),
    "an idempotency key with a blank": ({"HTTP_IDEMPOTENCY_KEY": "a b"}, 400, "invalid_idempotency_key"),
    "an idempotency key that is not ASCII": ({"HTTP_IDEMPOTENCY_KEY": "caf\xe9"}, 400, "invalid_idempotency_key"),
}

# What comes in: the address, the status wanted, and its code.
ADDRESSES: dict[str, tuple[str, int, str]] = {
    "an id that nobody has": ("/api/data/" + "1" * 21, 404, "not_found"),
    "../ for an id": ("/api/data/..%2f..%2fetc%2fpasswd", 404, "not_found"),
    "%00 for an id": ("/api/data/%00", 404, "not_found"),
    "an id of 10 kB": ("/api/data/" + "1" * 10_000, 404, "not_found"),
    "an object for an id": ('/api/data/{"$ne":null}', 404, "not_found"),
    "Arabic digits for an id": ("/api/data/" + "\u0665" * 21, 404, "not_found"),
    "page=-1": ("/api/data/?page=-1", 400, "invalid_data"),
    "limit=10^9": ("/api/data/?limit=1000000000", 400, "invalid_data"),
    "limit=0": ("/api/data/?limit=0", 400, "invalid_data"),
    "limit=NaN": ("/api/data/?limit=nan", 400, "invalid_data"),
    "sort=$where": ("/api/data/?sort=$where", 400, "invalid_data"),
    "state[$ne]=": ("/api/data/?state[$ne]=done", 400, "invalid_data"),
    "a state that there is not": ("/api/data/?state=lost", 400, "invalid_data"),
    "an object for a cursor": ('/api/data/?after={"$gt":""}', 400, "invalid_data"),
    "wait=10^9": (f"/api/data/{'1' * 21}?wait=1000000000", 400, "invalid_data"),
    "wait=nan": (f"/api/data/{'1' * 21}?wait=nan", 400, "invalid_data"),
}


def judge(answer: Any, status: int, code: str, door: Door, before: int) -> None:
    told = answer.json
    assert answer.status_code == status, told
    assert told["status"] == "error"
    # Without a readable `type` it is a classic body, whose one answer has no code.
    assert told.get("code", "") in ({code} if code else {"", "invalid_json", "invalid_data"}), told
    assert "Traceback" not in answer.text
    assert door.stored() == before


@pytest.mark.parametrize(("body", "status", "code"), BODIES.values(), ids=BODIES)
def test_a_bad_body_is_refused_and_stores_nothing(door: Door, body: bytes, status: int, code: str) -> None:
    before = door.stored()
    judge(door.post(body), status, code, door, before)


@pytest.mark.parametrize("body", [body for body, status, _ in BODIES.values() if status == 400])
def test_the_same_in_a_batch_refuses_that_item_or_the_whole_and_stores_nothing(door: Door, body: bytes) -> None:
    before = door.stored()
    answer = door.post(b'{"transactions": [' + body + b"]}", "/api/data/batch")
    results = answer.json.get("data", {}).get("results", [])
    assert answer.status_code in (200, 400)
    assert [result for result in results if result["status"] == "success"] == []
    assert door.stored() == before


@pytest.mark.parametrize(("environ", "status", "code"), REQUESTS.values(), ids=REQUESTS)
def test_a_bad_request_is_refused_and_stores_nothing(
    door: Door, environ: dict[str, Any], status: int, code: str
) -> None:
    before = door.stored()
    judge(door.post(pay("5"), **environ), status, code, door, before)


@pytest.mark.parametrize(("address", "status", "code"), ADDRESSES.values(), ids=ADDRESSES)
def test_a_bad_address_is_refused(door: Door, address: str, status: int, code: str) -> None:
    judge(door.client.get(address), status, code, door, door.stored())


def test_whatever_is_no_id_is_answered_as_an_unknown_one_is(door: Door) -> None:
    asked = [address for address, status, _ in ADDRESSES.values() if status == 404 and "%2f" not in address]
    answers = {door.client.get(address).text for address in asked}
    assert len(answers) == 1


def test_a_key_with_another_body_is_422_and_stores_nothing(door: Door) -> None:
    assert door.post(pay("5"), HTTP_IDEMPOTENCY_KEY="order-1").status_code == 200
    before = door.stored()
    judge(door.post(pay("6"), HTTP_IDEMPOTENCY_KEY="order-1"), 422, "idempotency_key_reused", door, before)


# What looks bad and is right

RIGHT: dict[str, tuple[bytes, Any]] = {
    "a number for a Decimal field": (b'{"type": "rate", "data": {"rate": 0.1}}', {"rate": 0.1}),
    "the largest amount": (pay(str(10**15)), {"amount": 10**15}),
    "the least integer": (free(f'{{"a": {-(2**63)}}}'), {"a": -(2**63)}),
    "text that looks like an operator": (free('{"note": "$where: {$ne: 1}"}'), {"note": "$where: {$ne: 1}"}),
    "markup": (free('{"note": "<script>alert(1)</script>"}'), {"note": "<script>alert(1)</script>"}),
    "any script": (free('{"ключ": "日本語 🂡"}'), {"ключ": "日本語 🂡"}),
    "_id and state in free data": (free('{"_id": 1, "state": "done"}'), {"_id": 1, "state": "done"}),
}


@pytest.mark.parametrize(("body", "data"), RIGHT.values(), ids=RIGHT)
def test_what_only_looks_bad_is_stored_as_it_was_sent(door: Door, body: bytes, data: Any) -> None:
    answer = door.post(body)
    assert answer.status_code == 200, answer.json
    stored = door.queue.get(answer.json["data"]["transaction_id"])
    assert stored is not None
    assert (stored.data, stored.state) == (data, "queued")


# What is judged before what


def test_a_request_is_judged_from_the_outside_in(door: Door) -> None:
    """Route and method, key, media type, length, size, bytes, JSON, schema: one mistake less each time."""
    key = door.queue.api_keys.create("ann", [Scope.READ]).text
    good = door.queue.api_keys.create("ann", [Scope.SUBMIT]).text
    fresh = Door(door.uri)  # one that has not read the keys yet
    all_wrong: dict[str, Any] = {"CONTENT_TYPE": "text/plain", "HTTP_TRANSFER_ENCODING": "chunked"}
    rubbish = b"\xff{"
    steps: list[tuple[int, str, bytes, dict[str, Any]]] = [
        (404, "/api/nowhere", rubbish, all_wrong),
        (401, "/api/data/", rubbish, all_wrong),
        (403, "/api/data/", rubbish, all_wrong | {"HTTP_AUTHORIZATION": f"Bearer {key}"}),
        (415, "/api/data/", rubbish, (all_wrong := all_wrong | {"HTTP_AUTHORIZATION": f"Bearer {good}"})),
        (411, "/api/data/", rubbish, (all_wrong := all_wrong | {"CONTENT_TYPE": JSON})),
        (413, "/api/data/", rubbish * MIB, (right := {**all_wrong, "HTTP_TRANSFER_ENCODING": None})),
        (400, "/api/data/", rubbish, right),
        (400, "/api/data/", pay("-1"), right),
        (200, "/api/data/", pay("1"), right),
    ]
    answered = [fresh.post(body, path, **environ).status_code for _, path, body, environ in steps]
    door.queue.database["ApiKeys"].delete_many({})
    fresh.queue.close()
    assert answered == [status for status, *_ in steps]
