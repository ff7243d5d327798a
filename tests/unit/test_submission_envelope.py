"""The two bodies: what is a classic one, what is a typed one, and what is refused how."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transqueue.errors import SubmissionRefused
from transqueue.submission import CLASSIC_INVALID, ClassicBody, envelope, read_envelope, read_item, read_json

CLASSIC = {"username": "user123", "value": Decimal("150.0")}
TYPED = {"type": "transfer", "data": {"value": 5}}

NOT_CLASSIC = {
    "an array": [],
    "a text": "user123",
    "null": None,
    "an empty object": {},
    "no value": {"username": "ann"},
    "no username": {"value": 1},
    "empty username": {"username": "", "value": 1},
    "username of 257 characters": {"username": "a" * 257, "value": 1},
    "username is a number": {"username": 5, "value": 1},
    "username is null": {"username": None, "value": 1},
    "value is a text": {"username": "ann", "value": "5"},
    "value is true": {"username": "ann", "value": True},
    "value is null": {"username": "ann", "value": None},
    "value is an array": {"username": "ann", "value": [1]},
    "value is 10^15": {"username": "ann", "value": 10**15},
    "value is -10^15": {"username": "ann", "value": -(10**15)},
    "value is 1e15": {"username": "ann", "value": Decimal("1e15")},
    "a digit below 10^-18": {"username": "ann", "value": Decimal("1e-19")},
    "another key": {"username": "ann", "value": 1, "note": ""},
}

INVALID_TYPED = {
    "type is a number": ({"type": 5, "data": {}}, "type"),
    "type is empty": ({"type": "", "data": {}}, "type"),
    "type is too long": ({"type": "a" * 129, "data": {}}, "type"),
    "no data": ({"type": "a"}, "data"),
    "data is an array": ({"type": "a", "data": []}, "data"),
    "data is null": ({"type": "a", "data": None}, "data"),
    "another key": ({"type": "a", "data": {}, "state": "done"}, "state"),
    "a key of its own": ({"type": "a", "data": {}, "idempotency_key": "k"}, "idempotency_key"),
    "options is an array": ({"type": "a", "data": {}, "options": []}, "options"),
    "priority 11": ({"type": "a", "data": {}, "options": {"priority": 11}}, "options.priority"),
    "priority -11": ({"type": "a", "data": {}, "options": {"priority": -11}}, "options.priority"),
    "priority 1.0": ({"type": "a", "data": {}, "options": {"priority": Decimal("1.0")}}, "options.priority"),
    "priority true": ({"type": "a", "data": {}, "options": {"priority": True}}, "options.priority"),
    "priority is a text": ({"type": "a", "data": {}, "options": {"priority": "1"}}, "options.priority"),
    "negative delay": ({"type": "a", "data": {}, "options": {"delay_seconds": -1}}, "options.delay_seconds"),
    "delay of 100 years": ({"type": "a", "data": {}, "options": {"delay_seconds": 10**10}}, "options.delay_seconds"),
    "delay is a text": ({"type": "a", "data": {}, "options": {"delay_seconds": "5"}}, "options.delay_seconds"),
    "run_at without a zone": (
        {"type": "a", "data": {}, "options": {"run_at": "2026-12-01T08:00:00"}},
        "options.run_at",
    ),
    "run_at is a number": ({"type": "a", "data": {}, "options": {"run_at": 5}}, "options.run_at"),
    "run_at is no time": ({"type": "a", "data": {}, "options": {"run_at": "tomorrow"}}, "options.run_at"),
    "both starts": (
        {"type": "a", "data": {}, "options": {"delay_seconds": 1, "run_at": "2026-12-01T08:00:00Z"}},
        "options.run_at",
    ),
}


@pytest.mark.parametrize("value", NOT_CLASSIC.values(), ids=NOT_CLASSIC)
@pytest.mark.parametrize("read", [read_envelope, read_item])
def test_what_is_neither_classic_nor_typed_has_the_one_classic_answer(value: Any, read: Any) -> None:
    with pytest.raises(SubmissionRefused) as refusal:
        read(value)
    assert (refusal.value.status, refusal.value.code) == (400, CLASSIC_INVALID)
    assert refusal.value.message == "Invalid input. You must provide a username and a numeric value."


@pytest.mark.parametrize(("value", "path"), INVALID_TYPED.values(), ids=INVALID_TYPED)
def test_an_invalid_typed_body_is_refused_by_dotted_path(value: dict[str, Any], path: str) -> None:
    with pytest.raises(SubmissionRefused) as refusal:
        read_envelope(value)
    assert (refusal.value.status, refusal.value.code) == (400, "invalid_data")
    assert list(refusal.value.errors) == [path]
    assert refusal.value.errors[path]


@pytest.mark.parametrize("value", ["999999999999999.999999999999999999", "-1", "0", "1E+14", "1E-18"])
def test_a_classic_value_of_33_digits_at_most_is_taken_as_it_is(value: str) -> None:
    sent = read_json(f'{{"username": "ann", "value": {value}}}'.encode())
    envelope = read_envelope(sent)
    assert envelope.classic
    assert str(envelope.data["value"]) == value


def test_a_typed_body_keeps_its_data_and_options_as_sent() -> None:
    options = {"run_at": "2026-12-01T08:00:00+01:00", "priority": 3}
    envelope = read_envelope({**TYPED, "options": options})
    assert (envelope.type, envelope.data, envelope.options.sent) == ("transfer", {"value": 5}, options)
    assert envelope.options.priority == 3
    assert envelope.options.run_at is not None
    assert envelope.options.run_at.isoformat() == "2026-12-01T08:00:00+01:00"


@pytest.mark.parametrize("body", [CLASSIC, TYPED])
def test_an_item_of_a_batch_may_carry_its_own_key(body: dict[str, Any]) -> None:
    envelope = read_item({**body, "idempotency_key": "order-7"})
    assert envelope.idempotency_key == "order-7"
    assert "idempotency_key" not in envelope.data
    assert read_item(body).idempotency_key is None


@pytest.mark.parametrize("key", ["", "a b", "a" * 256, "a\n", "é", 5, None])
@pytest.mark.parametrize("body", [CLASSIC, TYPED])
def test_a_key_that_cannot_be_one_refuses_the_item(body: dict[str, Any], key: Any) -> None:
    with pytest.raises(SubmissionRefused) as refusal:
        read_item({**body, "idempotency_key": key})
    assert refusal.value.status == 400


ODD = st.sampled_from(
    [None, True, "", "x" * 256, "x" * 257, 10**15, 10**15 - 1, -(10**15), Decimal("1E-18"), Decimal("1E-19"), [], {}]
)
VALUES = st.one_of(ODD, st.text(max_size=5), st.integers(), st.decimals(allow_nan=False, allow_infinity=False))
NAMES = st.sampled_from(["username", "value", "type", "data", "other"])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_what_is_plainly_right_is_right_by_the_schema_too(value):
    if envelope._is_plainly_classic(value):
        assert not ClassicBody().validate(value)
    if envelope._is_plainly_typed(value):
        assert not envelope._TYPED.validate(value)


@pytest.mark.parametrize("value", [150, Decimal("150.0"), Decimal("1E+5"), -1])
def test_the_usual_bodies_are_plainly_right(value):
    assert envelope._is_plainly_classic({"username": "ann", "value": value})
    assert envelope._is_plainly_typed({"type": "deposit", "data": {}})


@given(st.from_regex(r"-?(0|[1-9]\d{0,16})(\.\d{1,20})?(E[+-]?\d{1,2})?", fullmatch=True).map(Decimal))
def test_a_short_number_is_within_the_range_of_a_classic_value(value: Decimal) -> None:
    assert bool(ClassicBody().validate({"username": "ann", "value": value})) is not _is_well(
        {"username": "ann", "value": value}
    )


def _is_well(body: dict[str, Any]) -> bool:
    try:
        read_envelope(body)
    except SubmissionRefused:
        return False
    return True
