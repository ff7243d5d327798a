"""Async handlers: their attempts go on beside the worker's turns, with the queue in memory and the real executor."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from itertools import count

import pytest

from transqueue import Handler, Reject, handler
from transqueue.events import Events
from transqueue.executor import Bound, Executor
from transqueue.handlers import marks
from transqueue.process.event_loop import EventLoop
from transqueue.process.marker import Marker
from transqueue.queue import WorkerRecord
from transqueue.testing import MemoryQueue, SettableClock
from transqueue.transaction import Stamp, State, Transaction, TransactionIds, keyed_lane
from transqueue.worker import beside
from transqueue.worker.batch import Batches
from transqueue.worker.pace import Pace


class House:
    """One worker's inside, and handlers whose attempts end when the test opens their gates."""

    def __init__(self):
        self.queue, self.marker, self.ids = MemoryQueue(SettableClock()), Marker(), TransactionIds()
        self.queue.begin(WorkerRecord(id="w", host="here", pid=1, slot=0), lease_seconds=30)
        self.woken = threading.Event()
        executor = Executor(clock=self.queue.clock, marker=self.marker, new_transaction=self._new)
        self.batches = Batches(self.queue, executor, events=Events(), pace=Pace(), wake=self.woken.set)
        self.loop, self.numbers, self.stopping = EventLoop(), count(), False
        self.started, self.gates, self.bounds = [], {}, {}
        self.claim("slow", self._slow)

    def claim(self, type, function, **options):
        mark = Handler(type=type, target=function, **options)
        call = mark.callable({})
        if mark.is_async:
            call = self.loop.blocking(call, timeout_seconds=mark.timeout_seconds)
        self.bounds[type] = Bound(mark, call, {})

    async def _slow(self, transaction, context):
        gate = self.gates[transaction.data["n"]] = asyncio.Event()
        self.started.append(transaction.data["n"])
        await gate.wait()
        return transaction.data["n"]

    def _new(self, type, data, options):
        now = self.queue.clock.now()
        return Transaction(id=self.ids.next(now), type=type, data=data, created_at=now, due_at=now, max_attempts=3)

    def enqueue(self, how_many, type="slow", key=None):
        made = []
        for _ in range(how_many):
            now, lane = self.queue.clock.now(), keyed_lane("acme", key) if key else 0
            made.append(
                Transaction(
                    id=self.ids.next(now), type=type, data={"n": next(self.numbers)}, created_at=now, due_at=now,
                    max_attempts=3, ordering_key=key, lane=lane, plugin=Stamp("acme", "1"),
                )
            )  # fmt: skip
        self.queue.enqueue(made)
        return [one.id for one in made]

    def lease(self, type="slow", limit=100):
        return self.queue.lease("w", type, limit=limit)

    def work_off(self, leased):
        self.batches.work_off(self.bounds.__getitem__, leased, stopping=lambda: self.stopping)

    def open(self, *numbers):
        for number in numbers:
            self.loop._running().call_soon_threadsafe(self.gates[number].set)

    def states(self, ids):
        return [self.queue.get(one).state for one in ids]


@pytest.fixture
def house():
    house = House()
    yield house
    house.loop.close()


def test_attempts_are_in_flight_together_and_settled_as_they_end(house, wait_until):
    ids = house.enqueue(3)
    house.work_off(house.lease())
    wait_until(lambda: len(house.started) == 3)
    assert house.states(ids) == [State.RUNNING] * 3
    house.open(1)
    wait_until(house.batches.collect)
    assert house.states(ids) == [State.RUNNING, State.DONE, State.RUNNING]
    assert house.woken.is_set()
    house.open(0, 2)
    house.batches.finish()
    assert house.states(ids) == [State.DONE] * 3


def test_sync_handlers_go_on_meanwhile(house, wait_until):
    house.claim("quick", lambda transaction, context: "done")
    slow, quick = house.enqueue(2), house.enqueue(1, "quick")
    house.work_off(house.lease())
    wait_until(lambda: len(house.started) == 2)
    house.work_off(house.lease("quick"))
    assert house.states(quick + slow) == [State.DONE, State.RUNNING, State.RUNNING]
    house.open(0, 1)
    house.batches.finish()


def test_what_it_raises_ends_its_own_attempt_only(house, wait_until):
    async def picky(transaction, context):
        if transaction.data["n"] == 0:
            raise Reject("not this one")
        if transaction.data["n"] == 1:
            raise SystemExit
        return "well"

    house.claim("picky", picky)
    ids = house.enqueue(3, "picky")
    house.work_off(house.lease("picky"))
    house.batches.finish()
    assert house.states(ids) == [State.REJECTED, State.QUEUED, State.DONE]
    assert house.queue.get(ids[1]).error["type"] == "SystemExit"


