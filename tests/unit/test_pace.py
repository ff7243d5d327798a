"""Pace: how many to lease, learned from how long they take."""

from __future__ import annotations

import pytest

from transqueue.worker.pace import GROWTH, MOST, TARGET_SECONDS, Pace


def limits(pace: Pace, seconds: float, times: int) -> list[int]:
    """The limits of so many leases in a row, each one filled, each transaction taking so many seconds."""
    found = []
    for _ in range(times):
        found.append(pace.limit("t"))
        pace.learn("t", found[-1], found[-1] * seconds)
    return found


def test_of_an_unknown_type_one_is_leased():
    assert Pace().limit("t") == 1


def test_leases_of_a_fast_handler_grow_at_most_fourfold_up_to_hundreds():
    assert limits(Pace(), 0.0001, 7) == [1, 4, 16, 64, 256, MOST, MOST]


def test_leases_of_a_slow_handler_stay_at_one():
    assert limits(Pace(), 3.0, 4) == [1, 1, 1, 1]


def test_a_lease_is_a_fifth_of_a_seconds_work():
    assert limits(Pace(), 0.004, 8)[-1] * 0.004 == pytest.approx(TARGET_SECONDS, rel=0.05)


def test_a_handler_that_turned_slow_is_believed_at_once():
    pace = Pace()
    limits(pace, 0.0001, 6)
    pace.learn("t", 10, 30.0)
    assert pace.seconds("t") == 3.0
    assert pace.limit("t") == 1


def test_a_handler_that_turned_fast_is_believed_bit_by_bit():
    pace = Pace()
    pace.learn("t", 1, 3.0)
    pace.learn("t", 1, 0.001)
    assert 1.0 < pace.seconds("t") < 3.0
    assert pace.limit("t") == 1
    assert limits(pace, 0.001, 60)[-1] > 100


def test_a_small_lease_keeps_the_next_one_small():
    pace = Pace()
    limits(pace, 0.0001, 6)
    pace.learn("t", 2, 0.0002)
    assert pace.limit("t") == 2 * GROWTH


def test_types_are_learned_apart():
    pace = Pace()
    pace.learn("slow", 1, 9.0)
    assert limits(pace, 0.0001, 4) == [1, 4, 16, 64]
    assert pace.limit("slow") == 1


def test_an_instant_handler_is_no_trouble():
    pace = Pace()
    pace.learn("t", 500, 0.0)
    assert pace.limit("t") == MOST


def test_nothing_worked_off_teaches_nothing():
    pace = Pace()
    pace.learn("t", 0, 5.0)
    assert pace.seconds("t") == TARGET_SECONDS
    assert pace.limit("t") == 1
