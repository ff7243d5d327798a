"""What is enqueued at the end of a transaction is written in the session that ends it: with it, or not at all."""

from __future__ import annotations

import pytest

from transqueue.queue import Casualty
from transqueue.transaction import OnEnd, Stamp, State

TELL = OnEnd(type="tell", data={}, max_attempts=20, plugin=Stamp("hook", "1"))
LIMIT = 5


def settled(desk, **fields):
    held = desk.leased(on_end=(TELL,), **fields)
    return held, lambda: desk.queue.settle([desk.complete(held)])


def committed(desk):
    held = desk.leased(on_end=(TELL,))

    def perform(effects):
        effects.db["Bank"].update_one({"_id": "ann"}, {"$inc": {"value": 5}}, upsert=True)
        return [desk.complete(held)]

    return held, lambda: desk.queue.settle_in_session(perform, timeout_seconds=LIMIT)


def cancelled(desk):
    given = desk.enqueue(on_end=(TELL,))
    return given, lambda: desk.queue.cancel(given.id)


def buried(desk):
    worker = desk.worker()
    held = desk.leased(worker, on_end=(TELL,), max_attempts=1)
    return held, lambda: desk.queue.end(worker, Casualty(running=held.id, reason="its worker died"))


ENDINGS = [settled, committed, cancelled, buried]


@pytest.fixture
def told(database):
    """How many have been enqueued because something ended."""
    database["Bank"].insert_one({"_id": "ann", "value": 0})  # making a collection in a session is another story
    return lambda: database["Q"].count_documents({"type": "tell"})


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_session_that_is_run_again_enqueues_it_once(desk, fail, told, ending):
    given, end = ending(desk)
    fail("commitTransaction", times=1, errorCode=112, errorLabels=["TransientTransactionError"])
    end()
    assert desk.state(given) in (State.DONE, State.CANCELLED, State.DEAD)
    assert told() == 1
