"""What every verb asks of the server, and what becomes of a write whose reply is lost: it counts once."""

from __future__ import annotations

import time
from datetime import timedelta

import pymongo
import pytest

from transqueue.access import Scope
from transqueue.admin.part import Part, Reload
from transqueue.admin.report import WorkerReport
from transqueue.admin.retention import Retention
from transqueue.errors import QueueUnavailable
from transqueue.mongodb.connection import CALL_SECONDS
from transqueue.queue import Casualty, TransactionQueue, WorkerRecord
from transqueue.transaction import KEYED_LANES, Idempotency, Stamp, State

MAJORITY = {"w": "majority", "j": True}
SESSION_SECONDS = 4
WRITES = {"insert", "update", "delete", "findAndModify", "bulkWrite", "createIndexes"}
READS = {"find", "aggregate", "distinct", "count"}
OTHERS = {"hello", "replSetGetConfig", "killSessions", "commitTransaction", "abortTransaction"}
TELLING = {"buildInfo", "listCollections", "listIndexes", "replSetGetStatus", "collStats"}  # of the server itself

SEEN_AT_LEAST = OTHERS | {"insert", "update", "createIndexes", "find", "aggregate", "distinct"}


@pytest.fixture
def heard(connect_heard, mongo_database):
    """A queue on this test's database, and the commands that it sends."""
    queue, sent = connect_heard(mongo_database)
    yield queue, sent
    queue.close()


@pytest.fixture
def heard_desk(heard, new_desk):
    return new_desk(heard[0])


