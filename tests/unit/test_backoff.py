"""Backoff: full jitter between a floor and a capped exponential."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transqueue.backoff import FLOOR, backoff_seconds

LUCK = st.floats(0, 1, exclude_max=True)


def highest() -> float:
    return 1.0


@pytest.mark.parametrize(("attempts", "ceiling"), [(1, 2), (2, 4), (3, 8), (8, 256), (9, 300), (50, 300)])
def test_the_ceiling_doubles_with_each_failure_up_to_the_longest(attempts, ceiling):
    assert backoff_seconds(attempts, 2, 300, highest) == ceiling


def test_a_retry_is_never_immediate():
    assert backoff_seconds(1, 2, 300, lambda: 0.0) == pytest.approx(2 * FLOOR)


def test_more_luck_waits_longer():
    waits = [backoff_seconds(4, 2, 300, lambda luck=luck: luck) for luck in (0.0, 0.25, 0.5, 0.75)]
    assert waits == sorted(waits)
    assert len(set(waits)) == 4


@given(attempts=st.integers(1, 10**9), first=st.floats(0.001, 86_400), more=st.floats(1, 1000), luck=LUCK)
def test_any_wait_lies_between_the_floor_and_the_longest(attempts, first, more, luck):
    longest = first * more
    wait = backoff_seconds(attempts, first, longest, lambda: luck)
    assert first * FLOOR <= wait * (1 + 1e-9)
    assert wait <= longest * (1 + 1e-9)
