"""What tests of the queue on a real mongod share: short words, faults of the server, and a wire that breaks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from faults.relay import Relay
from pymongo import MongoClient
from pymongo.monitoring import CommandListener

from transqueue.mongodb import MongoQueue, connect, connection
from transqueue.outcome import Outcome, Verb
from transqueue.queue import Settlement, WorkerRecord
from transqueue.transaction import State, Transaction, TransactionIds


@pytest.fixture
def connected(mongo_uri: str, mongo_database: str) -> Iterator[Callable[..., MongoQueue]]:
    """The function `connected(uri=...)`: one more process's queue on this test's database."""
    opened = []

    def open_one(uri: str = mongo_uri) -> MongoQueue:
        opened.append(connect(uri, mongo_database))
        return opened[-1]

    yield open_one
    for queue in opened:
        queue.close()


@pytest.fixture
def mongo_queue(connected: Callable[..., MongoQueue]) -> MongoQueue:
    """The queue on this test's database."""
    return connected()


@pytest.fixture
def database(mongo_client: MongoClient[dict[str, Any]], mongo_database: str) -> Any:
    """This test's database as an onlooker sees it."""
    return mongo_client[mongo_database]


@pytest.fixture(scope="session")
def new_desk() -> Callable[[MongoQueue], Desk]:
    """The function `new_desk(queue)`."""
    return Desk


@pytest.fixture
def desk(mongo_queue: MongoQueue) -> Desk:
    """Short words for this test's queue."""
    return Desk(mongo_queue)


@pytest.fixture
def fail(mongo_client: MongoClient[dict[str, Any]]) -> Iterator[Faults]:
    """The function `fail(*commands, times=None, skip=None, **how)`: TransQueue's own commands fail on the server."""
    faults = Faults(mongo_client)
    yield faults
    faults.stop()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads for what happens at the same time."""
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture(scope="session")
def connect_heard(mongo_uri: str) -> Callable[[str], tuple[MongoQueue, Sent]]:
    """The function `connect_heard(database)`: a queue, and the commands that it sends. The caller closes it."""

    def connect_one(database: str) -> tuple[MongoQueue, Sent]:
        sent = Sent()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(connection, "MongoClient", sent.client)
            return connect(mongo_uri, database), sent

    return connect_one


@pytest.fixture
def wire(mongo_uri: str) -> Iterator[Relay]:
    """A wire to the mongod that can lose replies; connect to its `uri`."""
    wire = Relay(mongo_uri)
    yield wire
    wire.close()


@pytest.fixture
def far(wire: Relay, mongo_database: str) -> Iterator[MongoQueue]:
    """One more process's queue, at the far end of the wire."""
    queue = connect(wire.uri, mongo_database)
    yield queue
    queue.close()


class Faults:
    """The failpoint `failCommand`, for what TransQueue sends and for nothing else."""

    def __init__(self, client: MongoClient[dict[str, Any]]) -> None:
        self._admin, self._entered = client.admin, 0

    def __call__(self, *commands: str, times: int | None = None, skip: int | None = None, **how: Any) -> None:
        """From now on: always, so many times, or always after so many that do not fail."""
        mode: Any = {"times": times} if times else {"skip": skip} if skip else "alwaysOn"
        data = {"failCommands": list(commands), "appName": "transqueue", **how}
        self._entered = self._admin.command("configureFailPoint", "failCommand", mode=mode, data=data)["count"]

    def wait(self) -> None:
        """Until one of the commands has met it."""
        entered = {"timesEntered": self._entered + 1, "maxTimeMS": 10_000}
        self._admin.command({"waitForFailPoint": "failCommand", **entered})

    def stop(self) -> None:
        self._admin.command("configureFailPoint", "failCommand", mode="off")


class Sent(CommandListener):
    """The commands that were sent, in order."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, dict[str, Any]]] = []

    def client(self, uri: str, *, event_listeners: list[Any], **options: Any) -> MongoClient[dict[str, Any]]:
        """In the place of `MongoClient`: one that is heard too."""
        return MongoClient(uri, event_listeners=[*event_listeners, self], **options)

    def started(self, event: Any) -> None:
        self.commands.append((event.command_name, dict(event.command)))

    def succeeded(self, event: Any) -> None: ...

    def failed(self, event: Any) -> None: ...

    def during(self, action: Callable[[], Any]) -> list[tuple[str, dict[str, Any]]]:
        """What `action` sends."""
        before = len(self.commands)
        action()
        return self.commands[before:]


class Desk:
    """Short words for what most tests do first."""

    def __init__(self, queue: MongoQueue) -> None:
        self.queue = queue
        self._ids, self._numbers = TransactionIds(), itertools.count(1)

    def at(self, seconds: float) -> datetime:
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
        return self.queue.enqueue([self.new(**fields)])[0].transaction

    def worker(self, lease_seconds: float = 600, *, of: MongoQueue | None = None) -> str:
        """Begin a worker with the session of one queue, `self.queue` unless told; its id."""
        number, sessions = next(self._numbers), (of or self.queue).sessions
        record = WorkerRecord(id=f"worker-{number}", host="here", pid=1000 + number, slot=number, sessions=sessions)
        self.queue.begin(record, lease_seconds=lease_seconds)
        return record.id

    def leased(self, worker: str | None = None, **fields: Any) -> Transaction:
        """Enqueue one transaction and lease it."""
        given = self.enqueue(**fields)
        (leased,) = self.queue.lease(worker or self.worker(), given.type, limit=1)
        return leased

    def lease(self, *given: Transaction) -> list[Transaction]:
        """Enqueue transactions of one type, and lease them together."""
        return self.lease_for(self.worker(), *given)

    def lease_for(self, worker: str, *given: Transaction) -> list[Transaction]:
        self.queue.enqueue(given)
        leased = self.queue.lease(worker, given[0].type, limit=len(given))
        assert [one.id for one in leased] == [one.id for one in given]
        return [*leased]

    def complete(self, transaction: Transaction, result: Any = None, **fields: Any) -> Settlement:
        return Settlement(transaction, Outcome(verb=Verb.COMPLETE, result=result, **fields))

    def retry(self, transaction: Transaction, seconds: float = 60) -> Settlement:
        error = {"type": "ValueError", "message": "not yet"}
        return Settlement(transaction, Outcome(verb=Verb.RETRY, error=error, due_at=self.at(seconds)))

    def reject(self, transaction: Transaction) -> Settlement:
        return Settlement(transaction, Outcome(verb=Verb.REJECT, error={"type": "Reject", "message": "no"}))

    def bury(self, transaction: Transaction) -> Settlement:
        return Settlement(transaction, Outcome(verb=Verb.BURY, error={"type": "ValueError", "message": "never"}))

    def get(self, transaction: Transaction) -> Transaction:
        found = self.queue.get(transaction.id)
        assert found is not None
        return found

    def state(self, transaction: Transaction) -> State:
        return self.get(transaction).state
