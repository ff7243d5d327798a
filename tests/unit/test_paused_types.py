"""A worker keeps to what operators paused: it looks a few times a second, and gives back what it has not started."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from transqueue import Handler
from transqueue.errors import QueueUnavailable
from transqueue.events import Events
from transqueue.executor import Bound, Executor
from transqueue.process.marker import Marker
from transqueue.queue import WorkerRecord
from transqueue.testing import MemoryQueue, SettableClock
from transqueue.transaction import Stamp, State, Transaction, TransactionIds, keyed_lane
from transqueue.worker.batch import Batches
from transqueue.worker.pace import Pace
from transqueue.worker.paused import LOOK_SECONDS, PausedTypes
from transqueue.worker.worker import Worker

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Ticks:
    """A monotonic clock that a test moves."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


class Never:
    """Nobody stops."""

    def is_set(self):
        return False

    def wait(self, seconds):
        raise AssertionError("one turn is taken at a time")


class House:
    """One worker with the types `a`, `b` and `f.*`, over a queue in memory."""

    def __init__(self):
        self.queue, self.ticks = MemoryQueue(SettableClock(NOW)), Ticks()
        self.ran, self.then, self._ids = [], lambda: None, TransactionIds()
        bounds = {type: Bound(self.handler(type), self.run, {}) for type in ("a", "b", "f.*")}
        executor = Executor(clock=self.queue.clock, marker=Marker(), new_transaction=lambda *_: None)
        pace = Pace()
        for type in ("a", "b", "f.x", "p/"):
            pace.learn(type, 100, 0.001)
        self.queue.begin(WorkerRecord(id="w", host="here", pid=1, slot=0), lease_seconds=600)
        batches = Batches(self.queue, executor, events=Events(), pace=pace, monotonic=self.ticks)
        self.worker = Worker(
            self.queue,
            batches,
            bounds,
            id="w",
            lanes=range(16),
            pace=pace,
            stop=Never(),
            events=Events(),
            monotonic=self.ticks,
        )

    def handler(self, type):
        return Handler(type=type, target=self.run, plugin="p")

    def run(self, transaction, context):
        self.ran.append(transaction.type)
        self.then()

    def add(self, type, **fields):
        new = Transaction(
            id=self._ids.next(NOW),
            type=type,
            data={},
            created_at=NOW,
            due_at=NOW,
            max_attempts=8,
            plugin=Stamp("p", "1"),
            **fields,
        )
        return self.queue.enqueue([new])[0].transaction

    def turns(self, count=3):
        for _ in range(count):
            self.ticks.seconds += LOOK_SECONDS
            self.worker.turn()


@pytest.fixture
def house():
    return House()


def test_a_paused_type_is_not_leased_and_the_others_go_on(house):
    house.queue.pause("a", by="local")
    house.add("a")
    house.add("b")
    house.turns()
    assert house.ran == ["b"]
    house.queue.resume("a")
    house.turns()
    assert house.ran == ["b", "a"]


def test_a_paused_family_holds_for_its_types(house):
    house.queue.pause("f.*", by="local")
    house.add("f.x")
    house.turns()
    assert house.ran == []
    house.queue.resume("f.*")
    house.turns(6)
    assert house.ran == ["f.x"]


def test_what_is_in_hand_and_not_started_goes_back(house):
    for _ in range(5):
        house.add("a")

    def pause():
        if len(house.ran) == 2:
            house.queue.pause("a", by="local")
            house.ticks.seconds += LOOK_SECONDS

    house.then = pause
    house.turns()
    assert house.ran == ["a", "a"]
    assert house.queue.counts()["a"] == {State.DONE: 2, State.QUEUED: 3}


def test_the_later_ones_of_a_key_wait_behind_a_paused_type(house):
    keyed = {"ordering_key": "k", "lane": keyed_lane("p", "k")}
    house.queue.pause("a", by="local")
    house.add("a", **keyed)
    house.add("b", **keyed)
    house.add("b", ordering_key="other", lane=keyed_lane("p", "other"))
    house.turns()
    assert house.ran == ["b"]
    house.queue.resume("a")
    house.turns()
    assert house.ran == ["b", "a", "b"]


def test_it_is_looked_up_again_only_after_a_moment(house):
    paused = PausedTypes(house.queue, house.ticks)
    assert paused.among(["a"]) == []
    house.queue.pause("a", by="local")
    assert paused.among(["a"]) == []
    house.ticks.seconds += LOOK_SECONDS
    assert paused.among(["a", "b"]) == ["a"]


def test_while_the_database_is_away_the_last_word_is_kept(house, monkeypatch):
    house.queue.pause("a", by="local")
    paused = PausedTypes(house.queue, house.ticks)
    assert paused.among(["a"]) == ["a"]

    def away():
        raise QueueUnavailable

    monkeypatch.setattr(house.queue, "paused", away)
    house.ticks.seconds += LOOK_SECONDS
    assert paused.among(["a"]) == ["a"]
