"""One attempt, judged: what handlers return and raise, as it is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import Schema, ValidationError, fields, pre_load

from transqueue.attempt import (
    MESSAGE_CHARACTERS,
    RESULT_BYTES,
    TRACEBACK_CHARACTERS,
    ResultRefused,
    completed,
    decide,
    loaded,
    told_error,
)
from transqueue.handlers import Handler
from transqueue.outcome import Reject, RetryLater, Verb
from transqueue.transaction import Transaction

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
DAY = 24 * 3600
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc_.", max_size=3), inner, max_size=4),
    max_leaves=12,
)


class Deposit(Schema):
    at = fields.DateTime(required=True)


class Unwrapping(Schema):
    at = fields.String(required=True)

    @pre_load
    def unwrap(self, data, **_):
        data["at"] = data["at"].pop("day")
        return data


def transaction(**given_fields):
    given_fields = {"id": "1" * 21, "type": "t", "data": {}, "max_attempts": 3} | given_fields
    return Transaction(created_at=NOW, due_at=NOW, **given_fields)


HANDLER = Handler(type="t", target=lambda transaction, context: None, backoff_seconds=(2, 300))


def judged(error, of=None, *, luck=1.0, handler=HANDLER):
    return decide(error, of or transaction(), handler, now=NOW, random=lambda: luck)


def raised(error):
    """The error after it was raised, so that it has a traceback."""
    try:
        raise error  # noqa: TRY301
    except BaseException as caught:
        return caught


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


class Unspeakable(Exception):
    def __str__(self):
        raise ValueError("no words")


class Forgetful(Reject):
    def __init__(self):
        """Forgets to call what it inherits."""


# What a handler returned


@given(JSON_VALUES)
def test_a_json_value_is_kept_as_it_is(value):
    assert completed(value).result == value


def test_nothing_returned_is_a_completion_without_a_result():
    outcome = completed(None)
    assert (outcome.verb, outcome.result, outcome.error, outcome.charged) == (Verb.COMPLETE, None, None, True)


def test_a_result_is_what_a_submitter_will_see_after_json():
    assert completed((1, (2, 3))).result == [1, [2, 3]]
    assert completed({2: None, "b": True}).result == {"2": None, "b": True}


def test_a_result_is_a_copy_that_the_handler_cannot_change_later():
    value = {"lines": [1]}
    outcome = completed(value)
    value["lines"].append(2)
    assert outcome.result == {"lines": [1]}


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        {"a": [float("inf")]},
        float("-inf"),
        b"bytes",
        {"a": b"bytes"},
        {1, 2},
        object(),
        Decimal("1.5"),
        NOW,
        {(1, 2): "a"},
        2**63,
        -(2**63) - 1,
        {"a": [10**30]},
        10**5000,
        {"a\0b": 1},
        {"$set": 1},
        {"a": [{"$where": 1}]},
        "\ud800",
        {"\udfff": 1},
        nested(100_000),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_json_or_cannot_be_stored_is_refused(value):
    with pytest.raises(ResultRefused, match="the handler's result is not JSON"):
        completed(value)


def test_a_result_that_contains_itself_is_refused():
    value = []
    value.append(value)
    with pytest.raises(ResultRefused, match="not JSON"):
        completed(value)


def test_a_result_nested_more_deeply_than_the_database_keeps_is_refused():
    assert completed(nested(100)).result == nested(100)
    with pytest.raises(ResultRefused, match="at most 100 levels"):
        completed(nested(101))
    with pytest.raises(ResultRefused, match="at most 100 levels"):
        completed({"a": nested(100)})


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63)])
def test_integers_of_64_bits_are_kept(number):
    assert completed([number]).result == [number]


def test_dollars_and_nul_are_only_refused_in_keys():
    assert completed({"price$": "$5 \0"}).result == {"price$": "$5 \0"}


@pytest.mark.parametrize("letter", ["x", "€"])
def test_a_result_may_be_sixteen_kibibytes_of_json_and_no_more(letter):
    room = (RESULT_BYTES - 2) // len(letter.encode())
    assert completed(letter * room).result == letter * room
    with pytest.raises(ResultRefused, match=r"is 1638\d bytes of JSON; at most 16384 are kept"):
        completed(letter * (room + 1))


def test_follow_ups_go_with_the_completion():
    mail = transaction(id="2" * 21, type="mail")
    assert completed(None, (mail,)).follow_ups == (mail,)


# What a handler raised


def test_a_reject_is_final_charged_and_needs_no_traceback():
    outcome = judged(Reject("insufficient funds"))
    assert (outcome.verb, outcome.charged) == (Verb.REJECT, True)
    assert outcome.error == {"type": "Reject", "message": "insufficient funds"}


def test_a_reject_on_the_last_attempt_is_still_a_reject():
    assert judged(Reject("no"), transaction(attempts=2)).verb is Verb.REJECT


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), SystemExit(3), KeyboardInterrupt(), MemoryError()])
def test_anything_else_is_a_charged_retry(error):
    outcome = judged(error)
    assert (outcome.verb, outcome.charged, outcome.deferred_since) == (Verb.RETRY, True, None)
    assert outcome.error["type"] == type(error).__name__


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 2), (1, 4), (2, 8), (9, 300)])
def test_a_retry_waits_by_the_handlers_backoff(attempts, seconds):
    outcome = judged(ValueError(), transaction(attempts=attempts, max_attempts=100))
    assert outcome.due_at == NOW + timedelta(seconds=seconds)


def test_the_backoff_takes_the_injected_luck():
    assert judged(ValueError(), luck=0.0).due_at == NOW + timedelta(seconds=0.2)
    assert judged(ValueError(), luck=0.5).due_at == NOW + timedelta(seconds=1.1)


@pytest.mark.parametrize(("attempts", "verb"), [(0, Verb.RETRY), (1, Verb.RETRY), (2, Verb.BURY), (5, Verb.BURY)])
def test_the_last_of_max_attempts_is_buried(attempts, verb):
    outcome = judged(ValueError("still no"), transaction(attempts=attempts, max_attempts=3))
    assert (outcome.verb, outcome.charged) == (verb, True)
    assert outcome.error["message"] == "still no"
    assert (outcome.due_at is None) == (verb is Verb.BURY)


def test_later_is_an_uncharged_retry_that_remembers_since_when():
    outcome = judged(RetryLater("closed", after_seconds=90))
    assert (outcome.verb, outcome.charged) == (Verb.RETRY, False)
    assert (outcome.due_at, outcome.deferred_since) == (NOW + timedelta(seconds=90), NOW)
    assert outcome.error == {"type": "RetryLater", "message": "closed"}


def test_later_is_not_counted_against_max_attempts():
    assert judged(RetryLater(after_seconds=1), transaction(attempts=2, max_attempts=3)).verb is Verb.RETRY


def test_later_again_keeps_the_first_moment():
    since = NOW - timedelta(days=3)
    assert judged(RetryLater(after_seconds=1), transaction(deferred_since=since)).deferred_since == since


@pytest.mark.parametrize(("ago", "verb"), [(7 * DAY - 1, Verb.RETRY), (7 * DAY, Verb.BURY), (8 * DAY, Verb.BURY)])
def test_later_expires_seven_days_after_it_was_first_said(ago, verb):
    outcome = judged(RetryLater(after_seconds=60), transaction(deferred_since=NOW - timedelta(seconds=ago)))
    assert (outcome.verb, outcome.charged) == (verb, False)


def test_later_expires_when_the_handler_says():
    waiting = transaction(deferred_since=NOW - timedelta(seconds=10))
    assert judged(RetryLater(after_seconds=1, expires_after_seconds=11), waiting).verb is Verb.RETRY
    assert judged(RetryLater(after_seconds=1, expires_after_seconds=10), waiting).verb is Verb.BURY


def test_later_is_never_later_than_its_expiry():
    outcome = judged(RetryLater(after_seconds=DAY, expires_after_seconds=60))
    assert outcome.due_at == NOW + timedelta(seconds=60)


def test_an_ordinary_failure_ends_the_time_of_asking_for_later():
    assert judged(ValueError(), transaction(deferred_since=NOW)).deferred_since is None


# Whatever it raised, there is an outcome, and it can be stored


def test_a_time_beyond_the_calendar_is_a_failed_attempt_that_says_so():
    outcome = judged(raised(RetryLater(after_seconds=1e15, expires_after_seconds=1e15)))
    assert (outcome.verb, outcome.charged, outcome.error["type"]) == (Verb.RETRY, True, "OverflowError")


def test_a_reject_that_lost_its_reason_is_a_failed_attempt():
    outcome = judged(raised(Forgetful()))
    assert (outcome.verb, outcome.error["type"]) == (Verb.RETRY, "AttributeError")


def test_an_error_that_cannot_say_anything_is_told_by_its_name():
    told = told_error(raised(Unspeakable()))
    assert told["type"] == "Unspeakable"
    assert "Unspeakable" in told["traceback"]
    json.dumps(told)


def test_an_error_is_kept_with_the_end_of_its_traceback_all_bounded():
    told = told_error(raised(ValueError("x" * 100_000)))
    assert told["message"] == "x" * MESSAGE_CHARACTERS
    assert len(told["traceback"]) == TRACEBACK_CHARACTERS
    short = told_error(raised(ValueError("short")))
    assert short["traceback"].startswith("Traceback (most recent call last)")
    assert short["traceback"].endswith("ValueError: short\n")


@pytest.mark.parametrize("kind", [Reject, lambda reason: RetryLater(reason, after_seconds=1), ValueError])
def test_every_message_is_bounded_and_can_be_stored(kind):
    long, odd = judged(kind("x" * 100_000)).error, judged(kind("a\ud800b")).error
    assert long["message"] == "x" * MESSAGE_CHARACTERS
    assert odd["message"] == "a?b"
    for text in (*long.values(), *odd.values()):
        text.encode()


# What a handler is given


def test_without_a_schema_each_run_gets_a_copy_of_its_own():
    stored = transaction(data={"lines": [1]})
    given_data = loaded(stored, HANDLER).data
    given_data["lines"].append(2)
    assert stored.data == {"lines": [1]}
    assert loaded(stored, HANDLER).data == {"lines": [1]}


def test_each_run_loads_what_was_stored_also_where_the_schema_changes_what_it_is_given():
    stored = transaction(data={"at": {"day": "2026-05-04"}})
    found = [loaded(stored, replace(HANDLER, schema=Unwrapping())).data for _ in range(2)]
    assert found == [{"at": "2026-05-04"}] * 2
    assert stored.data == {"at": {"day": "2026-05-04"}}


def test_with_a_schema_the_data_is_what_it_loads_and_nothing_else_changes():
    stored = transaction(data={"at": "2026-05-04T12:00:00+00:00"})
    found = loaded(stored, replace(HANDLER, schema=Deposit()))
    assert found.data == {"at": NOW}
    assert replace(found, data=stored.data) == stored


def test_data_that_the_schema_refuses_by_now_is_raised():
    with pytest.raises(ValidationError):
        loaded(transaction(data={"at": "yesterday"}), replace(HANDLER, schema=Deposit()))
