"""Two versions side by side: what the next one stores is left to it, seen with the cure, and holds up nothing else."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from transqueue.admin.explain import explain
from transqueue.api.app import create_app
from transqueue.config import Config
from transqueue.errors import QueueUnavailable
from transqueue.events import Events
from transqueue.mongodb import connect, documents, indexes
from transqueue.outcome import Outcome, Verb
from transqueue.plugins import load_plugins
from transqueue.queue import Casualty, Settlement, WorkerRecord
from transqueue.transaction import KEYED_LANES, OnEnd, Stamp, State, Transaction, TransactionIds, keyed_lane

CURE = "stored in format 2, and this version of TransQueue reads up to 1: upgrade TransQueue on this host"


@pytest.fixture
def queue(mongo_uri, mongo_database):
    opened = connect(mongo_uri, mongo_database)
    yield opened
    opened.close()


@pytest.fixture
def q(queue):
    return queue.database["Q"]


@pytest.fixture
def worker(queue):
    numbers = count(1)

    def begin(lease_seconds=600):
        id = f"worker-{next(numbers)}"
        queue.begin(WorkerRecord(id=id, host="here", pid=1, slot=1), lease_seconds=lease_seconds)
        return id

    return begin


@pytest.fixture
def enqueue(queue, q):
    """`enqueue(v=2, ...)`: one transaction, stored as a later version would."""
    ids = TransactionIds()

    def enqueue(v=1, **fields):
        now = queue.clock.now()
        given = {"type": "pay", "data": {}, "due_at": now - timedelta(seconds=5), "max_attempts": 8}
        one = Transaction(id=ids.next(now), created_at=now, **{**given, **fields})
        queue.enqueue([one])
        if v != 1:
            q.update_one({"_id": one.id}, {"$set": {"v": v, "of_the_next_version": {"x": 1}}})
        return one.id

    return enqueue


def complete(queue, leased):
    return queue.settle([Settlement(one, Outcome(verb=Verb.COMPLETE)) for one in leased])


def test_what_is_newer_is_never_leased_and_never_hides_what_is_behind_it(queue, q, worker, enqueue):
    for _ in range(60):
        enqueue(v=2, due_at=queue.clock.now() - timedelta(seconds=60))
    ours = {enqueue() for _ in range(3)}
    leased, held = set(), worker()
    for _ in range(20):  # to read over 60, two at a time, would take more
        leased |= {one.id for one in queue.lease(held, "pay", limit=2)}
    assert leased == ours
    assert q.count_documents({"v": 2, "state": "queued"}) == 60


def test_a_newer_one_is_shown_with_the_cure_and_explained(queue, enqueue):
    id = enqueue(v=2, submitter="shop")
    shown = queue.get(id)
    assert (shown.v, shown.state, shown.submitter, shown.error["type"]) == (2, State.QUEUED, "shop", "NewerFormat")
    assert CURE in shown.error["message"]
    assert [one.id for one in queue.page().transactions] == [id]
    assert queue.counts() == {"pay": {State.QUEUED: 1}}
    assert explain(queue.circumstances(id)).reasons[0].code == "newer_format"


@pytest.mark.parametrize(
    "fields", [{"state": "resting"}, {"data": None, "type": 7}, {"due_at": "soon", "created_at": 5}, {"lease": "x"}]
)
def test_whatever_the_next_version_stores_upsets_no_reader(queue, q, enqueue, fields):
    id = enqueue(v=2)
    q.update_one({"_id": id}, {"$set": fields, "$unset": {"attempts": 1, "priority": 1, "history": 1, "crashes": 1}})
    assert queue.get(id).v == 2
    assert len(queue.page().transactions) == 1
    queue.counts()
    queue.rescue()


def test_a_newer_one_is_changed_by_nobody_here(queue, q, worker, enqueue):
    waiting, dead, running = (enqueue(v=2) for _ in range(3))
    gone = worker()
    q.update_one({"_id": dead}, {"$set": {"state": "dead"}})
    q.update_one({"_id": running}, {"$set": {"state": "running", "lease": {"token": "t", "worker": gone}}})
    before = list(q.find().sort("_id"))
    assert not queue.cancel(waiting)
    assert not queue.cancel(dead)
    assert not queue.redrive(dead, more_attempts=1)
    queue.end(gone, Casualty(running=running))
    queue.rescue()
    assert list(q.find().sort("_id")) == before


def test_an_operator_is_told_the_cure(queue, enqueue):
    table = load_plugins(Config(), events=Events())
    client = create_app(queue=queue, table=table, config=Config(), clock=queue.clock, events=Events()).test_client()
    for verb in ("cancel", "retry"):
        answer = client.post(f"/api/data/{enqueue(v=2)}/{verb}")
        assert (answer.status_code, answer.get_json()["code"]) == (409, "newer_format")
        assert CURE in answer.get_json()["message"]


def test_a_newer_one_holds_back_its_own_key_and_no_other(queue, worker, enqueue):
    def keyed(key, v=1):
        return enqueue(v, ordering_key=key, plugin=Stamp("ledger", "1"), lane=keyed_lane("ledger", key))

    keyed("ann", v=2)
    keyed("ann")
    free = keyed("bob")
    held = worker()
    leased = [queue.lease_in_order(held, "ledger", ["pay"], limit=10, lanes=KEYED_LANES) for _ in range(4)]
    assert [one.id for some in leased for one in some] == [free]


def test_what_the_next_version_only_adds_is_no_hindrance(queue, q, worker, enqueue):
    held = worker()
    id = enqueue(plugin=Stamp("shop", "2"), on_end=(OnEnd(type="tell", data={}, max_attempts=2),))
    added = {"added": 1, "plugin.added": 1, "on_end.0.added": 1, "origin": {"added": 1}}
    q.update_one({"_id": id}, {"$set": added})
    queue.database["Workers"].update_one({"_id": held}, {"$set": {"added": 1, "report": {"doing": "idle", "more": 1}}})
    queue.database["Plugins"].insert_one(
        {
            "_id": "api@x:1",
            "role": "api",
            "host": "x",
            "slot": 1,
            "pid": 1,
            "plugins": [],
            "at": queue.clock.now(),
            "n": 1,
        }
    )
    assert [one.id for one in queue.workers()] == [held]
    assert len(queue.catalog.reports()) == 1
    assert complete(queue, queue.lease(held, "pay", limit=1)) == frozenset()
    assert (queue.get(id).state, queue.get(id).plugin) == (State.DONE, Stamp("shop", "2"))
    assert queue.counts()["tell"] == {State.QUEUED: 1}


def test_the_next_version_beside_it_processes_both_formats(queue, worker, enqueue, monkeypatch, wait_until):
    mine, theirs = enqueue(), enqueue(v=2)
    held = worker()
    assert [one.id for one in queue.lease(held, "pay", limit=5)] == [mine]
    monkeypatch.setattr(documents, "VERSION", 2)  # what the next version is, as far as this goes
    monkeypatch.setitem(documents.READABLE, "$lte", 2)
    held = worker()
    leased = wait_until(lambda: queue.lease(held, "pay", limit=5), message="what was stepped over is found")
    assert [one.id for one in leased] == [theirs]
    assert complete(queue, leased) == frozenset()
    assert queue.get(theirs).state is State.DONE


# The start


def test_a_start_does_not_wait_for_an_index_of_a_large_queue(hanging_builds, mongo_uri, mongo_database, q, enqueue):
    enqueue()
    q.drop_index("finished")
    q.drop_index("due")
    with hanging_builds() as until_built:
        started = connect(mongo_uri, mongo_database)
        with pytest.raises(QueueUnavailable):  # workers wait for it
            started.due(["pay"])
        now = started.clock.now()
        new = Transaction(id="1" * 21, type="pay", data={}, created_at=now, due_at=now, max_attempts=1)
        assert started.enqueue([new])[0].transaction.id == new.id
        assert started.get(new.id).state is State.QUEUED
    until_built(lambda: started.due(["pay"]))
    started.close()


@pytest.fixture
def hanging_builds(mongo_client, wait_until, monkeypatch):
    """Within it no index is finished; what it gives waits until something that needs one works."""
    point = {"configureFailPoint": "hangAfterStartingIndexBuild"}
    monkeypatch.setattr(indexes, "SMALL", 0)

    def until(ask):
        def works():
            try:
                return ask()
            except QueueUnavailable:
                return False

        wait_until(works, timeout=30, message="the indexes are built, and used")

    @contextmanager
    def hanging():
        mongo_client.admin.command({**point, "mode": "alwaysOn"})
        try:
            yield until
        finally:
            mongo_client.admin.command({**point, "mode": "off"})

    return hanging


def test_an_index_of_another_version_under_the_same_name_stops_no_start(mongo_uri, mongo_database, queue, q):
    q.drop_index("finished")
    q.create_index([("state", 1), ("finished_at", -1), ("of_the_next_version", 1)], name="finished")
    connect(mongo_uri, mongo_database).close()


def test_an_index_that_had_other_keys_once_is_built_beside_the_old_one(mongo_uri, mongo_database, queue, q):
    q.drop_index("finished")
    q.create_index([("state", 1), ("type", 1)], name="ended", partialFilterExpression={"state": {"$lt": "queued"}})
    connect(mongo_uri, mongo_database).close()
    assert {"ended", "finished"} <= {*q.index_information()}
    assert queue.page(state=State.REJECTED).transactions == []


def test_what_keeps_keys_unique_is_waited_for(mongo_uri, mongo_database, q, enqueue, monkeypatch):
    enqueue()
    q.drop_index("idempotency")
    monkeypatch.setattr(indexes, "SMALL", 0)
    started = connect(mongo_uri, mongo_database)
    assert started.database["Q"].index_information()["idempotency"]["unique"]
    started.close()


def test_a_date_of_the_epoch_stands_for_one_that_is_not_known():
    shown = documents.decode({"_id": "1", "v": 9})
    assert shown.created_at == datetime.fromtimestamp(0, UTC)
