"""Sessions on a real server: conflicts, errors that a handler caught, sessions killed or left open."""

from __future__ import annotations

import contextlib
import time
from threading import Barrier, Event

import pytest
from bson.errors import InvalidDocument
from pymongo.errors import DuplicateKeyError, OperationFailure

from transqueue.errors import QueueUnavailable, TrackLost
from transqueue.queue import Casualty
from transqueue.transaction import State

LIMIT = 5  # seconds that a session of these tests may take


@pytest.fixture(autouse=True)
def bank(database):
    """With the accounts there: making a collection inside a session is another story."""
    database["Bank"].insert_many([{"_id": "ann", "value": 0}, {"_id": "bob", "value": 0}])
    return database["Bank"]


def value(bank, account="ann"):
    return bank.find_one({"_id": account})["value"]


def credit(effects, account="ann"):
    effects.db["Bank"].update_one({"_id": account}, {"$inc": {"value": 5}})


class Stopped:
    """What a worker performs that is stopped after its writes, until it is told to go on."""

    def __init__(self, settlement, act):
        self.runs, self._settlement, self._act = 0, settlement, act
        self.is_open, self.go_on = Event(), Event()

    def __call__(self, effects):
        self.runs += 1
        self._act(effects)
        self.is_open.set()
        assert self.go_on.wait(30)
        return [self._settlement]


@pytest.fixture
def stopped(pool):
    """The function `stopped(queue, settlement, act)`: a session left open after `act`, and what will come of it."""
    made = []

    def stop(queue, settlement, act):
        made.append(Stopped(settlement, act))
        coming = pool.submit(queue.settle_in_session, made[-1], timeout_seconds=LIMIT)
        assert made[-1].is_open.wait(30)
        return made[-1], coming

    yield stop
    for one in made:
        one.go_on.set()


# Conflicts


def test_two_sessions_on_one_document_are_both_committed_one_after_the_other(desk, connected, bank, pool):
    held = [desk.leased(), desk.leased()]
    barrier, runs = Barrier(2, timeout=30), []

    def perform(one, effects):
        runs.append(one.id)
        effects.db["Bank"].find_one({"_id": "bob"})  # so that both snapshots are taken before either writes
        if runs.count(one.id) == 1:
            barrier.wait()
        credit(effects)
        return [desk.complete(one)]

    def settle(one):
        return connected().settle_in_session(lambda effects: perform(one, effects), timeout_seconds=LIMIT)

    assert [*pool.map(settle, held)] == [frozenset(), frozenset()]
    assert len(runs) > 2, "there was a conflict"
    assert value(bank) == 10
    assert [desk.state(one) for one in held] == [State.DONE, State.DONE]


def test_a_conflict_that_does_not_end_before_the_timeout_commits_nothing(desk, connected, bank, stopped):
    blocking, blocked = desk.leased(), desk.leased()
    first, coming = stopped(connected(), desk.complete(blocking), credit)
    conflicts = []

    def perform(effects):
        credit(effects, "bob")
        with pytest.raises(OperationFailure) as raised:
            credit(effects)
        conflicts.append(effects.is_conflict(raised.value))
        raise raised.value

    with pytest.raises(QueueUnavailable):
        desk.queue.settle_in_session(perform, timeout_seconds=0.5)
    assert len(conflicts) > 1
    assert all(conflicts)
    first.go_on.set()
    assert coming.result(30) == frozenset()
    assert (value(bank), value(bank, "bob")) == (5, 0)
    assert (desk.state(blocking), desk.state(blocked)) == (State.DONE, State.RUNNING)


def test_a_session_that_outlasts_its_timeout_leaves_nothing_locked(desk, bank):
    held = desk.leased()

    def outlast(effects):
        credit(effects)
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            time.sleep(0.01)
        return [desk.complete(held)]

    with pytest.raises(QueueUnavailable):
        desk.queue.settle_in_session(outlast, timeout_seconds=0.2)
    began = time.monotonic()
    bank.update_one({"_id": "ann", "value": 0}, {"$set": {"value": 1}})
    assert value(bank) == 1
    assert time.monotonic() - began < 5
    assert desk.get(held) == held


# What a handler sees


