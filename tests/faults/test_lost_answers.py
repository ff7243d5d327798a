"""A reply is lost, late or never comes, for each verb that matters: whoever repeats as it should finds it done once.

The deadlines of calls and sessions are shorter here, so that silence ends soon.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from faults.relay import Relay
from integration.conftest import Desk

from transqueue.errors import QueueUnavailable, TrackLost
from transqueue.mongodb import connect, connection, intake, ordered, settlements
from transqueue.queue import Casualty
from transqueue.transaction import KEYED_LANES, Idempotency, Stamp, State

DEADLINE_SECONDS = 0.6
SESSION_SECONDS = 1.2
AT_MOST = 30  # repetitions

# What becomes of the verb's command on its way.
FATES: dict[str, Callable[[Relay, str, str], None]] = {
    "the reply is lost": lambda relay, *command: relay.on("lose reply", *command),
    "two replies are lost": lambda relay, *command: relay.on("lose reply", *command, times=2),
    "the request is lost": lambda relay, *command: relay.on("lose request", *command),
    "the reply is late": lambda relay, *command: relay.on("hold reply", *command),
    "the request is late": lambda relay, *command: relay.on("hold request", *command),
    "there is silence after the request": lambda relay, *command: relay.on("hold reply", *command),
    "there is silence before the request": lambda relay, *command: relay.on("hold request", *command),
}


class Enqueue:
    """As a submitter: with one key, again until it is answered."""

    command = ("insert", "Q")

    def __init__(self, desk: Any) -> None:
        self.desk = desk
        self.given = [desk.new(idempotency=Idempotency("key", "hash")) for _ in range(AT_MOST)]

    def act(self, queue: Any) -> bool:
        (receipt,) = queue.enqueue([self.given.pop(0)])
        self.accepted = receipt.transaction
        return True

    def check(self) -> None:
        assert self.desk.get(self.accepted).state is State.QUEUED
        assert self.desk.queue.counts() == {"deposit": {State.QUEUED: 1}}


class Lease:
    """As a worker: it runs what it leased, and ends when it cannot know; its supervisor puts everything back."""

    command = ("update", "Q")

    def __init__(self, desk: Any) -> None:
        self.desk, self.given, self.ran = desk, self.enqueue(desk), []

    def enqueue(self, desk: Any) -> Any:
        return desk.enqueue()

    def lease(self, queue: Any, worker: str) -> Any:
        return queue.lease(worker, "deposit", limit=1)

    def act(self, queue: Any) -> bool:
        worker = self.desk.worker(of=queue)
        try:
            leased = self.lease(queue, worker)
        except TrackLost:
            self.desk.queue.end(worker, Casualty())
            raise
        self.ran += [one.id for one in leased]
        assert not self.desk.queue.settle([self.desk.complete(one) for one in leased])
        return bool(leased)

    def check(self) -> None:
        settled = self.desk.get(self.given)
        assert (self.ran, settled.state, settled.attempts, settled.crashes) == ([self.given.id], State.DONE, 1, 0)


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

    def __init__(self, desk: Any) -> None:
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

    def __init__(self, desk: Any) -> None:
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
        return bool(queue.settle_in_session(self.perform, timeout_seconds=SESSION_SECONDS) == frozenset())

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
    "lease in order": LeaseInOrder,
    "renew": Renew,
    "settle": Settle,
    "settle with effects": Fence,
    "commit": Commit,
}


@pytest.fixture(scope="module")
def far_and_near(
    make_relay: Callable[[], Relay], mongo_uri: str, mongo_client: Any
) -> Iterator[tuple[Relay, Any, Desk, Any]]:
    """A relay, an impatient queue at its far end, a desk at the near one, and the database that all rows share."""
    relay, name = make_relay(), f"test_{uuid.uuid4().hex[:12]}"
    with pytest.MonkeyPatch.context() as patch:
        for module in (connection, intake, ordered, settlements):
            patch.setattr(module, "CALL_SECONDS", DEADLINE_SECONDS)
        far, near = connect(relay.uri, name), connect(mongo_uri, name)
        yield relay, far, Desk(near), mongo_client[name]
        relay.release()
        far.close()
        near.close()
    mongo_client.drop_database(name)


@pytest.mark.parametrize("fate", FATES)
@pytest.mark.parametrize("verb", VERBS)
def test_it_counts_once(
    far_and_near: tuple[Relay, Any, Desk, Any], pool: ThreadPoolExecutor, wait_until: Any, verb: str, fate: str
) -> None:
    relay, far, desk, database = far_and_near
    for collection in ("Q", "Workers", "Lanes", "Keys", "Paid"):
        database[collection].delete_many({})
    doing = VERBS[verb](desk)
    FATES[fate](relay, *doing.command)
    answered = pool.submit(until_answered, doing, far, relay)
    relay.catch()
    if "late" in fate:
        relay.release()
    if "silence" in fate:
        wait_until(answered.done, timeout=60, message="it gives up waiting, and goes on by itself")
    assert answered.result(60)
    relay.release()  # what nobody waits for any more arrives all the same
    doing.check()


def until_answered(doing: Any, queue: Any, relay: Relay) -> bool:
    """Repeat as whoever does it must: at once, and never after an answer."""
    for _ in range(AT_MOST):
        try:
            return bool(doing.act(queue))
        except (QueueUnavailable, TrackLost):
            continue
    return False
