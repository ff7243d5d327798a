"""A submission is answered alike on the shortest way and on Flask's own, whatever is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import Schema, fields
from werkzeug.test import Client, TestResponse

from transqueue import Handler
from transqueue.access import Access, Guard, Scope
from transqueue.api.app import create_app
from transqueue.config import Config
from transqueue.errors import QueueUnavailable, SubmissionRefused
from transqueue.events import Event, Events
from transqueue.testing import MemoryQueue, SettableClock

ID = re.compile(rb"(?<![0-9a-f])[0-9]{21}(?![0-9a-f])")  # and no part of the id of a request, which may be all digits
SINGLE, BATCH = "/api/data/", "/api/data/batch"
ANN, TYPED = {"username": "ann", "value": 5}, {"type": "deposit", "data": {"username": "ann", "value": 5}}
KEYS = {"right": Access("ann", "1", frozenset({Scope.SUBMIT})), "reader": Access("bob", "2", frozenset({Scope.READ}))}

BODIES = {
    "classic": json.dumps(ANN).encode(),
    "typed": json.dumps(TYPED).encode(),
    "invalid": b'{"type": "deposit", "data": {"username": 5}}',
    "classic, invalid": b'{"username": 5}',
    "unknown type": b'{"type": "depost", "data": {}}',
    "no JSON": b"{",
    "a key twice": b'{"type": "deposit", "type": "deposit"}',
    "not UTF-8": b'"\xff"',
    "empty": b"",
    "breaks its schema": b'{"type": "breaks", "data": {}}',
    "batch": json.dumps({"transactions": [ANN, TYPED, {}, {"type": "deposit", "data": {}}]}).encode(),
    "lines": b"\n".join(json.dumps(one).encode() for one in (ANN, TYPED, {})),
    "large": json.dumps(ANN | {"username": "a" * 300_000}).encode(),
}
HEADERS = {
    "Content-Type": [None, "application/json", "application/json; charset=utf-8", "application/x-ndjson", "text/plain"],
    "Content-Encoding": [None, None, "gzip"],
    "Transfer-Encoding": [None, None, "chunked"],
    "Idempotency-Key": [None, "k", '"k"', "\t"],
    "X-Request-Id": ["r-1", "{}"],
    "Traceparent": [None, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-1"],
    "Authorization": [None, "Bearer right", "Bearer reader", "Bearer wrong", "Basic right"],
    "X-Forwarded-For": [None, None, "10.0.0.1"],
    "Origin": [None, None, "http://localhost", "http://elsewhere"],
    "Sec-Fetch-Site": [None, "none", "cross-site"],
    "Host": ["localhost", "127.0.0.1:5000", "[::1]:5000", "a..b", "a" * 70, "%", ""],
}
LENGTHS = ["right", "right", "right", "none", "short", "long", "many"]


class Deposit(Schema):
    username = fields.String(required=True)
    value = fields.Decimal(required=True)


class Breaks(Schema):
    def load(self, *_: Any, **__: Any) -> Any:
        raise ZeroDivisionError


HANDLERS = {
    type: Handler(type=type, target=print, schema=schema, plugin="ledger", version="1")
    for type, schema in (("deposit", Deposit()), ("breaks", Breaks()))
}


class Table:
    """A table written down by hand."""

    def resolve(self, type: str, /) -> Handler | None:
        return HANDLERS.get(type)

    def types(self) -> dict[str, Handler]:
        return HANDLERS

    def parked(self, _type: str, /) -> str | None:
        return None

    def vetters(self) -> tuple[()]:
        return ()

    def states(self) -> tuple[()]:
        return ()


class Keys:
    """A keyring: who shows which key."""

    def __init__(self, *, used: bool) -> None:
        self._used = used

    def in_use(self) -> bool:
        return self._used

    def authenticate(self, text: str) -> Access | None:
        return KEYS.get(text)


class Patient:
    """Nobody is told to wait."""

    def wait_seconds(self, _address: str) -> int:
        return 0


class Broken(MemoryQueue):
    """A queue that fails in any way."""

    trouble: Exception | None = None

    def enqueue(self, transactions: Any) -> Any:
        if self.trouble:
            raise self.trouble
        return super().enqueue(transactions)


class House:
    """One application and the two ways into it; a new queue for each, so that neither meets the other's keys."""

    def __init__(self, *, keys: bool = False, trouble: Exception | None = None) -> None:
        self._trouble = trouble
        self._guard = Guard(Keys(used=keys), Patient(), loopback=True)  # type: ignore[arg-type]

    def answers(self, path: str, body: bytes, headers: dict[str, str], length: str, method: str) -> list[Any]:
        return [self._answer(way, path, body, headers, length, method) for way in (_short, _long)]

    def _answer(
        self, way: Callable[[Flask], Any], path: str, body: bytes, headers: dict[str, str], length: str, method: str
    ) -> Any:
        heard: list[Event] = []
        clock, queue = SettableClock(), Broken()
        queue.trouble = self._trouble
        app = create_app(
            queue=queue, table=Table(), config=Config(), clock=clock, events=Events(heard.append), guard=self._guard
        )
        given = {"method": method, "data": body, "headers": headers, "environ_overrides": _length(length, body)}
        response = Client(way(app)).open(path, **given)
        stored = [
            (one.type, one.data, one.submitter, _told(one.request_id), one.traceparent)
            for one in queue.page().transactions
        ]
        told = [(event.name, event.facts.get("path")) for event in heard]
        return response.status_code, _comparable(response), ID.sub(b"<id>", response.data), stored, told