class Verbs:
    """Each verb of the queue, used so that it has something to do."""

    def __init__(self, desk):
        self.desk, self.queue = desk, desk.queue

    def enqueue(self):
        keyed = self.desk.new(idempotency=Idempotency("k", "h"))
        self.queue.enqueue([keyed])
        self.queue.enqueue([self.desk.new(), self.desk.new(idempotency=Idempotency("k", "h"))])

    def get(self):
        assert self.queue.get("0" * 21) is None

    def page(self):
        self.desk.enqueue()
        assert self.queue.page(state=State.QUEUED, limit=1).transactions

    def ended(self):
        assert self.queue.ended([self.dead().id])

    def counts(self):
        self.desk.enqueue()
        assert self.queue.counts()

    def cancel(self):
        assert self.queue.cancel(self.desk.enqueue().id)

    def redrive(self):
        assert self.queue.redrive(self.dead().id, more_attempts=1)

    def begin(self):
        self.desk.worker()

    def renew(self):
        assert self.queue.renew([self.desk.worker()], lease_seconds=60)

    def end(self):
        worker = self.desk.worker()
        held = [self.desk.leased(worker) for _ in range(2)]
        assert self.queue.end(worker, Casualty(running=held[0].id)).charged

    def rescue(self):
        self.desk.leased("nobody")
        assert self.queue.rescue()

    def lease(self):
        assert self.desk.leased()

    def lease_in_order(self):
        keyed = self.desk.new(ordering_key="ann", lane=KEYED_LANES[0], plugin=Stamp("ledger", "1"))
        self.queue.enqueue([keyed])
        assert self.queue.lease_in_order("nobody", "ledger", ["deposit"], limit=1)

    def workers(self):
        self.desk.worker()
        assert self.queue.workers()

    def due(self):
        self.desk.enqueue()
        assert self.queue.due(["deposit"])

    def seconds_to_next(self):
        self.queue.enqueue([self.desk.new(due_at=self.queue.clock.now() + timedelta(minutes=1))])
        assert self.queue.seconds_to_next(["deposit"]) is not None

    def queued_types(self):
        self.desk.enqueue()
        assert self.queue.queued_types("dep")

    def settle(self):
        desk = self.desk
        one, two, three, gone = desk.lease(*(desk.new() for _ in range(4)))
        self.queue.release([gone])
        assert not self.queue.settle([desk.complete(one)])
        assert self.queue.settle([desk.retry(two), desk.complete(gone)]) == {gone.id}
        assert not self.queue.settle([desk.complete(three, follow_ups=(desk.new(type="mail"),))])

    def settle_in_session(self):
        held = self.desk.leased()
        follow_up = self.desk.new(type="mail")

        def perform(effects):
            bank = effects.db["Bank"]
            bank.update_one({"_id": "ann"}, {"$inc": {"value": 5}}, upsert=True)
            bank.insert_many([{"_id": "bob"}, {"_id": "eve"}])
            bank.find_one_and_update({"_id": "bob"}, {"$set": {"value": 1}})
            bank.delete_one({"_id": "eve"})
            assert list(bank.aggregate([{"$match": {"_id": "ann"}}]))
            return [self.desk.complete(held, follow_ups=(follow_up,))]

        assert not self.queue.settle_in_session(perform, timeout_seconds=SESSION_SECONDS)
        assert self.queue.settle_in_session(lambda _: [self.desk.complete(held)], timeout_seconds=SESSION_SECONDS)

    def release(self):
        self.queue.release([self.desk.leased()])

    def catalog(self):
        self.queue.catalog.remember({"ledger": ["deposit"]})
        assert self.queue.catalog.known_types() == {"ledger": ["deposit"]}

    def circumstances(self):
        assert self.queue.circumstances(self.desk.enqueue().id)

    def report(self):
        self.queue.report({self.desk.worker(): WorkerReport()})

    def pause(self):
        assert self.queue.pause("deposit", by="ann")
        assert self.queue.paused()
        assert self.queue.resume("deposit")

    resume = paused = pause

    # What hangs on the queue

    def enqueue_each(self):
        assert self.queue.enqueue_each([self.queue.seal(self.desk.new())])

    def api_keys(self):
        keys = self.queue.api_keys
        made = keys.create("ann", [Scope.SUBMIT]).key
        assert keys.all()
        keys.used(made.id)
        assert keys.expire(made.id, made.created_at)
        assert keys.revoke(made.id)
        assert keys.delete(made.id)

    def audit(self):
        self.queue.audit.record("ann", "cancel", "1")
        assert self.queue.audit.page().entries

    def measures(self):
        measures, now = self.queue.measures, self.queue.clock.now()
        self.desk.enqueue()
        measures.flush()
        measures.refresh_depths()
        assert measures.totals()
        assert measures.depths()
        assert measures.series(None, now - timedelta(minutes=2), now + timedelta(minutes=2), 60)
        assert measures.by_type(now - timedelta(minutes=2), now + timedelta(minutes=2), 60)

    def parts(self):
        part = Part(id="p", role="api", host="here", pid=1, version="0.1.0")
        self.queue.parts.begin(part)
        request, asked = self.queue.parts.ask(None)
        assert asked
        assert self.queue.parts.beat("p") == request
        self.queue.parts.tell("p", Reload(well=True, message="well", request=request))
        assert self.queue.parts.answers(request)
        assert self.queue.parts.here()
        self.queue.parts.end("p")

    def failures(self):
        held, now = self.dead(), self.queue.clock.now() + timedelta(minutes=1)
        (group,) = self.queue.failures.groups(recent=timedelta(hours=1))
        assert self.queue.failures.count(group.cause, until=now) == 1
        assert self.queue.failures.redrive(group.cause, until=now, more_attempts=1, per_second=None) == 1
        assert self.queue.get(held.id).state is State.QUEUED

    def sweep(self):
        self.dead()
        assert self.queue.sweep.step(Retention(days={State.DEAD: 1.0}, key_days=30.0), "me")

    def condition(self):
        assert self.queue.condition()

    def dead(self):
        held = self.desk.leased()
        self.queue.settle([self.desk.bury(held)])
        return held


VERBS = sorted({name for name in vars(Verbs) if not name.startswith("_")} - {"dead"})


def test_each_verb_of_a_queue_is_tried():
    assert set(VERBS) >= TransactionQueue.__abstractmethods__


