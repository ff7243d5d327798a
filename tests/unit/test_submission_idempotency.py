"""Idempotency keys: which are taken, how a batch derives them, and which bodies are the same."""

from __future__ import annotations

from decimal import Decimal

import pytest

from transqueue.errors import SubmissionRefused
from transqueue.submission import key_from_header, position_key
from transqueue.submission.idempotency import KEY, body_hash


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (None, None),
        ("a", "a"),
        ("a" * 255, "a" * 255),
        ('"a"', "a"),
        ('"' + "a" * 255 + '"', "a" * 255),
        (r'"a\"b\\c"', 'a"b\\c'),
        ("a,b;c", "a,b;c"),
    ],
)
def test_a_key_is_taken_bare_or_quoted(header: str | None, key: str | None) -> None:
    assert key_from_header(header) == key


@pytest.mark.parametrize(
    "header",
    ["", '""', "a" * 256, '"' + "a" * 256 + '"', "a b", '"a b"', 'a"', '"a', '"a"b', "a\x7f", "a\n", "é", "\x00"],
)
def test_anything_else_is_refused_with_400(header: str) -> None:
    with pytest.raises(SubmissionRefused) as refusal:
        key_from_header(header)
    assert (refusal.value.status, refusal.value.code) == (400, "invalid_idempotency_key")


def test_no_submitter_can_send_the_key_of_a_position() -> None:
    derived = {position_key(key, index) for key in ("a", "a#1", "a:1") for index in range(12)}
    assert len(derived) == 36
    assert not any(KEY.fullmatch(key) for key in derived)


def test_the_order_of_keys_does_not_change_a_body() -> None:
    assert body_hash("t", {"a": 1, "b": {"c": 2, "d": 3}}, {}) == body_hash("t", {"b": {"d": 3, "c": 2}, "a": 1}, {})


@pytest.mark.parametrize(
    "other",
    [
        ("u", {"a": 1}, {}),
        (None, {"a": 1}, {}),
        ("t", {"a": 2}, {}),
        ("t", {"a": "1"}, {}),
        ("t", {"a": True}, {}),
        ("t", {"a": Decimal("1.5")}, {}),
        ("t", {"a": 1}, {"priority": 0}),
    ],
)
def test_another_type_or_data_or_options_is_another_body(other: tuple[str | None, object, object]) -> None:
    assert body_hash("t", {"a": 1}, {}) != body_hash(*other)
