"""Deployments and URIs that cannot keep the promises are refused with the cure; one that is away is told in time."""

from __future__ import annotations

import os
import socket
import threading
import time

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from transqueue.errors import QueueUnavailable, TopologyRefused
from transqueue.mongodb import connect, connection
from transqueue.mongodb.binary import find_mongod
from transqueue.mongodb.embedded import PrivateMongod, attach
from transqueue.mongodb.guard import spawn
from transqueue.mongodb.instance import free_port

DEADLINE = 0.5  # seconds


@pytest.fixture(scope="module")
def standalone(tmp_path_factory, wait_until):
    """The address of a mongod that is in no replica set."""
    folder, port = tmp_path_factory.mktemp("standalone"), free_port()
    options = ["--port", str(port), "--bind_ip", "127.0.0.1", "--nounixsocket", "--dbpath", str(folder)]
    engine = ["--wiredTigerEngineConfigString", "log=(file_max=4MB,prealloc=false)"]
    with (folder / "output").open("wb") as output:
        mongod = spawn([str(find_mongod(os.environ)), *options, *engine], os.environ, output.fileno())
    address = f"127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(address), timeout=30, message="the standalone mongod answers")
        yield address
    finally:
        mongod.kill()
        mongod.wait()


def answers(address):
    with MongoClient(f"mongodb://{address}/", serverSelectionTimeoutMS=100) as client:
        try:
            return client.admin.command("ping")
        except PyMongoError:
            return None


@pytest.fixture
def soon(monkeypatch):
    """The deadline of a call is near."""
    monkeypatch.setattr(connection, "CALL_SECONDS", DEADLINE)


def test_a_standalone_mongod_is_refused_with_the_cure(standalone):
    with pytest.raises(TopologyRefused) as refused:
        connect(f"mongodb://{standalone}/", "refused")
    said = str(refused.value)
    assert "standalone" in said
    for cure in ("--replSet", "rs.initiate()", "replicaSet="):
        assert cure in said


def test_nothing_is_written_to_a_deployment_that_is_refused(standalone):
    with pytest.raises(TopologyRefused):
        connect(f"mongodb://{standalone}/", "refused")
    with MongoClient(f"mongodb://{standalone}/") as client:
        assert "refused" not in client.list_database_names()


@pytest.mark.parametrize(
    "option",
    [
        "w=1",
        "w=0",
        "w=2",
        "w=tagged",
        "journal=false",
        "w=majority&journal=false",
        "w=1&journal=true",
        "W=1",
        "j=False",
    ],
)
def test_a_weaker_write_concern_in_the_uri_is_refused(mongo_uri, mongo_database, option):
    with pytest.raises(TopologyRefused, match="write concern"):
        connect(f"{mongo_uri}&{option}", mongo_database)


@pytest.mark.parametrize(
    "option",
    ["w=majority", "journal=true", "readConcernLevel=local", "retryWrites=false", "readPreference=secondary"],
)
def test_other_options_in_the_uri_change_no_promise(mongo_uri, mongo_database, option):
    queue = connect(f"{mongo_uri}&{option}", mongo_database)
    try:
        q = queue.database["Q"]
        assert q.write_concern.document == {"w": "majority", "j": True}
        assert q.read_concern.level == "majority"
        assert q.read_preference.name == "Primary"
        assert queue.database.client.options.retry_writes
    finally:
        queue.close()


@pytest.mark.parametrize("uri", ["nonsense", "mongodb://", "mongodb://127.0.0.1:port/", "mongodb://127.0.0.1:99999/"])
def test_what_is_no_uri_is_refused(uri):
    with pytest.raises(TopologyRefused, match=r"mongodb\.uri"):
        connect(uri, "refused")


def test_a_replica_set_that_does_not_journal_on_a_majority_is_refused_with_the_cure(tmp_path):
    with PrivateMongod(tmp_path) as mongod:
        uri = attach(tmp_path)
        assert mongod.pid
        connect(uri, "test").close()
        with MongoClient(uri) as client:
            config = client.admin.command("replSetGetConfig")["config"]
            config |= {"writeConcernMajorityJournalDefault": False, "version": config["version"] + 1}
            client.admin.command("replSetReconfig", config)
        with pytest.raises(TopologyRefused, match="writeConcernMajorityJournalDefault") as refused:
            connect(uri, "test")
        assert "rs.reconfig()" in str(refused.value)


def test_the_name_of_another_replica_set_is_never_answered_by_this_one(mongo_uri, mongo_database, soon):
    with pytest.raises(QueueUnavailable):
        connect(f"{mongo_uri}x", mongo_database)


def test_where_nobody_listens_the_queue_is_unavailable_within_the_deadline(soon):
    began = time.monotonic()
    with pytest.raises(QueueUnavailable):
        connect(f"mongodb://127.0.0.1:{free_port()}/?replicaSet=none", "test")
    assert time.monotonic() - began < 6 * DEADLINE


def test_where_nobody_answers_the_queue_is_unavailable_within_the_deadline(soon):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(QueueUnavailable):
            connect(f"mongodb://127.0.0.1:{silent.getsockname()[1]}/?replicaSet=none", "test")
        assert time.monotonic() - began < 6 * DEADLINE


def test_a_connection_that_was_refused_leaves_no_thread_behind(standalone):
    before = {thread.name for thread in threading.enumerate()}
    with pytest.raises(TopologyRefused):
        connect(f"mongodb://{standalone}/", "refused")
    assert {thread.name for thread in threading.enumerate()} <= before


def test_many_that_connect_at_once_to_a_new_database_all_succeed(mongo_uri, mongo_database, pool):
    queues = list(pool.map(lambda _: connect(mongo_uri, mongo_database), range(8)))
    indexes = [set(queue.database["Q"].index_information()) for queue in queues]
    for queue in queues:
        queue.close()
    assert all(one == indexes[0] >= {"due", "idempotency"} for one in indexes)
