"""Group commit: what comes together is written together, and each is told what became of its own."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from transqueue.api.groups import Crowded, Groups
from transqueue.errors import QueueUnavailable
from transqueue.queue import Receipt, Sealed
from transqueue.transaction import Transaction

NOW = datetime(2026, 8, 1, tzinfo=UTC)


def sealed(id):
    return Sealed(Transaction(id=str(id), type="any", data={}, created_at=NOW, due_at=NOW, max_attempts=1))


def written(group):
    return [Receipt(one.transaction) for one in group]


class Writer:
    """Writes when it is told to, and notes what it wrote."""

    def __init__(self, answer=written):
        self.groups, self._answer = [], answer
        self._begun, self._free = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, group):
        self.groups.append([one.transaction.id for one in group])
        self._begun.release()
        assert self._free.acquire(timeout=10)
        return self._answer(group)

    def begun(self):
        assert self._begun.acquire(timeout=10)

    def finish(self, times=1):
        self._free.release(times)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(16) as pool:
        yield pool


@pytest.fixture
def come(pool, wait_until):
    """The function `come(groups, *ids)`: each comes in a thread of its own, after the one before it; their futures."""

    def come(groups: Groups, *ids: object) -> list[Future[Receipt]]:
        futures = []
        for id in ids:
            before = len(groups._waiting)
            futures.append(pool.submit(groups.store, sealed(id)))
            wait_until(lambda before=before: len(groups._waiting) > before)
        return futures

    return come


def first_writes(pool, groups, writer):
    """One comes alone and begins to write."""
    future = pool.submit(groups.store, sealed("first"))
    writer.begun()
    return future


def test_one_alone_is_written_at_once_by_its_own_thread():
    threads = []
    groups = Groups(lambda group: threads.append(threading.current_thread()) or written(group))
    assert groups.store(sealed(1)).transaction.id == "1"
    assert groups.store(sealed(2)).transaction.id == "2"
    assert threads == [threading.current_thread()] * 2


def test_those_who_come_while_one_is_written_are_written_together_in_the_order_they_came(pool, come):
    writer = Writer()
    groups = Groups(writer)
    first = first_writes(pool, groups, writer)
    others = come(groups, 1, 2, 3)
    writer.finish(2)
    assert [future.result(10).transaction.id for future in [first, *others]] == ["first", "1", "2", "3"]
    assert writer.groups == [["first"], ["1", "2", "3"]]


def test_nobody_is_answered_before_its_own_group_is_written(pool, come):
    writer = Writer()
    groups = Groups(writer)
    first = first_writes(pool, groups, writer)
    (second,) = come(groups, 1)
    writer.finish()
    first.result(10)
    writer.begun()
    assert not second.done()
    writer.finish()
    assert second.result(10).transaction.id == "1"


def test_a_group_is_bounded_and_the_rest_goes_next(pool, come):
    writer = Writer()
    groups = Groups(writer, largest=2)
    first = first_writes(pool, groups, writer)
    others = come(groups, 1, 2, 3, 4, 5)
    writer.finish(4)
    for future in [first, *others]:
        future.result(10)
    assert writer.groups == [["first"], ["1", "2"], ["3", "4"], ["5"]]


def test_whoever_comes_when_too_many_wait_is_sent_away_and_nothing_of_it_is_written(pool, come):
    writer = Writer()
    groups = Groups(writer, waiting=2)
    first = first_writes(pool, groups, writer)
    others = come(groups, 1, 2)
    with pytest.raises(Crowded):
        groups.store(sealed(3))
    writer.finish(2)
    for future in [first, *others]:
        future.result(10)
    assert writer.groups == [["first"], ["1", "2"]]
    writer.finish()
    assert groups.store(sealed(4)).transaction.id == "4"


def test_each_of_a_group_is_told_what_became_of_its_own(pool, come):
    def answer(group):
        met = QueueUnavailable("this one was not to be stored")
        return [met if one.transaction.id == "bad" else Receipt(one.transaction, replayed=True) for one in group]

    writer = Writer(answer)
    groups = Groups(writer)
    first = first_writes(pool, groups, writer)
    good, bad, last = come(groups, "good", "bad", "last")
    writer.finish(2)
    assert [future.result(10).replayed for future in (first, good, last)] == [True] * 3
    with pytest.raises(QueueUnavailable) as raised:
        bad.result(10)
    assert str(raised.value.__cause__) == "this one was not to be stored"


def test_when_the_write_breaks_all_of_its_group_are_told_and_the_next_group_goes_on(pool, come):
    def answer(group):
        if group[0].transaction.id == "1":
            raise ZeroDivisionError
        return written(group)

    writer = Writer(answer)
    groups = Groups(writer, largest=2)
    first = first_writes(pool, groups, writer)
    leader, follower, next_one = come(groups, 1, 2, 3)
    writer.finish(3)
    assert first.result(10)
    with pytest.raises(ZeroDivisionError):
        leader.result(10)
    with pytest.raises(QueueUnavailable):
        follower.result(10)
    assert next_one.result(10).transaction.id == "3"


def test_whoever_waited_too_long_leaves_and_is_not_written(pool, wait_until):
    writer = Writer()
    groups = Groups(writer, patience_seconds=0.05)
    first = first_writes(pool, groups, writer)
    with pytest.raises(QueueUnavailable):
        groups.store(sealed("late"))
    writer.finish(2)
    first.result(10)
    assert groups.store(sealed("next")).transaction.id == "next"
    assert writer.groups == [["first"], ["next"]]


def test_a_thousand_from_many_threads_are_each_written_once(pool):
    stored = []

    def write(group):
        stored.extend(one.transaction.id for one in group)
        return written(group)

    groups = Groups(write, largest=7)
    receipts = list(pool.map(lambda number: groups.store(sealed(number)), range(1000)))
    assert [int(receipt.transaction.id) for receipt in receipts] == list(range(1000))
    assert sorted(map(int, stored)) == list(range(1000))
    assert not groups._is_writing
    assert not groups._waiting
