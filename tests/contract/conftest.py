"""The queues that the contract is held against, and what its tests are written with."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from simulation.direct import DirectNetwork
from simulation.queue_on_store import queue_on
from simulation.store import Store

from transqueue.mongodb import connect
from transqueue.outcome import Outcome, Verb
from transqueue.queue import Settlement, WorkerRecord
from transqueue.testing import MemoryQueue, SettableClock
from transqueue.transaction import State, Transaction, TransactionIds


@pytest.fixture(params=["memory", "simulated", "mongo"])
def queue(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Each queue in turn. A test that takes it is a promise that all keep.

    `simulated` is the real queue on the store of `tests/simulation`: what that proves rests on its keeping them too.
    """
    if request.param == "memory":
        yield MemoryQueue(SettableClock())
        return
    if request.param == "simulated":
        yield simulated_queue()
        return
    opened = connect(request.getfixturevalue("mongo_uri"), request.getfixturevalue("mongo_database"))
    yield opened
    opened.close()


class ServersClock(SettableClock):
    """The server's own clock, which needs not be followed."""

    def observe(self, server_time: datetime) -> None: ...


def simulated_queue() -> Any:
    """The real queue on a new simulated store, whose clock stands until it is moved."""
    clock = ServersClock()
    queue = queue_on(DirectNetwork(Store(clock.now)), clock)
    queue._connection.prepare()
    return queue


@pytest.fixture
def pass_time(queue: Any, wait_until: Callable[..., Any]) -> Callable[[float], None]:
    """Let seconds pass for the queue: at once in memory; a real server is waited for, so keep them few."""
    if isinstance(queue.clock, SettableClock):
        return queue.clock.advance

    def wait(seconds: float) -> None:
        moment = queue.clock.now() + timedelta(seconds=seconds)
        wait_until(lambda: queue.clock.now() >= moment, timeout=seconds + 10)

    return wait


@pytest.fixture
def bench(queue: Any, pass_time: Callable[[float], None], wait_until: Callable[..., Any]) -> Bench:
    return Bench(queue, pass_time, wait_until)


@pytest.fixture(scope="session")
def together() -> Callable[..., list[Any]]:
    """The function `together(*actions)`: call all at once, each in a thread of its own, and give their answers."""

    def run(*actions: Callable[[], Any]) -> list[Any]:
        barrier = Barrier(len(actions), timeout=30)

        def start(action: Callable[[], Any]) -> Any:
            barrier.wait()
            return action()

        with ThreadPoolExecutor(len(actions)) as pool:
            return list(pool.map(start, actions))

    return run


class Bench:
    """Short words for what most tests do first."""

    SHORT_LEASE = 0.5  # seconds; enough to lease something under it on a busy machine

    def __init__(self, queue: Any, pass_time: Callable[[float], None], wait_until: Callable[..., Any]) -> None:
        self.queue = queue
        self._pass_time, self._wait_until = pass_time, wait_until
        self._ids, self._numbers = TransactionIds(), itertools.count(1)

    def at(self, seconds: float) -> datetime:
        """The moment so many seconds from now, by the queue's clock."""
        return self.queue.clock.now() + timedelta(seconds=seconds)

    def new(self, **fields: Any) -> Transaction:
        """A new transaction, due a moment ago: a followed clock may step back by a little."""
        now = self.queue.clock.now()
        given = {
            "id": self._ids.next(now),
            "type": "deposit",
            "data": {"username": "ann", "value": 5},
            "created_at": now,
            "due_at": now - timedelta(seconds=1),
            "max_attempts": 8,
        }
        return Transaction(**given | fields)

    def enqueue(self, **fields: Any) -> Transaction:
        """Enqueue one new transaction."""
        return self.queue.enqueue([self.new(**fields)])[0].transaction

    def get(self, transaction: Transaction) -> Transaction:
        """The transaction as it is now."""
        return self.queue.get(transaction.id)

    def state(self, transaction: Transaction) -> State:
        return self.get(transaction).state

    def worker(self, lease_seconds: float = 600) -> str:
        """Begin a new worker; its id."""
        number = next(self._numbers)
        record = WorkerRecord(id=f"worker-{number}", host="here", pid=1000 + number, slot=number)
        self.queue.begin(record, lease_seconds=lease_seconds)
        return record.id

    def lease(self, worker: str | None = None, *, type: str = "deposit", limit: int = 10) -> Sequence[Transaction]:
        """What a worker, a new one unless told, leases now."""
        return self.queue.lease(worker or self.worker(), type, limit=limit)

    def lease_when_due(self, transaction: Transaction, worker: str | None = None) -> Transaction:
        """Wait for one transaction, the only one of its type, to be due, and lease it."""
        self._wait_until(lambda: self._is_due(transaction), message=f"{transaction.id} is due")
        (leased,) = self.lease(worker, type=transaction.type)
        return leased

    def leased(self, worker: str | None = None, **fields: Any) -> Transaction:
        """Enqueue one transaction and lease it."""
        self.enqueue(**fields)
        (leased,) = self.lease(worker, type=fields.get("type", "deposit"))
        return leased

    def lapse(self) -> None:
        """Let every short lease lapse."""
        self._pass_time(self.SHORT_LEASE + 0.2)

    def complete(self, transaction: Transaction, result: Any = None, **fields: Any) -> Settlement:
        return Settlement(transaction, Outcome(verb=Verb.COMPLETE, result=result, **fields))

    def reject(self, transaction: Transaction) -> Settlement:
        error = {"type": "Reject", "message": "insufficient funds"}
        return Settlement(transaction, Outcome(verb=Verb.REJECT, error=error))

    def retry(self, transaction: Transaction, seconds: float = -1, **fields: Any) -> Settlement:
        error = {"type": "ValueError", "message": "not yet"}
        return Settlement(transaction, Outcome(verb=Verb.RETRY, error=error, due_at=self.at(seconds), **fields))

    def bury(self, transaction: Transaction, **fields: Any) -> Settlement:
        error = {"type": "ValueError", "message": "never", "traceback": "line 1"}
        return Settlement(transaction, Outcome(verb=Verb.BURY, error=error, **fields))

    def dead(self, **fields: Any) -> Transaction:
        """A transaction that was buried."""
        leased = self.leased(**fields)
        assert self.queue.settle([self.bury(leased)]) == frozenset()
        return self.get(leased)

    def _is_due(self, transaction: Transaction) -> bool:
        if isinstance(self.queue.clock, SettableClock):
            self.queue.clock.advance(0.1)
        return self.queue.due([transaction.type])