def _short(app: Flask) -> Any:
    return app.wsgi_app


def _long(app: Flask) -> Any:
    return partial(Flask.wsgi_app, app)


def _length(length: str, body: bytes) -> dict[str, str]:
    known = {"right": str(len(body)), "short": str(len(body) + 1), "long": str(max(0, len(body) - 1)), "many": "-1"}
    return {"CONTENT_LENGTH": known.get(length, "")}


def _comparable(response: TestResponse) -> list[tuple[str, str]]:
    shown = {name: ID.sub(b"<id>", value.encode()).decode() for name, value in response.headers}
    assert len(shown) == len(list(response.headers)), "a header twice"
    shown["X-Request-Id"] = _told(shown.get("X-Request-Id"))
    if shown.get("Retry-After", "").isdigit():
        shown["Retry-After"] = "soon"
    return sorted(shown.items())


def _told(request_id: str | None) -> str:
    """What there is to compare of a request's id: one that was made is another each time."""
    return request_id if request_id and request_id.startswith("r-") else f"{len(request_id or '')} characters"


HEADER_SETS = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in HEADERS.items()})


@settings(max_examples=150)
@given(
    path=st.sampled_from([SINGLE, BATCH, "/api/data", f"{SINGLE}x", f"{BATCH}/"]),
    body=st.sampled_from([*BODIES]),
    headers=HEADER_SETS,
    length=st.sampled_from(LENGTHS),
    method=st.sampled_from(["POST", "POST", "POST", "PUT", "OPTIONS", "HEAD"]),
    keys=st.booleans(),
)
def test_both_ways_answer_alike(
    path: str, body: str, headers: dict[str, str | None], length: str, method: str, *, keys: bool
) -> None:
    sent = {name: value for name, value in headers.items() if value is not None}
    short, long = House(keys=keys).answers(path, BODIES[body], sent, length, method)
    assert short == long


PLAIN = {"Content-Type": "application/json", "Host": "localhost", "X-Request-Id": "r-1"}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("path", [SINGLE, BATCH])
def test_both_ways_answer_each_body_alike(path: str, body: str) -> None:
    short, long = House().answers(path, BODIES[body], PLAIN, "right", "POST")
    assert short == long


@pytest.mark.parametrize(
    "trouble", [QueueUnavailable("gone"), ZeroDivisionError(), SubmissionRefused(429, "x", "y")], ids=repr
)
@pytest.mark.parametrize(("path", "body"), [(SINGLE, "classic"), (BATCH, "batch")])
def test_both_ways_tell_of_trouble_alike(trouble: Exception, path: str, body: str) -> None:
    short, long = House(trouble=trouble).answers(path, BODIES[body], PLAIN, "right", "POST")
    assert short == long
    assert short[0] in (429, 503)
