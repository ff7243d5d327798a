"""Which process of a door asks its client to connect again: one that has clearly more to do than another."""

from __future__ import annotations

from typing import Any

import pytest

from transqueue.api.balance import PAUSE_SECONDS, Balance, Share


class Watch:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def shares(watch: Watch) -> list[Share]:
    balance = Balance([0] * 3)
    return [Share(balance, number, watch) for number in range(2)]  # the third is not there


def lets_go(share: Share) -> bool:
    """Whether an answer of this process asks its client to connect again."""
    said: list[Any] = []
    share.answering(lambda status, headers: said.append((status, headers)))("200 OK", [("Content-Type", "text/plain")])
    ((status, headers),) = said
    assert (status, headers[0]) == ("200 OK", ("Content-Type", "text/plain"))
    return headers[1:] == [("Connection", "close")]


def has(share: Share, requests: int) -> None:
    for _ in range(requests):
        share.began()


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        *[(4, 0, True), (3, 1, True), (2, 0, True), (2, 1, False), (2, 2, False), (1, 0, False)],
        *[(36, 28, False), (40, 24, True), (24, 40, False)],
    ],
)
def test_one_that_has_clearly_more_than_another_lets_go(
    shares: list[Share], watch: Watch, mine: int, theirs: int, *, expected: bool
) -> None:
    has(shares[0], mine)
    has(shares[1], theirs)
    watch.pass_(PAUSE_SECONDS)
    assert lets_go(shares[0]) is expected


def test_one_connection_at_a_time_and_no_more_once_it_is_even(shares: list[Share], watch: Watch) -> None:
    has(shares[0], 3)
    has(shares[1], 1)
    watch.pass_(PAUSE_SECONDS)
    assert [lets_go(shares[0]) for _ in range(3)] == [True, False, False]
    shares[0].ended()
    shares[1].began()
    watch.pass_(PAUSE_SECONDS)
    assert not lets_go(shares[0])


def test_who_is_not_there_counts_for_nothing(watch: Watch) -> None:
    balance = Balance([0] * 2)
    alone, gone = Share(balance, 0, watch), Share(balance, 1, watch)
    has(alone, 5)
    watch.pass_(PAUSE_SECONDS)
    assert lets_go(alone)
    balance.away(1)
    watch.pass_(PAUSE_SECONDS)
    assert not lets_go(alone)
    assert gone is not alone
