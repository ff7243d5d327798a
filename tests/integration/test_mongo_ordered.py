"""Leases in order on a real mongod: a backlog that cannot move costs nothing, and comes back in its order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from bson import Timestamp

from transqueue.mongodb import MongoQueue, connect
from transqueue.mongodb.lane_turn import A_MOMENT, MANY_AT_ONCE
from transqueue.mongodb.ordered import Ordered
from transqueue.outcome import Outcome, Verb
from transqueue.queue import Settlement, WorkerRecord
from transqueue.transaction import Stamp, Transaction, TransactionIds

FRONT = 20
LANE = 17
KEYED = {"type": "pay", "max_attempts": 3, "lane": LANE, "plugin": Stamp("bank", "1"), "data": {}}


@pytest.fixture
def queue(mongo_uri: str, mongo_database: str) -> Iterator[MongoQueue]:
    opened = connect(mongo_uri, mongo_database)
    opened.begin(WorkerRecord(id="w", host="here", pid=1, slot=0), lease_seconds=600)
    yield opened
    opened.close()


@pytest.fixture
def ordered(queue: MongoQueue) -> Ordered:
    """Leases that look at a short front, so that little makes it full."""
    return Ordered(queue._connection, front=FRONT)


@pytest.fixture
def enqueue(queue: MongoQueue) -> Any:
    ids = TransactionIds()

    def add(*keys: str, due_in: float = -1) -> list[str]:
        now = queue.clock.now()
        due_at = now + timedelta(seconds=due_in)
        new = [Transaction(id=ids.next(now), created_at=now, due_at=due_at, ordering_key=key, **KEYED) for key in keys]
        queue.enqueue(new)
        return [one.id for one in new]

    return add


def lease(ordered: Ordered, limit: int = 5) -> list[Transaction]:
    return list(ordered.lease("w", "bank", ["pay"], limit, [LANE]))


def settle(queue: MongoQueue, taken: list[Transaction], verb: Verb = Verb.COMPLETE) -> None:
    error = None if verb is Verb.COMPLETE else {"type": "Error", "message": "no"}
    assert queue.settle([Settlement(one, Outcome(verb=verb, error=error)) for one in taken]) == frozenset()


def drain(queue: MongoQueue, ordered: Ordered, wait_until: Any, count: int) -> list[str]:
    """Take and complete until so many have been; their ids in the order they ran."""
    ran: list[str] = []

    def more() -> bool:
        taken = lease(ordered)
        settle(queue, taken) if taken else None
        ran.extend(one.id for one in taken)
        return len(ran) >= count

    wait_until(more, timeout=30, message=f"{count} ran")
    return ran


def test_a_backlog_of_one_waiting_key_never_keeps_another_key_waiting(
    queue: MongoQueue, ordered: Ordered, enqueue: Any
) -> None:
    enqueue(*["stuck"] * 3 * FRONT, due_in=3600)
    (other,) = enqueue("free")
    assert [one.id for one in lease(ordered)] == [other]


def test_many_keys_that_wait_never_keep_another_key_waiting(queue: MongoQueue, ordered: Ordered, enqueue: Any) -> None:
    enqueue(*(f"stuck-{number}" for number in range(3 * FRONT)), due_in=3600)
    (other,) = enqueue("free")
    assert [one.id for one in lease(ordered)] == [other]


def test_many_dead_keys_never_keep_another_key_waiting(
    queue: MongoQueue, ordered: Ordered, enqueue: Any, wait_until: Any
) -> None:
    stuck = [f"stuck-{number}" for number in range(2 * FRONT)]
    enqueue(*stuck)
    while taken := lease(ordered, limit=FRONT):
        settle(queue, taken, Verb.BURY)
    enqueue(*stuck)
    (other,) = enqueue("free")
    assert [one.id for one in lease(ordered)] == [other]


def test_what_runs_fast_is_not_set_aside_and_what_stays_running_is(
    queue: MongoQueue, ordered: Ordered, enqueue: Any
) -> None:
    enqueue(*["hot"] * 3 * FRONT)
    (other,) = enqueue("free")
    taken = lease(ordered, limit=MANY_AT_ONCE)
    assert lease(ordered) == []
    settle(queue, taken)
    taken = lease(ordered, limit=FRONT)
    assert len(taken) == FRONT
    assert queue.database["Q"].count_documents({"ordered": False}) == 0
    long_ago = queue.clock.now() - A_MOMENT
    queue.database["Q"].update_many({"state": "running"}, {"$set": {"lease.at": long_ago}})
    settle(queue, taken[:2])
    assert [one.id for one in lease(ordered)] == [other]


def test_what_is_behind_few_that_run_is_set_aside_at_once(queue: MongoQueue, ordered: Ordered, enqueue: Any) -> None:
    enqueue(*["slow"] * 3 * FRONT)
    (other,) = enqueue("free")
    assert len(lease(ordered, limit=MANY_AT_ONCE - 1)) == MANY_AT_ONCE - 1
    assert [one.id for one in lease(ordered)] == [other]


def test_what_was_set_aside_comes_back_in_its_order_when_its_key_moves_on(
    queue: MongoQueue, ordered: Ordered, enqueue: Any, wait_until: Any
) -> None:
    (head,) = enqueue("ann")
    settle(queue, lease(ordered), Verb.BURY)
    backlog = enqueue(*["ann"] * 3 * FRONT)
    (free,) = enqueue("free")
    assert drain(queue, ordered, wait_until, 1) == [free]
    later = enqueue("ann", "ann")
    assert lease(ordered) == []
    assert queue.redrive(head, more_attempts=1)
    assert drain(queue, ordered, wait_until, 1 + len(backlog) + 2) == [head, *backlog, *later]
    assert queue.database["Keys"].count_documents({}) == 0


def test_a_dead_one_that_is_given_up_lets_what_is_aside_go_on(
    queue: MongoQueue, ordered: Ordered, enqueue: Any, wait_until: Any
) -> None:
    (head,) = enqueue("ann")
    settle(queue, lease(ordered), Verb.BURY)
    backlog = enqueue(*["ann"] * 2 * FRONT)
    assert lease(ordered) == []
    assert queue.cancel(head)
    assert drain(queue, ordered, wait_until, len(backlog)) == backlog


def test_a_lane_that_moves_on_forgets_that_it_had_anything_aside(
    queue: MongoQueue, ordered: Ordered, enqueue: Any, wait_until: Any
) -> None:
    enqueue(*["ann"] * 2 * FRONT, due_in=0.5)
    assert lease(ordered) == []
    assert queue.database["Lanes"].count_documents({"aside": True}) == 1
    drain(queue, ordered, wait_until, 2 * FRONT)
    enqueue("bob")
    drain(queue, ordered, wait_until, 1)
    assert queue.database["Lanes"].count_documents({"aside": True}) == 0


def test_one_of_a_key_that_becomes_visible_late_waits_for_a_later_one_that_runs(
    queue: MongoQueue, ordered: Ordered, enqueue: Any
) -> None:
    (later,) = enqueue("ann")
    assert [one.id for one in lease(ordered)] == [later]
    enqueue(*(f"key-{number}" for number in range(FRONT)))  # so that what runs is beyond the front
    (earlier,) = enqueue("ann")
    queue.database["Q"].update_one({"_id": earlier}, {"$set": {"accepted": Timestamp(1, 1)}})
    queue.database["Q"].update_one({"_id": later}, {"$set": {"accepted": Timestamp(2**31, 1)}})
    assert earlier not in {one.id for one in lease(ordered, limit=2 * FRONT)}


def test_looking_for_lanes_walks_their_index_and_no_document(queue: MongoQueue, enqueue: Any) -> None:
    enqueue(*(f"key-{number}" for number in range(300)))
    query = {"ordered": True, "plugin.name": "bank", "lane": {"$in": [16, LANE]}}
    plan = queue.database.command(
        "explain", {"distinct": "Q", "key": "lane", "query": query}, verbosity="executionStats"
    )
    stats = plan["executionStats"]
    assert stats["totalDocsExamined"] == 0
    assert stats["totalKeysExamined"] <= 5


def test_a_lane_that_does_not_know_what_was_leased_looks_for_all_that_runs(
    queue: MongoQueue, ordered: Ordered, enqueue: Any
) -> None:
    (later,) = enqueue("ann")
    assert [one.id for one in lease(ordered)] == [later]
    (earlier,) = enqueue("ann")
    queue.database["Q"].update_one({"_id": earlier}, {"$set": {"accepted": Timestamp(1, 1)}})
    queue.database["Q"].update_one({"_id": later}, {"$unset": {"ordered": 1}})  # as if it were far behind the front
    queue.database["Q"].update_one({"_id": later}, {"$set": {"ordered": False}})
    queue.database["Lanes"].update_one({}, {"$unset": {"leased": 1}})
    (other,) = enqueue("bob")
    assert [one.id for one in lease(ordered)] == [other]
    assert queue.database["Lanes"].find_one({})["leased"] == [later, other]


def test_a_lane_forgets_what_has_ended(queue: MongoQueue, ordered: Ordered, enqueue: Any) -> None:
    enqueue("ann", "bob")
    settle(queue, lease(ordered, limit=1))
    (second,) = lease(ordered, limit=1)
    assert queue.database["Lanes"].find_one({})["leased"] == [second.id]


def test_lanes_are_looked_for_now_and_then_and_when_nothing_else_is_found(
    connect_heard: Any, queue: MongoQueue, mongo_database: str, enqueue: Any
) -> None:
    heard, sent = connect_heard(mongo_database)
    ordered, time = Ordered(heard._connection), [0.0]
    ordered._walk._monotonic = lambda: time[0]
    enqueue(*(f"key-{number}" for number in range(8)))

    def asked(limit: int = 2) -> tuple[int, int]:
        """How many were leased, and how often the lanes with a front were asked for."""
        taken: list[Transaction] = []
        commands = sent.during(lambda: taken.extend(lease(ordered, limit)))
        return len(taken), sum(name == "distinct" and command["distinct"] == "Q" for name, command in commands)

    assert asked() == (2, 1)
    assert asked() == (2, 0)
    time[0] += 10
    assert asked() == (2, 1)
    assert asked(limit=9) == (2, 0)
    assert asked() == (0, 1)
    heard.close()
