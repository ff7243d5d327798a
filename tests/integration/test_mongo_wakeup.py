"""The bell of an idle worker: a hint from Q's change stream that it is time to look."""

from __future__ import annotations

import threading

import pytest

from transqueue.mongodb import wakeup as wakeup_module
from transqueue.mongodb.wakeup import UNAUTHORIZED
from transqueue.queue import Casualty
from transqueue.transaction import Stamp

LANES = (3, 19)


class Listener:
    """A bell that listens, and how often it rang."""

    def __init__(self, queue, wait_until):
        self._rang, self._wait_until = threading.Event(), wait_until
        self.bell = queue.wakeup(LANES, self._rang.set)
        self.bell.start()
        self.bell.listen()

    def ready(self):
        self._wait_until(lambda: self.bell.is_listening, message="it listens")
        assert self.next() == "ours", "what came before is to be looked for"
        return self

    def next(self):
        """What is heard next."""
        assert self._rang.wait(10), "it rang"
        self._rang.clear()
        return self.bell.heard()

    def is_silent(self, desk):
        """Whether nothing was heard before something else that is enqueued now."""
        desk.enqueue(lane=5)
        return self.next() == "others"


@pytest.fixture
def listener(mongo_queue, wait_until):
    return Listener(mongo_queue, wait_until).ready()


def test_what_is_enqueued_is_heard_and_whose_lane_it_is(listener, desk):
    desk.enqueue(lane=3)
    assert listener.next() == "ours"
    desk.enqueue(lane=4)
    assert listener.next() == "others"


def test_where_it_waits_is_heard_too(listener, desk):
    desk.enqueue(lane=3)
    assert listener.next() == "ours"
    assert listener.bell.sources() == {"deposit"}
    desk.enqueue(lane=19, ordering_key="ann", plugin=Stamp("ledger", "1"))
    assert listener.next() == "ours"
    assert listener.bell.sources() == {"ledger/"}
    assert listener.bell.sources() == frozenset()


# What was heard is leased without a look


class Ear:
    """A worker's queue with its bell, and the commands of its leases."""

    def __init__(self, queue, sent, desk, wait_until):
        self.desk, self._queue, self._sent = desk, queue, sent
        self._worker, self._listener = desk.worker(), Listener(queue, wait_until).ready()

    def enqueue(self, **fields):
        new = self.desk.enqueue(**fields)
        self.hears()
        return new

    def hears(self):
        self._listener.next()

    def due(self):
        return self._queue.due(["deposit"])

    def lease(self, *, lanes=LANES):
        """Ids of what a lease takes, and the commands that it takes."""
        found = []
        commands = self._sent.during(
            lambda: found.extend(self._queue.lease(self._worker, "deposit", limit=4, lanes=lanes))
        )
        return [one.id for one in found], [name for name, _ in commands if name != "getMore"]


@pytest.fixture
def ear(connect_heard, mongo_database, new_desk, wait_until):
    queue, sent = connect_heard(mongo_database)
    yield Ear(queue, sent, new_desk(queue), wait_until)
    queue.close()


def test_the_only_one_that_was_heard_is_taken_without_a_look(ear):
    new = ear.enqueue(lane=3)
    assert ear.lease() == ([new.id], ["findAndModify"])
    assert ear.lease()[0] == []


def test_of_several_the_first_by_priority_is_taken(ear):
    low, high = ear.enqueue(lane=3), ear.enqueue(lane=3, priority=5)
    found, commands = ear.lease()
    assert found == [high.id, low.id]
    assert commands[0] == "find"


def test_what_was_heard_of_another_lane_is_looked_for(ear):
    new = ear.enqueue(lane=4)
    assert ear.lease()[0] == []
    assert ear.lease(lanes=(4,)) == ([new.id], ["findAndModify"])


def test_what_was_heard_and_is_taken_by_others_hides_nothing_that_comes(ear):
    taken = ear.enqueue(lane=4)
    ear.desk.queue.cancel(taken.id)
    ear.hears()
    assert ear.due() is None
    new = ear.enqueue(lane=3)
    assert ear.lease() == ([new.id], ["findAndModify"])