def test_every_write_is_journaled_on_a_majority_every_read_sees_one_and_every_call_has_a_deadline(
    heard, heard_desk, database
):
    _, sent = heard
    wrong = {problem for name, command in sent.commands for problem in problems(name, command)}
    for verb in VERBS:
        commands = sent.during(getattr(Verbs(heard_desk), verb))
        assert commands
        wrong |= {f"{verb}: {problem}" for name, command in commands for problem in problems(name, command)}
        database["Q"].delete_many({})
    assert wrong == set()
    assert {name for name, _ in sent.commands} >= SEEN_AT_LEAST


def problems(name, command):
    """What is wrong with a command, in words."""
    limit = command.get("maxTimeMS", 0)
    if not 0 < limit <= CALL_SECONDS * 1000:
        yield f"{name} has a limit of {limit} ms"
    yield from in_session(name, command) if "autocommit" in command else outside(name, command)
    if name not in WRITES | READS | OTHERS | TELLING:
        yield f"{name} is not looked at"


def in_session(name, command):
    if name == "commitTransaction" and command.get("writeConcern") != MAJORITY:
        yield f"{name} writes with {command.get('writeConcern')}"
    if name not in {"commitTransaction", "abortTransaction"} and "writeConcern" in command:
        yield f"{name} has a write concern of its own"
    level = command.get("readConcern", {}).get("level")
    if level != ("snapshot" if command.get("startTransaction") else None):
        yield f"{name} in a session reads with {level}"


def outside(name, command):
    if name in WRITES and command.get("writeConcern") != MAJORITY:
        yield f"{name} writes with {command.get('writeConcern')}"
    if name in READS and command.get("readConcern", {}).get("level") != "majority":
        yield f"{name} reads with {command.get('readConcern')}"


# Replies that are lost


@pytest.mark.parametrize(
    ("ending", "times"), [("complete", 1), ("complete", 2), ("reject", 1), ("retry", 1), ("bury", 1)]
)
def test_a_settlement_whose_reply_is_lost_counts_once_and_is_not_called_lost(desk, far, wire, ending, times):
    held = desk.leased()
    wire.lose_replies("update", "Q", times=times)
    assert far.settle([getattr(desk, ending)(held)]) == frozenset()
    assert wire.lost == times
    settled = desk.get(held)
    assert settled.lease is None
    assert (settled.attempts, len(settled.history)) == (1, 1)


def test_different_settlements_whose_reply_is_lost_count_once_and_only_the_lost_one_is_named(desk, far, wire):
    one, two, three, gone = desk.lease(*(desk.new() for _ in range(4)))
    desk.queue.release([gone])
    wire.lose_replies("update", "Q")
    lost = far.settle([desk.complete(one), desk.reject(two), desk.retry(three), desk.complete(gone)])
    assert wire.lost == 1
    assert lost == {gone.id}
    assert [desk.get(held).attempts for held in (one, two, three, gone)] == [1, 1, 1, 0]
    assert [len(desk.get(held).history) for held in (one, two, three, gone)] == [1, 1, 1, 0]


def test_a_settlement_is_known_to_be_written_even_if_reading_it_back_loses_its_reply_too(desk, far, wire):
    held = desk.leased()
    desk.queue.settle([desk.complete(held)])
    wire.lose_replies("find", "Q")
    assert far.settle([desk.complete(held)]) == frozenset()
    assert wire.lost == 1
    assert desk.get(held).attempts == 1


@pytest.mark.parametrize("times", [1, 2])
def test_a_commit_whose_reply_is_lost_leaves_its_effects_once(desk, far, wire, database, times):
    held, performed = desk.leased(), []

    def perform(effects):
        performed.append(1)
        effects.db["Bank"].update_one({"_id": "ann"}, {"$inc": {"value": 5}}, upsert=True)
        return [desk.complete(held)]

    wire.lose_replies("commitTransaction", times=times)
    assert far.settle_in_session(perform, timeout_seconds=SESSION_SECONDS) == frozenset()
    assert wire.lost == times
    assert len(performed) == 1
    assert database["Bank"].find_one({"_id": "ann"})["value"] == 5
    assert (desk.state(held), desk.get(held).attempts) == (State.DONE, 1)


