"""What is the memory queue's own: its clock, its strictness, and the fake database of its sessions."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from pymongo.errors import DuplicateKeyError

from transqueue.outcome import Outcome, Verb
from transqueue.queue import Casualty, Settlement
from transqueue.testing import MemoryQueue, SettableClock
from transqueue.transaction import State


@pytest.fixture
def queue():
    numbers = count(1)
    return MemoryQueue(SettableClock(), new_token=lambda: f"token-{next(numbers)}", random=lambda: 0.0)


def test_the_clock_stands_still_until_it_is_moved():
    clock = SettableClock()
    start = clock.now()
    assert clock.now() == start
    clock.advance(1.5)
    assert clock.now() - start == timedelta(seconds=1.5)
    clock.set(datetime(2030, 1, 1, microsecond=1999, tzinfo=UTC))
    assert clock.now() == datetime(2030, 1, 1, microsecond=1000, tzinfo=UTC)


def test_a_queue_without_a_clock_goes_by_the_hosts():
    assert abs(MemoryQueue().clock.now() - datetime.now(UTC)) < timedelta(seconds=10)


def test_tokens_come_from_the_given_maker_one_per_lease(queue, bench):
    assert list(bench.lease()) == []
    assert bench.leased().lease.token == "token-1"
    assert bench.leased().lease.token == "token-2"


def test_a_lease_lapses_only_after_its_last_moment(queue, bench):
    worker = bench.worker(10)
    queue.clock.advance(10)
    assert queue.renew([worker], lease_seconds=10) == {worker}
    queue.clock.advance(10.001)
    assert queue.renew([worker], lease_seconds=10) == frozenset()


def test_the_wait_doubles_after_each_crash_and_the_third_crash_buries(queue, bench):
    given, waits = bench.enqueue(), []
    while bench.state(given) is State.QUEUED:
        worker = bench.worker()
        bench.lease(worker)
        queue.end(worker, Casualty(running=given.id))
        waits.append((bench.get(given).due_at - queue.clock.now()).total_seconds())
        queue.clock.advance(10)
    assert waits[:2] == [0.2, 0.4]
    assert len(waits) == 3
    assert bench.state(given) is State.DEAD


@pytest.mark.parametrize("value", [{1, 2}, {"a": object()}, {1: "a"}, [b"bytes"], {"at": datetime(2026, 1, 1)}])
def test_what_is_not_json_is_refused_as_data_and_as_a_result(queue, bench, value):
    with pytest.raises(TypeError, match="not a JSON"):
        bench.enqueue(data=value)
    held = bench.leased()
    with pytest.raises(TypeError, match="not a JSON"):
        queue.settle([bench.complete(held, value)])
    assert bench.get(held) == held


def test_an_integer_that_the_database_cannot_hold_is_refused(bench):
    with pytest.raises(OverflowError, match="64 bits"):
        bench.enqueue(data={"value": 2**63})


def test_what_was_never_leased_cannot_be_settled_or_released(queue, bench):
    given = bench.enqueue()
    with pytest.raises(ValueError, match="one lease"):
        queue.settle([bench.complete(given)])
    with pytest.raises(ValueError, match="one lease"):
        queue.release([given])


def test_transactions_of_two_leases_are_never_settled_in_one_call(queue, bench):
    first, second = bench.leased(type="a"), bench.leased(type="b")
    settlements = [bench.complete(first), bench.complete(second)]
    with pytest.raises(ValueError, match="one lease"):
        queue.settle(settlements)
    with pytest.raises(ValueError, match="one lease"):
        queue.settle_in_session(lambda _: settlements, timeout_seconds=1)
    assert bench.get(first) == first


def test_a_retry_must_say_when(queue, bench):
    held = bench.leased()
    with pytest.raises(ValueError, match="due_at"):
        queue.settle([Settlement(held, Outcome(verb=Verb.RETRY))])
    assert bench.get(held) == held


def test_a_follow_up_whose_id_is_taken_keeps_the_completion_from_being_written(queue, bench):
    held = bench.leased()
    taken = bench.enqueue(type="mail")
    with pytest.raises(RuntimeError, match="ids must be new"):
        queue.settle([bench.complete(held, follow_ups=(bench.new(type="mail"), taken))])
    assert bench.get(held) == held
    assert queue.counts()["mail"] == {State.QUEUED: 1}


def test_unique_indexes_hold_inside_a_session(queue, bench):
    held = bench.leased()
    queue.database["Bank"].create_index("iban", unique=True)
    queue.database["Bank"].insert_one({"_id": "ann", "iban": 1})

    def run(effects):
        effects.db["Bank"].insert_one({"_id": "bob", "iban": 1})
        return [bench.complete(held)]

    with pytest.raises(DuplicateKeyError):
        queue.settle_in_session(run, timeout_seconds=1)
    assert bench.get(held) == held
    assert queue.database["Bank"].index_information().keys() == {"_id_", "iban_1"}


def test_a_write_is_counted_whichever_way_its_collection_was_reached(queue, bench):
    held, counted = bench.leased(), []

    def run(effects):
        effects.db.Bank.insert_one({"_id": 1})
        effects.db.get_collection("Bank").insert_one({"_id": 2})
        effects.db["Bank"].archive.insert_one({"_id": 3})
        effects.db["Bank"]["old"].insert_one({"_id": 4})
        counted.append(effects.writes)
        return [bench.complete(held)]

    queue.settle_in_session(run, timeout_seconds=1)
    assert counted == [4]
    assert sorted(queue.database.list_collection_names()) == ["Bank", "Bank.archive", "Bank.old"]
    assert queue.database["Bank"].count_documents({}) == 2


def test_without_mongomock_the_queue_works_and_a_session_names_what_is_missing(queue, bench, monkeypatch):
    held = bench.leased()
    monkeypatch.setitem(sys.modules, "mongomock", None)
    with pytest.raises(ImportError, match=r"pip install 'transqueue\[testing\]'"):
        queue.settle_in_session(lambda _: [bench.complete(held)], timeout_seconds=1)
    assert queue.settle([bench.complete(held)]) == frozenset()
