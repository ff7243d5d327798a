"""Strict reading: the rows of the bad-input table, one by one."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transqueue.errors import SubmissionRefused
from transqueue.submission import BATCH, SINGLE, Limits, has_type, read_json, strict_json, write_json
from transqueue.submission.strict_json import copied


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


REFUSED = {
    "nothing": b"",
    "blanks": b"  \n",
    "cut short": b'{"a": 1',
    "text after the end": b'{"a": 1} x',
    "two values": b"{} {}",
    "trailing comma": b'{"a": 1,}',
    "single quotes": b"{'a': 1}",
    "leading zero": b"[01]",
    "bare point": b"[1.]",
    "byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "UTF-32": '{"a": 1}'.encode("utf-32"),
    "Latin-1": '{"a": "é"}'.encode("latin-1"),
    "overlong UTF-8": b'"\xc0\xaf"',
    "UTF-8 of a surrogate": b'"\xed\xa0\x80"',
    "key twice": b'{"a": 1, "a": 2}',
    "key twice, deep": b'{"x": [{"a": 1, "b": 2, "a": 1}]}',
    "key twice, spelt differently": b'{"a": 1, "\\u0061": 2}',
    "NaN": b'{"a": NaN}',
    "Infinity": b"[Infinity]",
    "-Infinity": b"[-Infinity]",
    "float that overflows": b"[1e400]",
    "negative float that overflows": b"[-1e400]",
    "exponent beyond Decimal128": b"[1e-6200]",
    "zero with an exponent beyond Decimal128": b"[0e7000]",
    "exponent beyond Python": b"[1e99999999999999999999999]",
    "35 digits": b"[1." + b"1" * 34 + b"]",
    "2^63": b"[9223372036854775808]",
    "-2^63-1": b"[-9223372036854775809]",
    "5,000-digit integer": b"[" + b"9" * 5000 + b"]",
    "lone surrogate in a value": b'["\\ud800"]',
    "lone surrogate in a key": b'{"\\udfff": 1}',
    "NUL in a value": b'["a\\u0000"]',
    "NUL in a key": b'{"a\\u0000": 1}',
    "raw control character": b'["a\tb"]',
    "empty key": b'{"": 1}',
    "operator key": b'{"$where": 1}',
    "dotted key": b'{"a.b": 1}',
    "operator key, deep": b'{"a": [{"b": {"$gt": 1}}]}',
    "depth 21": nested(21),
    "depth 100,000": nested(100_000),
    "depth 100,000 without an end": b"[" * 100_000,
    "objects 2,000 deep": b'{"a":' * 2000,
    "1,001 keys": write_json({f"k{n}": n for n in range(1001)}).encode(),
    "1,001 keys in many objects": write_json([{"a": 1, "b": 2, "c": 3}] * 334).encode(),
}

ACCEPTED = {
    "depth 20": (nested(20), None),
    "brackets in a string": (b'["[[[[[[[[[[[[[[[[[[[[[[[[[[[["]', ["[" * 28]),
    "brackets after an escaped quote": (b'["\\"[[[[[[[[[[[[[[[[[[[[[[[["]', ['"' + "[" * 24]),
    "1,000 keys": (write_json({f"k{n}": n for n in range(1000)}).encode(), {f"k{n}": n for n in range(1000)}),
    "int64": (b"[9223372036854775807,-9223372036854775808]", [2**63 - 1, -(2**63)]),
    "34 digits": (b"[1." + b"1" * 33 + b"]", [Decimal("1." + "1" * 33)]),
    "a pair of surrogates": (b'["\\ud83d\\ude00"]', ["\U0001f600"]),
    "a dollar inside a key": (b'{"a$": 1}', {"a$": 1}),
    "a scalar": (b"true", True),
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_what_is_not_acceptable_json_is_refused_with_400(body: bytes) -> None:
    with pytest.raises(SubmissionRefused) as refusal:
        read_json(body)
    assert (refusal.value.status, refusal.value.code) == (400, "invalid_json")
    assert refusal.value.message.endswith(".")


@pytest.mark.parametrize(("body", "value"), ACCEPTED.values(), ids=ACCEPTED)
def test_what_is_within_the_limits_is_read(body: bytes, value: object) -> None:
    assert value is None or read_json(body) == value
    read_json(body)


def test_limits_are_the_callers() -> None:
    assert SINGLE.depth < BATCH.depth
    read_json(nested(3), Limits(depth=3, keys=0))
    with pytest.raises(SubmissionRefused, match="deeper than 2"):
        read_json(nested(3), Limits(depth=2, keys=0))


@pytest.mark.parametrize("number", ["150.0", "150.00", "0.1", "1E+5", "-0.0", "1E-18", "1", "-7"])
def test_a_number_is_written_as_it_was_read(number: str) -> None:
    assert write_json(read_json(f"[{number}]".encode())) == f"[{number}]"


def test_only_numbers_with_a_fraction_or_an_exponent_are_decimals() -> None:
    assert [type(one) for one in read_json(b"[1, 1.0, 1e2, true]")] == [int, Decimal, Decimal, bool]


def test_times_are_written_in_utc_with_milliseconds_and_z() -> None:
    moment = datetime(2026, 5, 1, 12, 0, 0, 1000, timezone(timedelta(hours=2)))
    assert write_json({"at": moment, "on": datetime(2026, 5, 1, tzinfo=UTC)}) == (
        '{"at":"2026-05-01T10:00:00.001Z","on":"2026-05-01T00:00:00.000Z"}'
    )


def test_a_float_that_is_no_json_number_is_written_as_null() -> None:
    assert write_json([float("nan"), float("inf")]) == "[null,null]"


@pytest.mark.parametrize(
    ("body", "typed"),
    [
        (b'{"type": "x", "type": "x"}', True),
        (b'{"type": "x", "n": NaN}', True),
        (b'{"type": "x", "n": ' + b"9" * 5000 + b"}", True),
        (b'{"a": NaN}', False),
        (b'[{"type": 1}]', False),
        (b'{"type": ', False),
        (b"\xff", False),
        (nested(100_000), False),
    ],
    ids=lambda value: str(value)[:25],
)
def test_an_unreadable_body_is_typed_if_it_is_an_object_with_the_key_type(body: bytes, typed: bool) -> None:
    assert has_type(body) is typed


@pytest.mark.parametrize(
    "body",
    [b'"' * 262_144, b'"\\' * 131_072, b'"\\"' * 87_000, b"[" * 262_144, b"[]," * 87_000, b'{"' * 131_072],
    ids=["quotes", "escapes", "escaped quotes", "open brackets", "empty arrays", "open objects"],
)
def test_no_body_of_the_largest_size_takes_long_to_refuse(body: bytes) -> None:
    started = time.thread_time()
    with pytest.raises(SubmissionRefused):
        read_json(body)
    assert time.thread_time() - started < 2.0


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(SubmissionRefused):  # and nothing else
        assert write_json(read_json(body))


KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00.$"), min_size=1, max_size=8)
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | KEYS
VALUES = st.recursive(
    SCALARS | st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
@settings(max_examples=200, deadline=None)
def test_what_is_written_is_read_back_the_same(value: object) -> None:
    assert read_json(write_json(value).encode()) == value


TEXTS = st.lists(st.sampled_from(['"', "\\", "{", "}", "[", "]", "a", '"{"', "[]", "{}"]), max_size=40).map("".join)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS, st.integers(0, 12))
def test_looking_at_brackets_alone_never_passes_what_is_nested_too_deeply(text, limit):
    body = text.encode()
    try:
        strict_json._measure_depth(body, limit)
    except SubmissionRefused:
        assert not strict_json._is_flat(body) or limit < 2 * strict_json.FLAT


def test_a_copy_shares_nothing_that_can_be_changed():
    value = {"a": [{"b": 1}, "c"], "d": {"e": [2]}, "f": Decimal(3)}
    copy = copied(value)
    copy["a"][0]["b"] = copy["d"]["e"][0] = 9
    assert value == {"a": [{"b": 1}, "c"], "d": {"e": [2]}, "f": Decimal(3)}
