"""What dead transactions have in common."""

from __future__ import annotations

import pytest

from transqueue.admin.cause import CAUSE_LENGTH, cause_of, parts_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("no account 17", "no account 18"),
        ("no account 'ann'", "no account 'bob'"),
        ('unknown "a b"', 'unknown "c"'),
        ("<object at 0x7f12aa>", "<object at 0x7f99bb>"),
        ("id 6b1f6a52-3c1b-4f0e-9d37-0a3c5d0b7f11 is gone", "id 0c1f6a52-3c1b-4f0e-9d37-0a3c5d0b7f22 is gone"),
        ("took 1.5 s", "took 12 s"),
        ("two\nlines", "two lines"),
        (str(KeyError("no account 'ann'")), str(KeyError("no account 'bob'"))),
        ("token deadbeef00112233", "token 99887766aabbccdd"),
    ],
)
def test_messages_that_differ_in_what_varies_are_one_cause(one, other):
    assert cause_of("pay", {"type": "E", "message": one}) == cause_of("pay", {"type": "E", "message": other})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("no account", "no money"),
        ("refused by bank", "refused by card"),
        (str(KeyError("no account")), str(KeyError("no money"))),
        ("decade", "facade"),
    ],
)
def test_messages_that_differ_in_words_are_two(one, other):
    assert cause_of("pay", {"type": "E", "message": one}) != cause_of("pay", {"type": "E", "message": other})


def test_type_and_exception_are_part_of_it_and_can_be_told_apart():
    cause = cause_of("invoice.pay", {"type": "KeyError", "message": "key: 'x'"})
    assert parts_of(cause) == ("invoice.pay", "KeyError", "key: …")


def test_it_is_bounded_whatever_the_message():
    assert len(cause_of("pay", {"type": "E" * 1000, "message": "'" * 1_000_000})) == CAUSE_LENGTH
    assert cause_of("pay", None) == "pay unknown: "
