"""Admission: the transaction that an envelope becomes, and whose trouble it is when it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from marshmallow import Schema, fields, pre_load, validate

from transqueue import Handler
from transqueue.errors import SubmissionRefused
from transqueue.events import Event, Events
from transqueue.submission import Admission, Envelope, read_envelope
from transqueue.testing import SettableClock
from transqueue.transaction import Stamp, State, TransactionIds, free_lane, keyed_lane


class Deposit(Schema):
    username = fields.String(required=True)
    value = fields.Decimal(required=True, validate=validate.Range(min=0))


class Renaming(Schema):
    name = fields.String(data_key="full")

    @pre_load
    def tidy(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        data["full"] = data["full"].strip()
        return data


def nothing(transaction: Any, context: Any) -> None:
    """Do nothing."""


BASE = Handler(type="deposit", target=nothing, schema=Deposit(), plugin="ledger", version="1.2", max_attempts=5)


class Claims:
    """A table written down by hand."""

    def __init__(self, *handlers: Handler, broken: Mapping[str, str] | None = None) -> None:
        self._handlers = {handler.type: handler for handler in handlers}
        self._broken = broken or {}

    def resolve(self, type: str, /) -> Handler | None:
        family = next(
            (one for one in self._handlers.values() if one.is_family and type.startswith(one.type[:-1])), None
        )
        return self._handlers.get(type, family)

    def types(self) -> Mapping[str, Handler]:
        return self._handlers

    def parked(self, type: str, /) -> str | None:
        return self._broken.get(type)

    def vetters(self):
        return ()


@pytest.fixture
def heard() -> list[Event]:
    return []


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def admission(heard: list[Event], clock: SettableClock) -> Any:
    def make(*handlers: Handler, broken: Mapping[str, str] | None = None) -> Admission:
        ids = TransactionIds(randrange=lambda _: 7)
        table = Claims(*handlers, broken=broken)
        return Admission(table=table, default_type="deposit", clock=clock, events=Events(heard.append), ids=ids)

    return make


def typed(data: dict[str, Any], type: str = "deposit", **options: Any) -> Envelope:
    return read_envelope({"type": type, "data": data, "options": options})


def refused(admission: Admission, envelope: Envelope) -> SubmissionRefused:
    with pytest.raises(SubmissionRefused) as refusal:
        admission.admit(envelope)
    return refusal.value


ANN = {"username": "ann", "value": Decimal("1.50")}


def test_a_classic_body_becomes_a_queued_transaction_of_the_default_type(admission: Any, clock: SettableClock) -> None:
    transaction = admission(BASE).admit(read_envelope(ANN))
    assert (transaction.type, transaction.data, transaction.state) == ("deposit", ANN, State.QUEUED)
    assert transaction.created_at == transaction.due_at == clock.now()
    assert (transaction.max_attempts, transaction.priority, transaction.submitter) == (5, 0, "local")
    assert transaction.plugin == Stamp("ledger", "1.2")
    assert transaction.id == f"{round(clock.now().timestamp() * 1000)}00000007"
    assert transaction.lane == free_lane(transaction.id)
    assert transaction.idempotency is None


def test_what_is_stored_is_what_was_sent_not_what_the_schema_loaded(admission: Any) -> None:
    sent = {"full": " Ada "}
    transaction = admission(replace(BASE, schema=Renaming())).admit(typed(sent))
    assert transaction.data == {"full": " Ada "}


def test_the_schemas_errors_are_told_under_data(admission: Any) -> None:
    error = refused(admission(BASE), typed({"username": "ann", "value": "much", "note": 1}))
    assert (error.status, error.code) == (400, "invalid_data")
    assert error.errors == {"data.value": ["Not a valid number."], "data.note": ["Unknown field."]}


def test_a_classic_body_must_also_pass_the_default_types_schema(admission: Any) -> None:
    error = refused(admission(BASE), read_envelope({"username": "ann", "value": -1}))
    assert (error.status, error.code, list(error.errors)) == (400, "invalid_data", ["value"])


def test_the_key_and_the_hash_of_the_body_are_kept(admission: Any) -> None:
    admit = admission(BASE).admit
    first, same = admit(read_envelope(ANN), key="k").idempotency, admit(read_envelope(dict(ANN)), key="k").idempotency
    other = admit(read_envelope({**ANN, "value": 2}), key="k").idempotency
    assert first == same
    assert (first.key, other.key) == ("k", "k")
    assert first.body_hash != other.body_hash


def test_an_items_own_key_goes_before_the_one_of_its_position(admission: Any) -> None:
    envelope = replace(read_envelope(ANN), idempotency_key="own")
    assert admission(BASE).admit(envelope, key="k #0").idempotency.key == "own"


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({}, 0),
        ({"delay_seconds": 90}, 90),
        ({"delay_seconds": Decimal("0.5")}, 0.5),
        ({"run_at": "2026-01-01T02:00:00+01:00"}, 3600),
        ({"run_at": "2020-01-01T00:00:00Z"}, 0),
        ({"run_at": "0001-01-01T00:00:00+14:00"}, 0),
    ],
)
def test_a_transaction_is_due_when_asked_and_never_before_now(
    admission: Any, clock: SettableClock, options: dict[str, Any], seconds: float
) -> None:
    transaction = admission(BASE).admit(typed(ANN, **options))
    assert transaction.due_at == clock.now() + timedelta(seconds=seconds)


@pytest.mark.parametrize("run_at", ["2040-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"])
def test_a_start_more_than_ten_years_ahead_is_refused(admission: Any, run_at: str) -> None:
    assert list(refused(admission(BASE), typed(ANN, run_at=run_at)).errors) == ["options.run_at"]


def test_an_unknown_type_is_told_with_the_nearest_names(admission: Any) -> None:
    error = refused(admission(BASE, replace(BASE, type="transfer")), typed(ANN, type="depositt"))
    assert (error.status, error.code) == (400, "unknown_type")
    assert "'deposit'" in error.message
    assert "transfer" not in error.message


def test_a_family_takes_its_types_but_not_its_own_pattern(admission: Any) -> None:
    family = admission(replace(BASE, type="pay.*"))
    assert family.admit(typed(ANN, type="pay.invoice")).type == "pay.invoice"
    assert refused(family, typed(ANN, type="pay.*")).code == "unknown_type"


def test_a_type_whose_plugin_is_not_working_is_refused_for_now(admission: Any) -> None:
    error = refused(admission(broken={"deposit": "ImportError: no module named x"}), typed(ANN))
    assert (error.status, error.code) == (503, "handler_unavailable")
    assert error.retry_after_seconds
    assert "ImportError" in error.message


def test_a_classic_body_without_a_handler_for_the_default_type_is_refused_for_now(admission: Any) -> None:
    assert refused(admission(), read_envelope(ANN)).status == 503


@pytest.mark.parametrize("raised", [RuntimeError("boom"), SystemExit(1), RecursionError()])
def test_a_schema_that_fails_refuses_for_now_and_is_reported(
    admission: Any, heard: list[Event], raised: BaseException
) -> None:
    class Failing(Schema):
        @pre_load
        def fail(self, data: Any, **_: Any) -> Any:
            raise raised

    error = refused(admission(replace(BASE, schema=Failing())), typed(ANN))
    assert (error.status, error.code) == (503, "handler_unavailable")
    assert [(event.name, event.facts["plugin"], event.facts["part"]) for event in heard] == [
        ("handler.failed", "ledger", "schema")
    ]


KEYED = replace(BASE, schema=None, ordering_key="account.id")


def test_a_keyed_transaction_goes_to_the_lane_of_its_key(admission: Any) -> None:
    transaction = admission(KEYED).admit(typed({"account": {"id": "a-1"}}))
    assert transaction.ordering_key == "a-1"
    assert transaction.lane == keyed_lane("ledger", "a-1")


def test_an_ordering_key_may_be_a_function_of_the_data(admission: Any) -> None:
    keyed = replace(KEYED, ordering_key=lambda data: f"{data['from']}/{data.pop('to')}")
    data = {"from": "ann", "to": "bob"}
    transaction = admission(keyed).admit(typed(data))
    assert (transaction.ordering_key, transaction.data) == ("ann/bob", data)


@pytest.mark.parametrize("data", [{}, {"account": "a"}, {"account": {"id": 5}}, {"account": {"id": ""}}])
def test_data_without_the_ordering_key_is_refused(admission: Any, data: dict[str, Any]) -> None:
    error = refused(admission(KEYED), typed(data))
    assert (error.status, error.code) == (400, "invalid_data")
    assert error.errors.keys() <= {"data.account.id", "data"}
    by_function = replace(KEYED, ordering_key=lambda data: data["account"]["id"])
    assert refused(admission(by_function), typed(data)).status == 400


def test_an_ordering_function_that_fails_refuses_for_now_and_is_reported(admission: Any, heard: list[Event]) -> None:
    failing = replace(KEYED, ordering_key=lambda data: 1 / 0)
    assert refused(admission(failing), typed({})).status == 503
    assert heard[0].facts["part"] == "ordering_key"


@pytest.mark.parametrize(
    ("option", "value"), [("priority", 0), ("delay_seconds", 0), ("run_at", "2026-12-01T08:00:00Z")]
)
def test_a_keyed_type_takes_no_option_that_would_change_its_order(admission: Any, option: str, value: Any) -> None:
    error = refused(admission(KEYED), typed({"account": {"id": "a"}}, **{option: value}))
    assert list(error.errors) == [f"options.{option}"]


class Equal(Deposit):  # noqa: PLW1641 (that is the point)
    """One that cannot be remembered, because it has no hash."""

    def __eq__(self, _other: object) -> bool:
        return False


def test_a_schema_without_a_hash_is_judged_like_any_other(admission: Any) -> None:
    judged = admission(replace(BASE, schema=Equal()))
    assert judged.admit(typed(ANN)).type == "deposit"
    assert refused(judged, typed({})).code == "invalid_data"
