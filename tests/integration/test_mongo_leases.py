"""Leases on a real server: a worker in doubt gives up everything, and one that lost its lease changes nothing."""

from __future__ import annotations

import pytest

from transqueue.errors import QueueUnavailable, TrackLost
from transqueue.mongodb import connection
from transqueue.queue import Casualty
from transqueue.transaction import State

LIMIT = 5  # seconds that a session of these tests may take
AWAY = 8000  # an error code that nothing repeats by itself


@pytest.fixture
def impatient(monkeypatch):
    """What a worker repeats, it repeats for half a second only."""
    monkeypatch.setattr(connection, "PATIENCE_SECONDS", 0.5)


# In doubt


@pytest.mark.parametrize(
    ("command", "how"),
    [
        ("update", {"closeConnection": True, "times": 2}),
        ("update", {"errorCode": AWAY}),
        ("update", {"errorCode": 10107}),
        ("update", {"writeConcernError": {"code": 64, "errmsg": "waiting timed out"}}),
    ],
    ids=["closed twice", "error", "not primary", "no majority"],
)
def test_a_lease_that_may_have_been_taken_loses_track_and_everything_is_put_back(desk, fail, command, how):
    worker, given = desk.worker(), [desk.enqueue() for _ in range(3)]
    fail(command, **how)
    with pytest.raises(TrackLost):
        desk.queue.lease(worker, "deposit", limit=3)
    fail.stop()
    assert_put_back(desk, worker, given)


def test_a_lease_that_cannot_be_read_back_loses_track_and_everything_is_put_back(desk, fail):
    worker, given = desk.worker(), [desk.enqueue() for _ in range(3)]
    fail("find", skip=1, errorCode=AWAY)  # the first one looks for candidates
    with pytest.raises(TrackLost):
        desk.queue.lease(worker, "deposit", limit=3)
    fail.stop()
    assert [desk.get(one).lease.worker for one in given] == [worker] * 3, "they were taken"
    assert_put_back(desk, worker, given)


def test_a_lease_whose_reply_is_lost_loses_track_and_everything_is_put_back(desk, far, wire):
    worker, given = desk.worker(), [desk.enqueue() for _ in range(3)]
    wire.lose_replies("update", "Q")
    with pytest.raises(TrackLost):
        far.lease(worker, "deposit", limit=3)
    assert wire.lost == 1
    assert [desk.get(one).lease.worker for one in given] == [worker] * 3, "they were taken"
    assert_put_back(desk, worker, given)


def test_looking_for_candidates_in_vain_loses_nothing(desk, fail):
    worker, given = desk.worker(), desk.enqueue()
    fail("find", errorCode=AWAY)
    with pytest.raises(QueueUnavailable):
        desk.queue.lease(worker, "deposit", limit=3)
    with pytest.raises(QueueUnavailable):
        desk.queue.due(["deposit"])
    fail.stop()
    assert [one.id for one in desk.queue.lease(worker, "deposit", limit=3)] == [given.id]


def assert_put_back(desk, worker, given):
    desk.queue.end(worker, Casualty())
    for one in given:
        back = desk.get(one)
        assert (back.state, back.lease, back.attempts, back.crashes) == (State.QUEUED, None, 0, 0)
    assert [one.id for one in desk.queue.lease(desk.worker(), "deposit", limit=3)] == [one.id for one in given]


@pytest.mark.parametrize("verb", ["complete", "retry", "release"])
def test_what_cannot_be_written_for_long_loses_track(desk, fail, impatient, verb):
    worker = desk.worker()
    held = desk.leased(worker)
    fail("update", errorCode=AWAY)
    with pytest.raises(TrackLost):
        give_up(desk.queue, verb, desk, held)
    fail.stop()
    assert_put_back(desk, worker, [held])


def test_a_settlement_is_repeated_until_the_database_is_back(desk, fail):
    held = desk.leased()
    fail("update", "find", errorCode=AWAY, times=3)
    assert desk.queue.settle([desk.complete(held, {"balance": 5})]) == frozenset()
    assert desk.get(held).result == {"balance": 5}
    assert desk.get(held).attempts == 1


