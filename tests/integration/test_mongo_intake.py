"""Acceptance on a real server: once per key, in order, and never answered before it is durable."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pymongo
import pytest
from pymongo import WriteConcern

from transqueue.api.groups import Groups
from transqueue.errors import QueueUnavailable, Unstorable
from transqueue.mongodb.documents import encode
from transqueue.mongodb.intake import Intake
from transqueue.transaction import Idempotency, State

KEY = Idempotency("k", "h")
WRITE_CONCERN_FAILED = 64


@pytest.fixture
def no_majority(mongo_client):
    """The function `no_majority(on)`: whether what is written from now on never reaches what a majority has."""

    def switch(on):
        mongo_client.admin.command("configureFailPoint", "disableSnapshotting", mode="alwaysOn" if on else "off")

    yield switch
    switch(False)


def keyed(desk, **fields):
    return desk.new(idempotency=KEY, **fields)


def test_a_replay_is_not_answered_while_the_first_copy_is_not_on_a_majority(desk, database, no_majority):
    first, second = keyed(desk), keyed(desk)
    no_majority(True)
    database["Q"].with_options(write_concern=WriteConcern(1)).insert_one(encode(first))
    with pytest.raises(QueueUnavailable), pymongo.timeout(0.7):
        desk.queue.enqueue([second])
    no_majority(False)
    (receipt,) = desk.queue.enqueue([second])
    assert receipt.replayed
    assert receipt.transaction == first


def test_a_duplicate_key_alone_is_no_replay_when_the_first_copy_cannot_be_read(desk, fail):
    first = keyed(desk)
    desk.queue.enqueue([first])
    fail("find", errorCode=8000)
    with pytest.raises(QueueUnavailable):
        desk.queue.enqueue([keyed(desk)])
    fail.stop()
    assert desk.queue.enqueue([keyed(desk)])[0].transaction == first


class Hasty(Intake):
    """Told of a duplicate key before the first copy is durable: a time-out of the write concern hides behind it."""

    def _insert(self, sealed):
        return dict.fromkeys(range(len(sealed)), "")


def test_the_first_copy_is_looked_for_again_until_a_majority_has_it(desk, database, no_majority, monkeypatch):
    first, slept = keyed(desk), []

    def sleep(seconds):
        slept.append(seconds)
        no_majority(len(slept) < 3)
        time.sleep(seconds)

    no_majority(True)
    database["Q"].with_options(write_concern=WriteConcern(1)).insert_one(encode(first))
    monkeypatch.setattr(desk.queue._connection, "sleep", sleep)
    (receipt,) = Hasty(desk.queue._connection).enqueue([keyed(desk)])
    assert len(slept) >= 3
    assert receipt.replayed
    assert receipt.transaction == first


@pytest.mark.parametrize("key", [None, KEY], ids=["no key", "key"])
def test_an_acceptance_that_did_not_reach_a_majority_is_not_answered(desk, fail, wait_until, key):
    given = desk.new(idempotency=key)
    trouble = {"code": WRITE_CONCERN_FAILED, "codeName": "WriteConcernFailed", "errmsg": "waiting timed out"}
    fail("insert", writeConcernError=trouble)
    with pytest.raises(QueueUnavailable, match="waiting timed out"):
        desk.queue.enqueue([given, desk.new()])
    wait_until(lambda: desk.queue.get(given.id), message="it is stored all the same")


def test_sending_again_what_did_not_reach_a_majority_finds_the_first(desk, fail):
    first = keyed(desk)
    fail("insert", writeConcernError={"code": WRITE_CONCERN_FAILED, "errmsg": "waiting timed out"}, times=1)
    with pytest.raises(QueueUnavailable):
        desk.queue.enqueue([first])
    (receipt,) = desk.queue.enqueue([keyed(desk)])
    assert receipt.replayed
    assert receipt.transaction == first
    assert desk.queue.counts() == {"deposit": {State.QUEUED: 1}}


def test_a_connection_that_closes_twice_is_survived(desk, fail):
    given = keyed(desk)
    fail("insert", closeConnection=True, times=2)
    (receipt,) = desk.queue.enqueue([given])
    assert not receipt.replayed
    assert desk.get(given) == given


def test_a_connection_that_keeps_closing_is_an_unknown_outcome_within_the_deadline(desk, fail):
    fail("insert", closeConnection=True)
    began = time.monotonic()
    with pytest.raises(QueueUnavailable), pymongo.timeout(0.7):
        desk.queue.enqueue([keyed(desk)])
    assert time.monotonic() - began < 5
    fail.stop()
    receipts = [desk.queue.enqueue([keyed(desk)])[0] for _ in range(2)]
    assert [receipt.replayed for receipt in receipts] == [False, True]
    assert desk.queue.counts() == {"deposit": {State.QUEUED: 1}}


def test_a_server_that_does_not_answer_is_waited_for_no_longer_than_the_deadline(desk, fail):
    fail("insert", blockConnection=True, blockTimeMS=1000, times=1)
    began = time.monotonic()
    with pytest.raises(QueueUnavailable), pymongo.timeout(0.3):
        desk.queue.enqueue([keyed(desk)])
    assert time.monotonic() - began < 4


def test_any_other_error_of_one_keeps_the_batch_from_being_answered(desk, database):
    database.command("collMod", "Q", validator={"type": {"$ne": "wrong"}})
    given = [desk.new(), desk.new(type="wrong"), keyed(desk)]
    with pytest.raises(QueueUnavailable):
        desk.queue.enqueue(given)


def test_of_24_that_enqueue_one_key_at_once_through_processes_of_their_own_one_is_accepted(desk, connected):
    queues = [connected() for _ in range(4)]
    given = [keyed(desk) for _ in range(24)]
    barrier = Barrier(24, timeout=30)

    def enqueue(number):
        barrier.wait()
        return queues[number % 4].enqueue([given[number]])[0]

    with ThreadPoolExecutor(24) as pool:
        receipts = list(pool.map(enqueue, range(24)))
    assert sum(not receipt.replayed for receipt in receipts) == 1
    assert len({receipt.transaction.id for receipt in receipts}) == 1
    assert desk.queue.counts() == {"deposit": {State.QUEUED: 1}}


def test_the_order_of_acceptance_is_the_order_of_the_batch_and_of_batches(desk, database):
    batches = [[desk.new() for _ in range(300)] for _ in range(3)]
    batches[1][17:17] = [keyed(desk)]
    batches[2][17:17] = [keyed(desk)]  # known by then; the others keep their order
    receipts = [receipt for batch in batches for receipt in desk.queue.enqueue(batch)]
    new = [receipt.transaction.id for receipt in receipts if not receipt.replayed]
    rows = list(database["Q"].find({}, {"accepted": 1}).sort("accepted", 1))
    assert [row["_id"] for row in rows] == new
    assert len({row["accepted"] for row in rows}) == len(new) == 901


def test_the_order_of_acceptance_is_the_servers_not_that_of_the_ids(desk, database):
    later, sooner = desk.new(), desk.new()
    desk.queue.enqueue([sooner])
    desk.queue.enqueue([later])
    assert later.id < sooner.id
    assert [row["_id"] for row in database["Q"].find().sort("accepted", 1)] == [sooner.id, later.id]


# Gathered together


def seals(desk, *transactions):
    return [desk.queue.seal(one) for one in transactions]


def test_what_comes_together_from_many_threads_is_stored_by_few_writes_and_each_gets_its_own(desk):
    writes, barrier = [], Barrier(16, timeout=30)
    given = [desk.new() for _ in range(320)]

    def write(group):
        writes.append(len(group))
        return desk.queue.enqueue_each(group)

    def store(number):
        barrier.wait()
        return [groups.store(desk.queue.seal(one)) for one in given[number::16]]

    groups = Groups(write)
    with ThreadPoolExecutor(16) as pool:
        answers = [receipt for receipts in pool.map(store, range(16)) for receipt in receipts]
    assert {receipt.transaction.id for receipt in answers} == {one.id for one in given}
    assert desk.queue.counts() == {"deposit": {State.QUEUED: 320}}
    assert sum(writes) == 320
    assert len(writes) < 160


def test_one_after_the_other_keeps_its_order_however_many_come_between(desk, database):
    groups = Groups(desk.queue.enqueue_each)

    def store(_):
        return [groups.store(desk.queue.seal(desk.new())).transaction.id for _ in range(40)]

    with ThreadPoolExecutor(8) as pool:
        lines = list(pool.map(store, range(8)))
    rows = [row["_id"] for row in database["Q"].find({}, {"accepted": 1}).sort("accepted", 1)]
    places = {id: place for place, id in enumerate(rows)}
    assert all([places[id] for id in line] == sorted(places[id] for id in line) for line in lines)


def test_one_known_key_among_many_is_answered_with_its_first_and_the_others_are_stored(desk):
    first, given = keyed(desk), [desk.new(), keyed(desk), desk.new()]
    desk.queue.enqueue([first])
    answers = desk.queue.enqueue_each(seals(desk, *given))
    assert [answer.replayed for answer in answers] == [False, True, False]
    assert [answer.transaction for answer in answers] == [given[0], first, given[2]]


def test_one_that_the_database_refuses_fails_alone(desk, database):
    database.command("collMod", "Q", validator={"type": {"$ne": "wrong"}})
    given = [desk.new(), desk.new(type="wrong"), keyed(desk)]
    answers = desk.queue.enqueue_each(seals(desk, *given))
    assert [isinstance(answer, QueueUnavailable) for answer in answers] == [False, True, False]
    assert desk.queue.counts() == {"deposit": {State.QUEUED: 2}}


def test_a_first_copy_that_cannot_be_read_is_unknown_to_its_own_replay_alone(desk, fail):
    desk.queue.enqueue([keyed(desk)])
    fail("find", errorCode=8000)
    answers = desk.queue.enqueue_each(seals(desk, desk.new(), keyed(desk)))
    assert [isinstance(answer, QueueUnavailable) for answer in answers] == [False, True]


def test_a_group_that_no_majority_has_is_unknown_to_all_of_it(desk, fail):
    fail("insert", writeConcernError={"code": WRITE_CONCERN_FAILED, "errmsg": "waiting timed out"}, times=1)
    answers = desk.queue.enqueue_each(seals(desk, desk.new(), keyed(desk)))
    assert [str(answer) for answer in answers] == ["could not enqueue: waiting timed out"] * 2


def test_a_group_whose_reply_is_lost_is_stored_once_and_answered(desk, far, wire):
    given = [desk.new(), keyed(desk), desk.new()]
    wire.lose_replies("insert", "Q")
    answers = far.enqueue_each(seals(desk, *given))
    assert wire.lost == 1
    assert [answer.transaction for answer in answers] == given
    assert [answer.replayed for answer in answers] == [False] * 3
    assert desk.queue.counts() == {"deposit": {State.QUEUED: 3}}


@pytest.mark.parametrize(
    "data",
    [{"n": 2**70}, {"a\0b": 1}, {"text": "\ud800"}, {"text": "x" * 17 * 2**20}],
    ids=["int", "key", "surrogate", "size"],
)
def test_what_cannot_be_stored_is_known_before_it_meets_others(desk, data):
    with pytest.raises(Unstorable):
        desk.queue.seal(desk.new(data=data))
