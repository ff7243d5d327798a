"""The rights that docs/operations/security.md gives the database user suffice, on a mongod that asks who comes."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from transqueue.admin.filter import Filter
from transqueue.mongodb import MongoQueue, connect
from transqueue.mongodb.binary import find_mongod
from transqueue.outcome import Outcome, Verb
from transqueue.queue import Casualty, Settlement, WorkerRecord
from transqueue.transaction import State, Transaction, TransactionIds


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, wait_until) -> Iterator[str]:
    """The URI of a replica set with `--keyFile`, for the user that the checklist makes."""
    folder: Path = tmp_path_factory.mktemp("guarded")
    key = folder / "key"
    key.write_text("c2VjcmV0" * 8)
    key.chmod(0o600)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["--dbpath", str(folder), "--port", str(port), "--bind_ip", "127.0.0.1", "--replSet", "rs0"]
    options = ["--keyFile", str(key), "--wiredTigerCacheSizeGB", "0.25", "--unixSocketPrefix", str(folder)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(find_mongod(os.environ)), *arguments, *options], stdout=log, stderr=log)
    try:
        _make_users(port, wait_until)
        yield f"mongodb://transqueue:secret@127.0.0.1:{port}/?replicaSet=rs0&authSource=admin"
    finally:
        process.kill()
        process.wait()


def _make_users(port, wait_until):
    with MongoClient(f"mongodb://127.0.0.1:{port}/?directConnection=true") as local:
        wait_until(lambda: _answers(local), timeout=60, message="mongod answers")
        local.admin.command("replSetInitiate", {"_id": "rs0", "members": [{"_id": 0, "host": f"127.0.0.1:{port}"}]})
        wait_until(lambda: local.admin.command("hello")["isWritablePrimary"], timeout=60, message="it is primary")
        local.admin.command("createUser", "root", pwd="secret", roles=["root"])
    with MongoClient(f"mongodb://root:secret@127.0.0.1:{port}/?directConnection=true") as root:
        roles = [{"role": "readWrite", "db": "transqueue"}]
        root.admin.command("createUser", "transqueue", pwd="secret", roles=roles)


def _answers(client):
    try:
        return client.admin.command("ping")["ok"]
    except PyMongoError:
        return False


@pytest.fixture(scope="module")
def guarded_queue(guarded) -> Iterator[MongoQueue]:
    queue = connect(guarded, "transqueue")
    yield queue
    queue.close()


def enqueue(queue: MongoQueue, ids=TransactionIds(), **more) -> Transaction:  # noqa: B008
    now = queue.clock.now()
    given = {"created_at": now, "due_at": now - timedelta(seconds=1), "max_attempts": 3}
    return queue.enqueue([Transaction(id=ids.next(now), type="pay", data={"n": 1}, **given | more)])[0].transaction


def begin(queue: MongoQueue, name: str) -> str:
    queue.begin(WorkerRecord(id=name, host="h", pid=1, slot=0, sessions=queue.sessions), lease_seconds=600)
    return name


def test_without_the_user_nothing_is_told(guarded):
    with MongoClient(guarded.replace("transqueue:secret@", "")) as nobody, pytest.raises(OperationFailure):
        nobody["transqueue"]["Q"].find_one()


def test_a_transaction_lives_its_whole_life(guarded_queue):
    queue, worker = guarded_queue, begin(guarded_queue, "first")
    enqueue(queue)
    (leased,) = queue.lease(worker, "pay", limit=1)

    def perform(effects):
        effects.db["Bank"].update_one({"_id": "ann"}, {"$inc": {"n": 1}}, upsert=True)
        return [Settlement(leased, Outcome(verb=Verb.COMPLETE, result=1))]

    assert queue.settle_in_session(perform, timeout_seconds=10) == frozenset()
    assert queue.get(leased.id).state is State.DONE
    assert queue.database["Bank"].find_one({"_id": "ann"})["n"] == 1


def test_a_dead_workers_sessions_are_ended_and_its_transactions_put_back(guarded, guarded_queue):
    other = connect(guarded, "transqueue")
    worker = begin(other, "second")
    given = enqueue(guarded_queue)
    (leased,) = other.lease(worker, "pay", limit=1)
    rescue = guarded_queue.end(worker, Casualty(running=leased.id))
    other.close()
    assert rescue.charged == (given.id,)
    assert guarded_queue.rescue() == []
    guarded_queue.cancel(given.id)


def test_operators_and_pages_are_answered(guarded_queue):
    queue, worker = guarded_queue, begin(guarded_queue, "third")
    enqueue(queue)
    (leased,) = queue.lease(worker, "pay", limit=1)
    error = {"type": "ValueError", "message": "no"}
    queue.settle([Settlement(replace(leased), Outcome(verb=Verb.BURY, error=error))])
    assert [group.count for group in queue.failures.groups(recent=timedelta(hours=1))] == [1]
    assert len(queue.listing.page(Filter(state=State.DEAD), after=None, limit=5).transactions) == 1
    assert queue.redrive(leased.id, more_attempts=1)
    assert queue.pause("pay", by="local")
    assert queue.measures.depths().types["pay"].queued == 1
    queue.measures.flush()
    queue.audit.record("local", "type.paused", "pay")
    assert queue.secrets.of("window")
    queue.api_keys.create("ann", ["read"])
    condition = queue.condition()
    assert condition.members == []  # not this user's to ask
    assert {"Q", "Workers"} <= {stored.name for stored in condition.stored}