def test_what_was_cancelled_since_it_was_heard_is_not_taken(ear):
    new = ear.enqueue(lane=3)
    ear.desk.queue.cancel(new.id)
    assert ear.lease()[0] == []


def test_one_with_a_key_is_only_leased_in_order(ear):
    ear.enqueue(lane=3, ordering_key="ann", plugin=Stamp("ledger", "1"))
    assert ear.lease()[1][0] == "find"


def test_what_is_due_in_a_moment_is_not_taken_before(ear):
    ear.enqueue(lane=3, due_at=ear.desk.at(1.5))
    found, commands = ear.lease()
    assert found == []
    assert set(commands) == {"find"}


def test_what_was_due_at_once_is_taken_though_this_clock_is_behind(ear):
    at = ear.desk.at(1)
    new = ear.enqueue(lane=3, created_at=at, due_at=at)
    assert ear.lease()[0] == [new.id]


# What else rings


def test_what_is_put_back_is_heard(listener, desk):
    worker = desk.worker()
    desk.leased(worker, lane=4)
    assert listener.next() == "others"
    desk.queue.end(worker, Casualty())
    assert listener.next() == "ours"


@pytest.mark.parametrize("verb", ["redrive", "cancel"])
def test_what_an_operator_moves_is_heard(listener, desk, verb):
    held = desk.leased(lane=4)
    assert listener.next() == "others"
    desk.queue.settle([desk.bury(held)])
    _ = desk.queue.redrive(held.id, more_attempts=1) if verb == "redrive" else desk.queue.cancel(held.id)
    assert listener.next() == "ours"


def test_what_is_due_much_later_is_not_heard(listener, desk):
    desk.enqueue(lane=3, due_at=desk.at(3600))
    assert listener.is_silent(desk)


def test_what_is_leased_and_done_is_not_heard(listener, desk):
    held = desk.leased(lane=4)
    assert listener.next() == "others"
    desk.queue.settle([desk.complete(held)])
    assert listener.is_silent(desk)


def test_a_worker_that_is_busy_for_long_hears_again_when_it_is_idle(monkeypatch, mongo_queue, wait_until, desk):
    monkeypatch.setattr(wakeup_module, "LEFT_SECONDS", 0.05)
    listener = Listener(mongo_queue, wait_until).ready()
    listener.bell.rest()
    wait_until(lambda: not listener.bell.is_listening, message="it stopped listening")
    desk.enqueue(lane=3)
    listener.bell.listen()
    listener.ready()


def test_a_stream_that_breaks_is_opened_again(monkeypatch, listener, desk, fail, wait_until):
    monkeypatch.setattr(wakeup_module, "AGAIN_SECONDS", 0.05)
    fail("getMore", "aggregate", errorCode=1)
    wait_until(lambda: not listener.bell.is_listening, message="it broke")
    fail.stop()
    listener.ready()
    desk.enqueue(lane=3)
    assert listener.next() == "ours"


def test_a_stream_that_ended_because_q_was_dropped_is_waited_out_and_opened_again(
    monkeypatch, listener, mongo_client, mongo_database, wait_until
):
    pauses = []
    monkeypatch.setattr(listener.bell._stopped, "wait", pauses.append)
    mongo_client.drop_database(mongo_database)
    wait_until(lambda: pauses, message="it ended")
    listener.ready()
    assert len(pauses) == 1


def test_a_bell_that_is_stopped_ends_its_thread(monkeypatch, listener, wait_until):
    monkeypatch.setattr(wakeup_module, "LEFT_SECONDS", 0.05)
    listener.bell.stop()
    wait_until(lambda: not any(thread.name == "wake-up" for thread in threading.enumerate()), message="it ended")


def test_without_the_right_to_a_stream_it_listens_to_nothing_and_breaks_nothing(mongo_queue, fail, wait_until):
    fail("aggregate", errorCode=UNAUTHORIZED)
    listener = Listener(mongo_queue, wait_until)
    fail.wait()
    assert not listener.bell.is_listening
    assert listener.bell.heard() is None