# Too late


def give_up(queue, verb, desk, held):
    """Let go of a transaction with one of the verbs that need the lease."""

    def perform(effects):
        effects.db["Bank"].update_one({"_id": "ann"}, {"$inc": {"value": 5}})
        return [desk.complete(held)]

    if verb == "release":
        return queue.release([held])
    if verb == "session":
        return queue.settle_in_session(perform, timeout_seconds=LIMIT)
    return queue.settle([getattr(desk, verb)(held)])


@pytest.fixture
def bank(database):
    database["Bank"].insert_one({"_id": "ann", "value": 0})
    return database["Bank"]


@pytest.mark.parametrize("verb", ["complete", "retry", "release"])
def test_what_was_on_its_way_while_another_took_over_changes_nothing(desk, connected, fail, pool, verb):
    worker, successor = desk.worker(), desk.worker()
    held = desk.leased(worker)
    fail("update", blockConnection=True, blockTimeMS=400, times=1)
    coming = pool.submit(give_up, connected(), verb, desk, held)
    fail.wait()
    desk.queue.end(worker, Casualty())
    (taken,) = desk.queue.lease(successor, "deposit", limit=1)
    assert not coming.done()
    assert coming.result(30) == (None if verb == "release" else {held.id})
    assert desk.get(held) == taken


def test_a_commit_that_was_on_its_way_while_another_took_over_changes_nothing(desk, connected, fail, bank, pool):
    zombie, successor = connected(), desk.worker()
    worker = desk.worker(of=zombie)
    held = desk.leased(worker)
    fail("commitTransaction", blockConnection=True, blockTimeMS=5000, times=1)
    coming = pool.submit(give_up, zombie, "session", desk, held)
    fail.wait()
    desk.queue.end(worker, Casualty())
    (taken,) = desk.queue.lease(successor, "deposit", limit=1)
    with pytest.raises(QueueUnavailable):  # the server interrupts it, so nothing was committed
        coming.result(30)
    assert desk.get(held) == taken
    assert bank.find_one({"_id": "ann"})["value"] == 0


@pytest.mark.parametrize("successor", ["put back", "leased", "done", "released"])
def test_a_session_that_saw_its_lease_held_before_another_took_over_writes_nothing(
    desk, connected, bank, pool, successor
):
    zombie = connected()
    worker = desk.worker()  # which names no session to kill: the fence is on its own
    held, after = desk.leased(worker), []

    def take_over():
        desk.queue.end(worker, Casualty())
        leased = [] if successor == "put back" else desk.queue.lease(desk.worker(), "deposit", limit=1)
        if successor == "done":
            desk.queue.settle([desk.complete(leased[0], "the successor's")])
        if successor == "released":
            desk.queue.release(leased)
        after.append(desk.get(held))

    def perform(effects):
        assert effects.db["Q"].find_one({"_id": held.id, "lease.token": held.lease.token}) or after
        effects.db["Bank"].update_one({"_id": "ann"}, {"$inc": {"value": 5}})
        if not after:
            pool.submit(take_over).result(30)
        return [desk.complete(held, "the zombie's")]

    assert zombie.settle_in_session(perform, timeout_seconds=LIMIT) == {held.id}
    assert [desk.get(held)] == after
    assert bank.find_one({"_id": "ann"})["value"] == 0


def test_the_same_worker_leasing_again_does_not_revive_its_old_lease(desk, bank):
    worker = desk.worker()
    old = desk.leased(worker)
    desk.queue.release([old])
    (present,) = desk.queue.lease(worker, "deposit", limit=1)
    for verb in ("complete", "reject", "retry", "bury", "session"):
        assert give_up(desk.queue, verb, desk, old) == {old.id}
    give_up(desk.queue, "release", desk, old)
    assert desk.get(old) == present
    assert bank.find_one({"_id": "ann"})["value"] == 0