@pytest.mark.parametrize("collection", ["Bank", "Q"])
def test_a_write_in_a_session_whose_reply_is_lost_is_made_again_in_a_new_one(desk, far, wire, database, collection):
    database["Bank"].insert_one({"_id": "ann", "value": 0})
    held, performed = desk.leased(), []

    def perform(effects):
        performed.append(1)
        effects.db["Bank"].update_one({"_id": "ann"}, {"$inc": {"value": 5}})
        return [desk.complete(held)]

    wire.lose_replies("update", collection)
    assert far.settle_in_session(perform, timeout_seconds=SESSION_SECONDS) == frozenset()
    assert wire.lost == 1
    assert len(performed) == 2
    assert database["Bank"].find_one({"_id": "ann"})["value"] == 5
    assert (desk.state(held), desk.get(held).attempts) == (State.DONE, 1)


def test_a_completion_with_follow_ups_whose_commit_loses_its_reply_enqueues_them_once(desk, far, wire):
    held, follow_up = desk.leased(), desk.new(type="mail")
    wire.lose_replies("commitTransaction")
    assert far.settle([desk.complete(held, follow_ups=(follow_up,))]) == frozenset()
    assert wire.lost == 1
    assert desk.state(held) is State.DONE
    assert desk.queue.counts() == {"deposit": {State.DONE: 1}, "mail": {State.QUEUED: 1}}


@pytest.mark.parametrize(("key", "times"), [(None, 1), (Idempotency("k", "h"), 2)], ids=["no key", "key"])
def test_an_acceptance_whose_reply_is_lost_is_stored_once_and_is_no_replay(desk, far, wire, key, times):
    given = desk.new(idempotency=key)
    wire.lose_replies("insert", "Q", times=times)
    (receipt,) = far.enqueue([given])
    assert wire.lost == times
    assert (receipt.transaction, receipt.replayed) == (given, False)
    assert desk.queue.counts() == {"deposit": {State.QUEUED: 1}}


def test_an_acceptance_that_is_never_answered_is_unknown_and_sending_it_again_finds_it(desk, far, wire):
    first = desk.new(idempotency=Idempotency("k", "h"))
    wire.lose_replies("insert", "Q", times=1000)
    began = time.monotonic()
    with pytest.raises(QueueUnavailable), pymongo.timeout(0.7):
        far.enqueue([first])
    assert time.monotonic() - began < 5
    wire.lose_replies("insert", "Q", times=0)
    (receipt,) = far.enqueue([desk.new(idempotency=Idempotency("k", "h"))])
    assert receipt.replayed
    assert receipt.transaction == first
    assert desk.queue.counts() == {"deposit": {State.QUEUED: 1}}


def test_a_renewal_whose_reply_is_lost_can_be_made_again(desk, far, wire):
    worker = desk.worker()
    wire.lose_replies("update", "Workers")
    with pytest.raises(QueueUnavailable):
        far.renew([worker], lease_seconds=60)
    assert wire.lost == 1
    assert far.renew([worker], lease_seconds=60) == {worker}


def test_a_beginning_whose_reply_is_lost_begins_once(desk, far, wire, database):
    wire.lose_replies("update", "Workers")
    far.begin(WorkerRecord(id="far", host="there", pid=1, slot=0), lease_seconds=600)
    assert wire.lost == 1
    assert database["Workers"].count_documents({}) == 1
    assert desk.queue.renew(["far"], lease_seconds=600) == {"far"}


def test_a_release_whose_reply_is_lost_releases(desk, far, wire):
    held = desk.leased()
    wire.lose_replies("update", "Q")
    far.release([held])
    assert wire.lost == 1
    assert desk.state(held) is State.QUEUED


def test_a_cancellation_whose_reply_is_lost_is_told_as_done(desk, far, wire):
    given = desk.enqueue()
    wire.lose_replies("findAndModify", "Q")
    assert far.cancel(given.id)
    assert wire.lost == 1
    assert len(desk.get(given).history) == 1
