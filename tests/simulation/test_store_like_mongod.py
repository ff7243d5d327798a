"""The simulated store does what mongod does where it matters: the same script, on both."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from bson import Timestamp
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure
from simulation.client import Client
from simulation.direct import DirectNetwork
from simulation.store import Store

TRANSIENT = "TransientTransactionError"


@pytest.fixture(params=["simulated", "mongo"])
def client(request):
    if request.param == "simulated":
        return Client(DirectNetwork(Store(lambda: datetime.now(UTC))))
    return request.getfixturevalue("mongo_client")


@pytest.fixture
def docs(client, request):
    """A collection with the documents 1, 2 and 3."""
    name = request.getfixturevalue("mongo_database") if not isinstance(client, Client) else "test"
    collection = client[name]["docs"]
    collection.insert_many([{"_id": number, "n": 0} for number in (1, 2, 3)])
    return collection


@pytest.fixture
def session(client):
    with client.start_session(causal_consistency=False) as session:
        session.start_transaction()
        yield session


def add(docs, number, session=None):
    return docs.update_one({"_id": number}, {"$inc": {"n": 1}}, session=session)


def values(docs, session=None):
    return [one["n"] for one in docs.find({}, session=session).sort("_id", 1)]


def test_a_session_reads_the_snapshot_of_its_first_command_and_its_own_writes(docs, session):
    assert values(docs, session) == [0, 0, 0]
    add(docs, 1)
    add(docs, 2, session)
    assert values(docs, session) == [0, 1, 0]
    assert values(docs) == [1, 0, 0]
    session.commit_transaction()
    assert values(docs) == [1, 1, 0]


def test_writing_what_changed_since_the_snapshot_is_a_conflict_and_ends_the_session(docs, session):
    values(docs, session)
    add(docs, 1)
    with pytest.raises(OperationFailure) as conflict:
        add(docs, 1, session)
    assert (conflict.value.code, conflict.value.has_error_label(TRANSIENT)) == (112, True)
    with pytest.raises(OperationFailure) as ended:
        add(docs, 2, session)
    assert (ended.value.code, ended.value.has_error_label(TRANSIENT)) == (251, True)


def test_of_two_open_sessions_the_second_to_write_conflicts_at_once(client, docs, session):
    add(docs, 1, session)
    with client.start_session(causal_consistency=False) as second:
        second.start_transaction()
        with pytest.raises(OperationFailure) as conflict:
            add(docs, 1, second)
        assert conflict.value.code == 112
    session.commit_transaction()
    assert values(docs) == [1, 0, 0]


def test_a_write_outside_waits_for_the_session_and_its_command_stays_half_done_meanwhile(docs, session, wait_until):
    add(docs, 2, session)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(docs.update_many, {}, {"$inc": {"n": 10}})
        wait_until(lambda: values(docs)[0] == 10, message="the first document is written")
        assert values(docs) == [10, 0, 0]
        assert not writing.done()
        session.commit_transaction()
        assert writing.result(10).matched_count == 3
    assert values(docs) == [10, 11, 10]


def test_a_write_that_waited_judges_its_document_again(docs, session, wait_until):
    add(docs, 2, session)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(docs.update_many, {"n": 0}, {"$set": {"n": 10}})
        wait_until(lambda: values(docs)[0] == 10, message="the first document is written")
        session.commit_transaction()
        assert writing.result(10).matched_count == 2
    assert values(docs) == [10, 1, 10]


def test_a_killed_session_frees_what_it_wrote_and_refuses_to_commit(client, docs, session):
    add(docs, 1, session)
    client.admin.command("killSessions", [session.session_id])
    assert add(docs, 1).matched_count == 1
    with pytest.raises(OperationFailure) as refused:
        session.commit_transaction()
    assert (refused.value.code, refused.value.has_error_label(TRANSIENT)) == (251, True)
    assert values(docs) == [1, 0, 0]


def test_a_session_begun_again_after_a_kill_is_whole(client, docs, session):
    add(docs, 1, session)
    client.admin.command("killSessions", [session.session_id])
    session.abort_transaction()
    session.start_transaction()
    add(docs, 3, session)
    session.commit_transaction()
    assert values(docs) == [0, 0, 1]


def test_a_known_id_ends_a_session_and_outside_spoils_only_itself(docs, session):
    with pytest.raises(BulkWriteError) as met:
        docs.insert_many([{"_id": 1}, {"_id": 4, "n": 0}], ordered=False)
    assert [(error["index"], error["code"]) for error in met.value.details["writeErrors"]] == [(0, 11000)]
    add(docs, 2, session)
    with pytest.raises(DuplicateKeyError):
        docs.insert_one({"_id": 1}, session=session)
    with pytest.raises(OperationFailure):
        session.commit_transaction()
    assert values(docs) == [0, 0, 0, 0]


def test_what_two_sessions_insert_under_one_id_is_stored_once(client, docs, session):
    docs.insert_one({"_id": 9, "n": 9}, session=session)
    with client.start_session(causal_consistency=False) as second:
        second.start_transaction()
        with pytest.raises(OperationFailure) as conflict:
            docs.insert_one({"_id": 9, "n": 8}, session=second)
        assert conflict.value.code == 112
    session.commit_transaction()
    assert values(docs) == [0, 0, 0, 9]


def test_an_update_that_changes_nothing_conflicts_with_nobody(docs, session):
    values(docs, session)
    add(docs, 1)
    docs.update_one({"_id": 1}, {"$set": {"n": 0}}, session=session)
    add(docs, 2, session)
    session.commit_transaction()
    assert values(docs) == [1, 1, 0]


def test_the_server_stamps_and_orders_what_is_inserted(docs):
    docs.insert_many([{"_id": number, "at": Timestamp(0, 0)} for number in (7, 6, 5)])
    stamps = [docs.find_one({"_id": number})["at"] for number in (7, 6, 5)]
    assert stamps == sorted(stamps)
    assert len({*stamps}) == 3


def test_many_threads_lose_no_update(docs):
    def ten():
        for _ in range(10):
            docs.update_many({}, [{"$set": {"n": {"$add": ["$n", 1]}}}])

    threads = [threading.Thread(target=ten) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values(docs) == [40, 40, 40]
