"""The verbs that matter under faults, each done as whoever does it must, and judged when all is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transqueue.errors import QueueUnavailable, TrackLost
from transqueue.queue import Casualty
from transqueue.transaction import KEYED_LANES, Idempotency, Stamp, State

AT_MOST = 30  # repetitions


def until_answered(doing: Any, queue: Any) -> int:
    """Repeat as it must be: at once, and never after an answer. How often it was repeated."""
    for repeats in range(AT_MOST):
        try:
            if doing.act(queue):
                return repeats
        except (QueueUnavailable, TrackLost):
            continue
    raise AssertionError(f"not done after {AT_MOST} repetitions")


def insist(act: Callable[[], Any]) -> Any:
    """As a supervisor: again in the next turn, until the database answers."""
    for _ in range(AT_MOST):
        try:
            return act()
        except QueueUnavailable:
            continue
    raise AssertionError(f"not answered {AT_MOST} times")


class Enqueue:
    """As a submitter: with one key, again until it is answered."""

    command = ("insert", "Q")

    def __init__(self, desk: Any, session_seconds: float) -> None:
        self.session_seconds = session_seconds
        self.desk = desk
        self.given = [desk.new(idempotency=Idempotency("key", "hash")) for _ in range(AT_MOST)]

    def act(self, queue: Any) -> bool:
        (receipt,) = queue.enqueue([self.given.pop(0)])
        self.accepted = receipt.transaction
        return True

    def check(self) -> None:
        assert self.desk.get(self.accepted).state is State.QUEUED
        assert self.desk.queue.counts()["deposit"] == {State.QUEUED: 1}


class Lease:
    """As a worker: it runs what it leased, and ends when it cannot know; its supervisor puts everything back."""

    command = ("findAndModify", "Q")
    many = 1

    def __init__(self, desk: Any, session_seconds: float) -> None:
        self.session_seconds = session_seconds
        self.desk, self.given, self.ran = desk, [self.enqueue(desk) for _ in range(self.many)], list[str]()

    def enqueue(self, desk: Any) -> Any:
        return desk.enqueue()

    def lease(self, queue: Any, worker: str) -> Any:
        return queue.lease(worker, "deposit", limit=self.many)

    def act(self, queue: Any) -> bool:
        worker = self.desk.worker(of=queue)
        try:
            leased = self.lease(queue, worker)
        except TrackLost:
            insist(lambda: self.desk.queue.end(worker, Casualty()))
            raise
        self.ran += [one.id for one in leased]
        assert not self.desk.queue.settle([self.desk.complete(one) for one in leased])
        return bool(leased)

    def check(self) -> None:
        assert sorted(self.ran) == [one.id for one in self.given]
        for settled in map(self.desk.get, self.given):
            assert (settled.state, settled.attempts, settled.crashes) == (State.DONE, 1, 0)


class LeaseMany(Lease):
    """The same of several at once, which are taken by one command and read by another."""

    command = ("update", "Q")
    many = 2


class LeaseInOrder(Lease):
    """The same of a keyed one, where the leases are taken in a session."""

    command = ("commitTransaction", "")

    def enqueue(self, desk: Any) -> Any:
        return desk.enqueue(ordering_key="ann", lane=KEYED_LANES[0], plugin=Stamp("ledger", "1"))

    def lease(self, queue: Any, worker: str) -> Any:
        return queue.lease_in_order(worker, "ledger", ["deposit"], limit=1)


class Renew:
    """As a supervisor: again in the next turn, as long as the lease has not lapsed."""

    command = ("update", "Workers")

    def __init__(self, desk: Any, session_seconds: float) -> None:
        self.session_seconds = session_seconds
        self.desk, self.worker = desk, desk.worker(lease_seconds=600)
        (self.before,) = desk.queue.workers()

    def act(self, queue: Any) -> bool:
        return bool(queue.renew([self.worker], lease_seconds=1200) == {self.worker})

    def check(self) -> None:
        (after,) = self.desk.queue.workers()
        assert (after.id, after.until > self.before.until) == (self.worker, True)


class Settle:
    """As a worker: it insists by itself, within what its lease can be trusted."""

    command = ("update", "Q")

    def __init__(self, desk: Any, session_seconds: float) -> None:
        self.session_seconds = session_seconds
        self.desk, self.held = desk, desk.leased()

    def act(self, queue: Any) -> bool:
        return bool(queue.settle([self.desk.complete(self.held, result="well")]) == frozenset())

    def check(self) -> None:
        settled = self.desk.get(self.held)
        assert (settled.state, settled.result, settled.attempts) == (State.DONE, "well", 1)
        assert len(settled.history) == 1


class Fence(Settle):
    """As a worker, in the session that holds its effects; a session that was not committed is run anew."""

    def perform(self, effects: Any) -> Any:
        effects.db["Paid"].insert_one({"of": self.held.id})
        return [self.desk.complete(self.held, result="well")]

    def act(self, queue: Any) -> bool:
        return bool(queue.settle_in_session(self.perform, timeout_seconds=self.session_seconds) == frozenset())

    def check(self) -> None:
        super().check()
        database = self.desk.queue._connection.database
        assert database["Paid"].count_documents({}) == 1


class Commit(Fence):
    """The same, at the commit."""

    command = ("commitTransaction", "")


VERBS = {
    "enqueue": Enqueue,
    "lease": Lease,
    "lease many": LeaseMany,
    "lease in order": LeaseInOrder,
    "renew": Renew,
    "settle": Settle,
    "settle with effects": Fence,
    "commit": Commit,
}
