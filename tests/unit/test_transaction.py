"""Transactions and their ids."""

from __future__ import annotations

import dataclasses
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transqueue.transaction import ENDED, ID_LENGTH, State, Transaction, TransactionIds

NOW = datetime(2026, 5, 4, 12, 0, 0, 123_000, tzinfo=UTC)
SINCE_IDS_HAVE_13_DIGITS = st.datetimes(datetime(2002, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


def transaction(**fields):
    given = {"id": "1" * 21, "type": "deposit", "data": {}, "created_at": NOW, "due_at": NOW, "max_attempts": 3}
    return Transaction(**given | fields)


def test_an_id_is_the_milliseconds_and_then_random_digits():
    made = TransactionIds(randrange=lambda _: 42).next(NOW)
    assert made == f"{int(NOW.timestamp() * 1000)}00000042"
    assert len(made) == ID_LENGTH == 21


def test_the_random_part_fills_its_eight_digits():
    asked = []

    def highest(below):
        asked.append(below)
        return below - 1

    assert TransactionIds(highest).next(NOW).endswith("99999999")
    assert asked == [10**8]


@given(moments=st.lists(SINCE_IDS_HAVE_13_DIGITS, min_size=1, max_size=30))
def test_ids_are_21_digits_and_grow_however_the_clock_steps(moments):
    ids = TransactionIds()
    made = [ids.next(moment) for moment in moments]
    assert all(len(one) == ID_LENGTH and one.isdigit() for one in made)
    assert made == sorted(set(made))


def test_after_the_clock_stepped_back_the_next_id_follows_the_last():
    ids = TransactionIds(randrange=lambda _: 7)
    last = ids.next(NOW)
    assert int(ids.next(NOW - timedelta(hours=1))) == int(last) + 1


def test_more_ids_than_one_millisecond_has_room_for_still_grow():
    ids = TransactionIds(randrange=lambda below: below - 1)
    made = [ids.next(NOW) for _ in range(3)]
    assert [int(one) - int(made[0]) for one in made] == [0, 1, 2]


@pytest.fixture
def hasty_threads():
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_threads")
def test_eight_threads_get_different_ids_that_grow_for_each():
    ids, barrier = TransactionIds(randrange=lambda _: 0), Barrier(8, timeout=30)

    def make(number):
        barrier.wait()
        return [ids.next(NOW - timedelta(milliseconds=(number * step) % 5)) for step in range(2000)]

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(make, range(8)))
    assert all(mine == sorted(mine) for mine in made)
    assert len({one for mine in made for one in mine}) == 8 * 2000


def test_an_effect_key_is_the_same_on_every_attempt_and_of_every_copy():
    first = transaction()
    later = replace(first, attempts=5, crashes=1, state=State.RUNNING, data={"changed": 1})
    assert first.effect_key("mail") == later.effect_key("mail")


def test_effect_keys_differ_by_name_and_by_transaction():
    keys = {transaction(id=id).effect_key(name) for id in ("1" * 21, "2" * 21) for name in ("mail", "invoice")}
    assert len(keys) == 4


def test_the_attempt_being_made_is_the_one_after_those_charged():
    assert [transaction(attempts=charged).attempt for charged in (0, 1, 7)] == [1, 2, 8]


def test_a_transaction_is_changed_only_by_copying():
    with pytest.raises(dataclasses.FrozenInstanceError):
        transaction().state = State.DONE


def test_queued_and_running_have_not_ended_and_all_others_have():
    assert set(State) - ENDED == {State.QUEUED, State.RUNNING}