def test_an_error_that_perform_caught_breaks_the_session_and_nothing_is_committed(desk, bank):
    held, seen = desk.leased(), []

    def perform(effects):
        credit(effects)
        seen.append((effects.writes, effects.broken))
        with pytest.raises(DuplicateKeyError):
            effects.db["Bank"].insert_one({"_id": "bob"})
        seen.append((effects.writes, effects.broken))
        return [desk.complete(held)]

    with pytest.raises(QueueUnavailable):
        desk.queue.settle_in_session(perform, timeout_seconds=0.4)
    assert set(seen) == {(1, False), (1, True)}, "each run starts anew, and what failed has written nothing"
    assert value(bank) == 0
    assert desk.get(held) == held


@pytest.mark.parametrize(
    "act",
    [
        lambda db: db["Bank"].find_one({"$wrong": 1}),
        lambda db: db["Bank"].update_one({"_id": "ann"}, {"$inc": {"value": "text"}}),
        lambda db: db["Bank"].insert_many([{"_id": "new"}, {"_id": "bob"}]),
        lambda db: db.command("nothing"),
    ],
    ids=["read", "write", "many", "command"],
)
def test_whatever_error_the_server_answers_with_breaks_the_session(desk, act):
    seen = []

    def perform(effects):
        credit(effects)
        with pytest.raises(Exception):  # noqa: B017
            act(effects.db)
        seen.append(effects.broken)
        raise Enough

    with pytest.raises(Enough):
        desk.queue.settle_in_session(perform, timeout_seconds=LIMIT)
    assert seen == [True]


class Enough(Exception):
    pass


def test_a_broken_session_that_perform_gives_up_is_discarded_and_the_next_one_is_whole(desk, bank):
    held = desk.leased()

    def spoil(effects):
        credit(effects)
        with pytest.raises(DuplicateKeyError):
            effects.db["Bank"].insert_one({"_id": "bob"})
        raise Enough

    def perform(effects):
        assert (effects.writes, effects.broken) == (0, False)
        credit(effects)
        return [desk.complete(held)]

    with pytest.raises(Enough):
        desk.queue.settle_in_session(spoil, timeout_seconds=LIMIT)
    assert desk.queue.settle_in_session(perform, timeout_seconds=LIMIT) == frozenset()
    assert value(bank) == 5


def test_writes_are_those_of_the_present_run_whatever_happens_beside_it(desk, bank, fail):
    held, other, seen = desk.leased(), desk.leased(), []

    def perform(effects):
        seen.append(effects.writes)
        credit(effects)
        credit(effects, "bob")
        desk.queue.get(other.id)
        seen.append(effects.writes)
        return [desk.complete(held)]

    fail("commitTransaction", times=1, errorCode=112, errorLabels=["TransientTransactionError"])
    assert desk.queue.settle_in_session(perform, timeout_seconds=LIMIT) == frozenset()
    assert seen == [0, 2, 0, 2]
    assert (value(bank), value(bank, "bob")) == (5, 5)


def test_a_commit_that_does_not_reach_a_majority_in_time_is_looked_up(desk, bank, fail):
    held = desk.leased()
    fail("commitTransaction", writeConcernError={"code": 64, "errmsg": "waiting timed out"})
    assert credit_and_complete(desk, held, timeout_seconds=0.5) == frozenset()
    assert (value(bank), desk.state(held)) == (5, State.DONE)


@pytest.mark.parametrize("code", [100, 11601], ids=["unsatisfiable", "interrupted"])
def test_a_commit_that_was_made_is_never_told_as_not_made(desk, bank, fail, wait_until, code):
    held = desk.leased()
    fail("commitTransaction", writeConcernError={"code": code, "errmsg": "waiting has ended"})
    with contextlib.suppress(TrackLost):  # as long as a majority read does not show it
        assert credit_and_complete(desk, held) == frozenset()
    wait_until(lambda: desk.state(held) is State.DONE, message="it was committed")
    assert value(bank) == 5


def credit_and_complete(desk, held, timeout_seconds=LIMIT):
    def perform(effects):
        credit(effects)
        return [desk.complete(held)]

    return desk.queue.settle_in_session(perform, timeout_seconds=timeout_seconds)


def test_a_commit_of_which_nothing_can_be_found_gives_the_track_up(desk, bank, fail):
    worker = desk.worker()
    held = desk.leased(worker)
    fail("commitTransaction", closeConnection=True)
    with pytest.raises(TrackLost):
        credit_and_complete(desk, held, timeout_seconds=0.5)
    fail.stop()
    assert desk.queue.end(worker, Casualty()).released == (held.id,)
    assert (value(bank), desk.state(held)) == (0, State.QUEUED)


# Sessions of workers that were ended


