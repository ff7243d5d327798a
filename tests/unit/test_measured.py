"""What the verbs of a queue add to its measures: once per thing that happened, and nothing for what did not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from transqueue.admin.measures import ALL, LAPSES, Tally
from transqueue.mongodb.measured import Measured
from transqueue.outcome import Outcome, Verb
from transqueue.queue import Receipt, Settlement
from transqueue.testing import SettableClock
from transqueue.transaction import Lease, OnEnd, Transaction

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ONE = Transaction(id="1" * 21, type="a", data={}, created_at=NOW, due_at=NOW, max_attempts=8)
HELD = replace(ONE, lease=Lease("t", "w", NOW - timedelta(seconds=2)))


@pytest.fixture
def tally():
    return Tally()


@pytest.fixture
def measured(tally):
    return Measured(tally, SettableClock(NOW))


def settlement(verb=Verb.COMPLETE, *, id="1", on_end=(), **outcome):
    return Settlement(replace(HELD, id=id * 21, on_end=on_end), Outcome(verb=verb, **outcome))


def test_only_what_is_new_is_accepted(measured, tally):
    receipts = [Receipt(ONE), Receipt(ONE, replayed=True), Receipt(ONE, key_reused=True)]
    assert measured.accepted(receipts) == receipts
    assert tally.take() == {"a": {"accepted": 1}}


def test_a_lease_tells_how_long_each_had_been_due(measured, tally):
    measured.leased([replace(ONE, due_at=NOW - timedelta(seconds=3)), replace(ONE, type="b")])
    taken = tally.take()
    assert taken["a"] == {"wait.11": 1, "wait.sum": 3}
    assert taken["b"] == {"wait.0": 1, "wait.sum": 0}


def test_what_was_settled_is_counted_by_its_outcome_and_what_was_lost_is_not(measured, tally):
    measured.settled([settlement(), settlement(Verb.RETRY, id="2"), settlement(id="3")], {"3" * 21})
    assert tally.take() == {"a": {"done": 1, "retried": 1, "held.10": 2, "held.sum": 4}}


def test_what_is_enqueued_together_with_an_end_is_accepted(measured, tally):
    follow_up, at_end = replace(ONE, type="next"), (OnEnd(type="told", data={}, max_attempts=8),)
    measured.settled([settlement(follow_ups=(follow_up,), on_end=at_end)], ())
    measured.settled([settlement(Verb.RETRY, on_end=at_end)], ())
    taken = tally.take()
    assert (taken["next"], taken["told"]) == ({"accepted": 1}, {"accepted": 1})


def test_a_session_counts_its_last_run_and_nothing_when_it_was_lost(measured, tally):
    runs = iter([[settlement(), settlement(id="2")], [settlement()]])
    watched, settled = measured.watched(lambda _: next(runs))
    watched(None)
    watched(None)
    settled(frozenset())
    assert tally.take()["a"]["done"] == 1
    watched, settled = measured.watched(lambda _: [settlement()])
    watched(None)
    settled(frozenset({"1" * 21}))
    assert tally.take() == {}


def test_lapsed_leases_are_of_no_type(measured, tally):
    measured.lapsed(0)
    measured.lapsed(2)
    assert tally.take() == {ALL: {LAPSES: 2}}