def test_each_has_its_own_time_limit(house):
    async def forever(transaction, context):
        await asyncio.sleep(1000)

    house.claim("forever", forever, timeout_seconds=0.05)
    (one,) = house.enqueue(1, "forever")
    house.work_off(house.lease("forever"))
    house.batches.finish()
    assert house.queue.get(one).error["type"] == "TimeoutError"
    assert house.queue.get(one).attempts == 1


def test_one_in_flight_is_marked_by_itself_and_several_as_a_group(house, wait_until):
    (first,) = house.enqueue(1)
    house.work_off(house.lease())
    assert (house.marker.read().doing, house.marker.read().id) == ("running", first)
    house.enqueue(1)
    house.work_off(house.lease())
    assert house.marker.read().doing == "group"
    wait_until(lambda: len(house.started) == 2)
    house.open(1)
    wait_until(house.batches.collect)
    assert (house.marker.read().doing, house.marker.read().id) == ("running", first)
    house.open(0)
    house.batches.finish()
    assert house.marker.read().doing == "idle"


def test_a_sync_attempt_with_others_in_flight_is_marked_as_a_group(house, wait_until):
    seen = []
    house.claim("quick", lambda transaction, context: seen.append(house.marker.read().doing))
    house.enqueue(1), house.enqueue(1, "quick")
    house.work_off(house.lease())
    house.work_off(house.lease("quick"))
    assert seen == ["group"]  # whoever dies now, it cannot be told of which one
    wait_until(lambda: house.gates)
    house.open(0)
    house.batches.finish()


def test_the_nearest_deadline_counts_with_time_for_the_cancellation(house, wait_until):
    house.claim("brief", house._slow, timeout_seconds=5)
    house.enqueue(1), house.enqueue(1, "brief")
    house.work_off(house.lease())
    far = house.marker.read().deadline
    house.work_off(house.lease("brief"))
    assert house.marker.read().deadline < far
    assert house.marker.read().timeout_seconds == 5
    wait_until(lambda: len(house.gates) == 2)
    house.open(0, 1)
    house.batches.finish()


def test_of_an_ordering_key_one_is_in_flight_and_the_next_goes_back(house, wait_until):
    ids = house.enqueue(2, key="ann") + house.enqueue(1, key="bob")
    house.work_off(house.queue.lease_in_order("w", "acme", ["slow"], limit=10))
    wait_until(lambda: len(house.started) == 2)
    assert house.states(ids) == [State.RUNNING, State.QUEUED, State.RUNNING]
    assert house.queue.lease_in_order("w", "acme", ["slow"], limit=10) == []
    house.open(0, 2)
    house.batches.finish()
    house.work_off(house.queue.lease_in_order("w", "acme", ["slow"], limit=10))
    wait_until(lambda: house.started[2:] == [1])
    house.open(1)
    house.batches.finish()
    assert house.states(ids) == [State.DONE] * 3


def test_no_more_are_started_than_there_is_room_for(house, wait_until, monkeypatch):
    monkeypatch.setattr(beside, "MOST", 2)
    ids = house.enqueue(3)
    house.work_off(house.lease())
    wait_until(lambda: len(house.started) == 2)
    assert house.batches.room == 0
    assert house.states(ids) == [State.RUNNING, State.RUNNING, State.QUEUED]
    house.open(0, 1)
    house.batches.finish()
    assert house.batches.room == 2


def test_one_that_must_run_alone_waits_for_the_others_and_they_for_it(house, wait_until):
    house.claim("lonely", lambda transaction, context: house.marker.read().doing)
    (one,) = house.enqueue(1, "lonely")
    (leased,) = house.lease("lonely")
    house.enqueue(1)
    house.work_off(house.lease())
    wait_until(lambda: house.gates)
    house.open(1)
    house.work_off([replace(leased, alone=True)])
    assert house.queue.get(one).result == "running"


def test_an_async_handler_is_declared_neither_transactional_nor_batch():
    async def credit(transaction, context): ...

    for option in ("transactional", "batch"):
        with pytest.raises(ValueError, match="an async handler can be neither transactional nor batch"):
            handler("credit", **{option: True})(credit)


def test_a_class_whose_call_is_async_counts_as_async():
    class Fetch:
        def __init__(self, config): ...

        async def __call__(self, transaction, context): ...

    assert marks(handler("fetch")(Fetch))[-1].is_async
    assert not marks(handler("plain")(lambda transaction, context: None))[-1].is_async