def test_a_session_killed_on_its_way_is_run_again_and_finds_its_lease_gone(desk, bank, stopped):
    worker = desk.worker()
    held = desk.leased(worker)
    performing, coming = stopped(desk.queue, desk.complete(held), credit)
    desk.queue.end(worker, Casualty())
    performing.go_on.set()
    assert coming.result(30) == {held.id}
    assert performing.runs == 2
    assert (value(bank), desk.state(held)) == (0, State.QUEUED)


def test_a_session_killed_on_its_way_while_the_lease_is_held_is_run_again_whole(desk, bank, stopped, mongo_client):
    held = desk.leased()
    performing, coming = stopped(desk.queue, desk.complete(held), credit)
    mongo_client.admin.command("killSessions", list(desk.queue.sessions))
    performing.go_on.set()
    assert coming.result(30) == frozenset()
    assert performing.runs == 2
    assert (value(bank), desk.state(held)) == (5, State.DONE)


def test_what_a_session_left_open_by_a_dead_worker_holds_is_back_within_a_second(desk, connected, bank, stopped):
    dead = connected()
    worker = desk.worker(of=dead)
    held, other = desk.lease_for(worker, desk.new(), desk.new())

    def write(effects):
        credit(effects)
        effects.db["Q"].update_one({"_id": held.id}, {"$set": {"result": "half"}})

    performing, coming = stopped(dead, desk.complete(held), write)
    began = time.monotonic()
    rescue = desk.queue.end(worker, Casualty(running=held.id))
    bank.update_one({"_id": "ann"}, {"$set": {"value": 1}})
    assert time.monotonic() - began < 5
    assert (rescue.charged, rescue.released) == ((held.id,), (other.id,))
    performing.go_on.set()
    assert coming.result(30) == {held.id}
    assert value(bank) == 1
    back = desk.get(held)
    assert (back.state, back.result, back.crashes) == (State.QUEUED, None, 1)


def test_rescue_kills_the_sessions_of_those_whose_lease_lapsed(desk, connected, bank, stopped, wait_until):
    dead = connected()
    worker = desk.worker(0.4, of=dead)
    held = desk.leased(worker)

    def write(effects):
        credit(effects)
        effects.db["Q"].update_one({"_id": held.id}, {"$set": {"result": "half"}})

    performing, coming = stopped(dead, desk.complete(held), write)
    (rescue,) = wait_until(desk.queue.rescue, timeout=3, message="the lease has lapsed, and what it held is back")
    assert rescue.released == (held.id,)
    performing.go_on.set()
    assert coming.result(30) == {held.id}
    assert value(bank) == 0
    assert desk.get(held).result is None


def test_ending_a_worker_leaves_the_open_session_of_another_alone(desk, connected, bank, stopped):
    working = connected()
    desk.worker(of=working)
    held, ending = desk.leased(), desk.worker()
    performing, coming = stopped(working, desk.complete(held), credit)
    desk.queue.end(ending, Casualty())
    performing.go_on.set()
    assert coming.result(30) == frozenset()
    assert performing.runs == 1
    assert value(bank) == 5


# What PyMongo cannot send


def test_a_first_command_that_cannot_be_sent_spoils_its_session_and_no_worker(desk, bank):
    held, seen = desk.leased(), []

    def perform(effects):
        with pytest.raises(InvalidDocument):
            effects.db["Bank"].insert_one({"value": {1, 2}})
        seen.append(effects.broken)
        with pytest.raises(OperationFailure) as refused:
            effects.db["Bank"].find_one({"_id": "ann"})
        seen.append(effects.is_conflict(refused.value))
        return []

    assert desk.queue.settle_in_session(perform, timeout_seconds=LIMIT) == frozenset()
    assert seen == [True, False]
    desk.queue.settle_in_session(lambda effects: [credit(effects), desk.complete(held)][1:], timeout_seconds=LIMIT)
    assert (value(bank), desk.state(held)) == (5, State.DONE)


def test_a_later_command_that_cannot_be_sent_spoils_nothing(desk, bank):
    held = desk.leased()

    def perform(effects):
        credit(effects)
        with pytest.raises(InvalidDocument):
            effects.db["Bank"].insert_one({"value": {1, 2}})
        assert not effects.broken
        return [desk.complete(held)]

    desk.queue.settle_in_session(perform, timeout_seconds=LIMIT)
    assert (value(bank), desk.state(held)) == (5, State.DONE)
