"""The door against requests that its own description makes up, right ones and wrong ones, always the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from marshmallow import INCLUDE, Schema, fields, validate
from schemathesis.checks import CHECKS
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation

from transqueue import Handler
from transqueue.api.app import create_app
from transqueue.api.operations import OPERATIONS, Operation
from transqueue.config import Config
from transqueue.events import Events
from transqueue.plugins import PluginState
from transqueue.submission.fields import Number
from transqueue.testing import MemoryQueue, SettableClock

EXAMPLES = 25
JUDGED = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
]
BATCH = "/api/data/batch"
ANY_TYPE = "/api/types/{type}"  # any text may be one
MOVING, MOVED = (f"{ANY_TYPE}/pause", f"{ANY_TYPE}/resume"), {200, 409}  # whatever may be paused, once


class Line(Schema):
    item = fields.String(required=True, validate=validate.Length(1, 20))
    count = fields.Integer(required=True, strict=True, validate=validate.Range(1, 100))


class Order(Schema):
    """An order of several lines."""

    customer = fields.String(required=True, validate=validate.Regexp(r"[a-z]{1,8}\Z"))
    lines = fields.Nested(Line, many=True, required=True)
    discount = Number(validate=validate.Range(0, 1))


class Open(Schema):
    class Meta:
        unknown = INCLUDE

    kind = fields.String(required=True, validate=validate.OneOf(["new", "used"]))


def nothing(transaction: Any, context: Any) -> None:
    """Do nothing."""


HANDLERS = {
    "deposit": Handler(type="deposit", target=nothing, plugin="bank", version="1"),
    "order": Handler(type="order", target=nothing, schema=Order(), ordering_key="customer", plugin="shop", version="1"),
    "stock.*": Handler(type="stock.*", target=nothing, schema=Open(), plugin="shop", version="1"),
    "stock.count": Handler(type="stock.count", target=nothing, plugin="shop", version="1"),
}


class Claims:
    """A table written down by hand."""

    def resolve(self, type: str, /) -> Handler | None:
        return HANDLERS.get(type) or (HANDLERS["stock.*"] if type.startswith("stock.") else None)

    def types(self) -> Mapping[str, Handler]:
        return HANDLERS

    def parked(self, type: str, /) -> str | None:
        return None

    def vetters(self):
        return ()

    def states(self) -> Sequence[PluginState]:
        return [PluginState(name="shop", state="ok", version="1", types=["order"])]


class Door:
    """The application on a queue in memory, and its own description of itself."""

    def __init__(self) -> None:
        self.queue = MemoryQueue(clock=SettableClock())
        self.app: Flask = create_app(
            queue=self.queue, table=Claims(), config=Config(), clock=self.queue.clock, events=Events(self._failed)
        )
        self.schema = schemathesis.openapi.from_wsgi("/openapi.json", self.app)
        self.failures: list[Any] = []

    def _failed(self, event: Any) -> None:
        self.failures.append(event)

    def stored(self) -> int:
        return sum(sum(states.values()) for states in self.queue.counts().values())

    def ended(self) -> str:
        """The id of a transaction that nobody has to wait for."""
        sent = {"type": "deposit", "data": {}}
        identity = str(self.app.test_client().post("/api/data/", json=sent).json["data"]["transaction_id"])
        assert self.queue.cancel(identity)
        return identity

    def described(self, operation: Operation) -> APIOperation:
        return self.schema[operation.path][operation.method.upper()]

    def fuzz(
        self,
        operation: APIOperation,
        mode: GenerationMode,
        judged: Sequence[str],
        *,
        examples: int = EXAMPLES,
        **fixed: Any,
    ) -> set[int]:
        """The statuses of what the door answers to so many requests, after judging each answer."""
        statuses: set[int] = set()
        checks = CHECKS.get_by_names(judged)

        @settings(
            max_examples=examples,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode, **fixed))
        def judge(case: Any) -> None:
            before = self.stored()
            response = case.call_and_validate(checks=checks)
            statuses.add(response.status_code)
            assert response.status_code < 500
            assert response.status_code < 400 or self.stored() == before
            assert self.failures == []

        judge()
        return statuses


@schemathesis.serializer("application/x-ndjson")
def lines(context: Any, value: Any) -> bytes:
    """A body of lines as it is sent."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@pytest.fixture(scope="module")
def door() -> Door:
    return Door()


def name(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


@pytest.mark.parametrize("operation", OPERATIONS, ids=name)
def test_what_the_description_allows_is_answered_as_described(door: Door, operation: Operation) -> None:
    statuses = door.fuzz(door.described(operation), GenerationMode.POSITIVE, JUDGED)
    assert statuses & {200, *(MOVED if operation.path in MOVING else ())} or (
        statuses == {404} and "{" in operation.path
    )


FORBIDDING = [one for one in OPERATIONS if one.body or (one.parameters and not one.path.startswith(ANY_TYPE))]


@pytest.mark.parametrize("operation", FORBIDDING, ids=name)
def test_what_the_description_forbids_is_refused_as_described(door: Door, operation: Operation) -> None:
    whole = operation.path != BATCH  # of which one wrong item does not refuse the others
    judged = [*JUDGED, "negative_data_rejection"] if whole else JUDGED
    statuses = door.fuzz(door.described(operation), GenerationMode.NEGATIVE, judged)
    assert statuses & ({400, 404} | (MOVED if operation.path in MOVING else set()))


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if "{" in one.path], ids=name)
def test_what_there_is_is_answered_as_described(door: Door, operation: Operation) -> None:
    there = {"transaction_id": door.ended(), "type": "stock.any"}
    given = {name: value for name, value in there.items() if f"{{{name}}}" in operation.path}
    statuses = door.fuzz(door.described(operation), GenerationMode.POSITIVE, JUDGED, path_parameters=given)
    if operation.path in MOVING:
        assert statuses <= MOVED
    else:
        assert statuses == ({409} if operation.method == "post" else {200})


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.body], ids=name)
def test_a_body_that_is_all_right_is_stored(door: Door, operation: Operation) -> None:
    before = door.stored()
    door.fuzz(door.described(operation), GenerationMode.POSITIVE, JUDGED, examples=4 * EXAMPLES)
    assert door.stored() > before
