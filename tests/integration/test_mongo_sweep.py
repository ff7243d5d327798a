"""Retention on a real mongod: what has ended goes when its time is over, and a key is known for its whole window."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from transqueue.admin.retention import Retention
from transqueue.mongodb.connection import Connection
from transqueue.mongodb.sweep import Sweep
from transqueue.mongodb.turns import Turns
from transqueue.transaction import Idempotency, Stamp, State, TransactionIds

WEEK = Retention(days={State.DONE: 7, State.REJECTED: 30, State.CANCELLED: 30, State.DEAD: None}, key_days=30)
KEYED = {"ordering_key": "ann", "plugin": Stamp("bank", "1"), "lane": 20}


class Old:
    """Transactions that ended some days ago."""

    def __init__(self, desk: Any, database: Any) -> None:
        self.desk, self._q, self._ids = desk, database["Q"], TransactionIds()

    def add(self, days: float, state: State = State.DONE, *, created: float | None = None, **fields: Any) -> str:
        """One that was created and ended so many days ago."""
        born = self.desk.at(-86_400 * (days if created is None else created))
        new = self.desk.new(id=self._ids.next(born), created_at=born, due_at=born, **fields)
        receipt = self.desk.queue.enqueue([new])[0]
        ended = {"state": str(state), "finished_at": self.desk.at(-86_400 * days), "result": {"a": "b"}}
        gone = {} if state is State.DEAD else {"$unset": {"ordered": 1}}
        self._q.update_one({"_id": receipt.transaction.id}, {"$set": ended, **gone})
        return str(receipt.transaction.id)


@pytest.fixture
def old(desk: Any, database: Any) -> Old:
    return Old(desk, database)


@pytest.fixture
def sweep(mongo_uri: str, mongo_database: str) -> Any:
    """A sweep that looks at three ids a step."""
    connection = Connection(mongo_uri, mongo_database)
    yield Sweep(connection, Turns(connection), step=3)
    connection.close()


def swept(sweep: Sweep, retention: Retention = WEEK, holder: str = "a") -> tuple[int, int]:
    """Sweep until nothing is left: how many were removed, and how many slimmed."""
    removed = slimmed = 0
    while True:
        step = sweep.step(retention, holder)
        removed, slimmed = removed + step.removed, slimmed + step.slimmed
        if step.over:
            return removed, slimmed


def test_each_state_is_kept_for_its_own_days(old, sweep, desk):
    gone = [old.add(8), old.add(31, State.REJECTED), old.add(31, State.CANCELLED)]
    kept = [
        old.add(6),
        old.add(8, State.REJECTED),
        old.add(8, State.CANCELLED),
        old.add(900, State.DEAD),
        old.add(1, created=50),
        desk.enqueue().id,
    ]
    assert swept(sweep) == (3, 0)
    assert [id for id in [*gone, *kept] if desk.queue.get(id)] == kept


def test_many_go_in_small_steps_and_the_others_are_not_in_the_way(old, sweep, desk):
    gone = [old.add(10 + number / 100) for number in range(10)]
    kept = [old.add(20 + number / 100, State.DEAD) for number in range(5)]
    first = sweep.step(WEEK, "a")
    assert (first.looked_at, first.removed, first.over) == (3, 3, False)
    assert swept(sweep) == (7, 0)
    assert [id for id in [*gone, *kept] if desk.queue.get(id)] == kept
    assert swept(sweep) == (0, 0)


def test_a_key_answers_for_its_window_though_its_transaction_is_gone(old, sweep, desk, database):
    key = Idempotency("k", "hash")
    first = old.add(8, idempotency=key, submitter="ann")
    assert swept(sweep) == (0, 1)
    assert desk.queue.get(first) is None
    assert desk.queue.circumstances(first) is None
    assert desk.queue.counts() == {}
    assert desk.queue.page().transactions == []
    row = database["Q"].find_one({"_id": first})
    assert set(row) == {"_id", "v", "type", "submitter", "idempotency", "created_at", "was"}
    again = desk.queue.enqueue([desk.new(idempotency=key, submitter="ann")])[0]
    assert (again.replayed, again.transaction.id, again.transaction.state) == (True, first, State.DONE)
    other = desk.queue.enqueue([desk.new(idempotency=Idempotency("k", "other"), submitter="ann")])[0]
    assert other.key_reused
    assert swept(sweep) == (0, 0)


def test_after_its_window_a_key_may_be_used_again(old, sweep, desk):
    key = Idempotency("k", "hash")
    first = old.add(29, idempotency=key)
    assert swept(sweep) == (0, 1)
    assert swept(sweep, replace(WEEK, key_days=28)) == (1, 0)
    fresh = desk.queue.enqueue([desk.new(idempotency=key)])[0]
    assert not fresh.replayed
    assert fresh.transaction.id != first


def test_a_dead_one_that_holds_back_its_key_stays(old, sweep, desk):
    blocking, other = old.add(50, State.DEAD, **KEYED), old.add(50, State.DEAD)
    days = {**WEEK.days, State.DEAD: 7}
    assert swept(sweep, Retention(days=days, key_days=30)) == (1, 0)
    assert desk.queue.get(blocking)
    assert desk.queue.get(other) is None


def test_what_is_redriven_between_the_look_and_the_write_stays(old, sweep, desk, monkeypatch):
    one = old.add(50, State.DEAD)
    retention = Retention(days={State.DEAD: 7}, key_days=30)
    look = sweep._next

    def redrive_after(*given):
        rows = look(*given)
        assert desk.queue.redrive(one, more_attempts=1)
        return rows

    monkeypatch.setattr(sweep, "_next", redrive_after)
    assert sweep.step(retention, "a").removed == 0
    assert desk.queue.get(one).state is State.QUEUED


def test_whom_it_followed_from_is_forgotten_with_it(old, sweep, database):
    gone, kept = old.add(8), old.add(6)
    database["Follows"].insert_many([{"_id": one, "parent": "1" * 21} for one in (gone, kept)])
    assert swept(sweep) == (1, 0)
    assert [row["_id"] for row in database["Follows"].find()] == [kept]


def test_one_host_sweeps_at_a_time_and_the_next_goes_on_where_it_was(old, sweep, mongo_uri, mongo_database):
    for number in range(7):
        old.add(10 + number / 100)
    connection = Connection(mongo_uri, mongo_database)
    try:
        turns = Turns(connection)
        assert sweep.step(WEEK, "a").removed == 3
        assert Sweep(connection, turns, step=3).step(WEEK, "b").looked_at == 0
        turns._turns.update_one({"_id": "retention"}, {"$set": {"until": old.desk.at(-1)}})
        assert swept(Sweep(connection, turns, step=3), holder="b") == (4, 0)
    finally:
        connection.close()


def test_without_any_days_nothing_is_even_looked_at(old, sweep):
    old.add(1000)
    assert sweep.step(Retention(days={}, key_days=1), "a").looked_at == 0


def test_a_step_reads_as_many_ids_as_it_looks_at(old, sweep, desk, database):
    for number in range(20):
        old.add(10 + number / 100)
    ids = {"$gt": "", "$lt": desk.new().id}
    plan = database.command(
        "explain", {"find": "Q", "filter": {"_id": ids}, "sort": {"_id": 1}, "limit": 3, "hint": "_id_"}
    )
    stats = plan["executionStats"]
    assert (stats["totalKeysExamined"], stats["totalDocsExamined"]) == (3, 3)
