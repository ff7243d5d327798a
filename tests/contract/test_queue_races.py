"""The contract under contention: whatever meets at the same moment, exactly one wins."""

from __future__ import annotations

import sys
import time

import pytest

from transqueue.queue import Casualty
from transqueue.transaction import Idempotency, State

ROUNDS = 10
# Seconds that each of two rivals is kept reading first. At both ends one is sure to win; in between they truly meet.
HEAD_STARTS = [
    *((0, seconds) for seconds in (0.25, 0.004, 0.002, 0.001, 0.0005, 0.0001)),
    *((seconds, 0) for seconds in (0, 0.0001, 0.0005, 0.001, 0.002, 0.004, 0.25)),
]


@pytest.fixture(autouse=True)
def threads_that_switch_often():
    """Else one thread does all of a verb in memory, and more, before another gets its turn."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


def after(queue, seconds, action):
    """What does `action` after reading for so long, so that its rival gets a head start."""

    def run():
        start = time.monotonic() + seconds
        while time.monotonic() < start:
            queue.get("0" * 21)
        return action()

    return run


def test_of_many_that_enqueue_one_key_at_once_one_is_accepted(queue, bench, together):
    for number in range(ROUNDS):
        given = [bench.new(idempotency=Idempotency(f"k{number}", "h")) for _ in range(8)]
        receipts = together(*(lambda one=one: queue.enqueue([one])[0] for one in given))
        assert sum(not receipt.replayed for receipt in receipts) == 1
        assert len({receipt.transaction.id for receipt in receipts}) == 1
        assert sum(queue.get(one.id) is not None for one in given) == 1


def test_of_two_bodies_under_one_key_at_once_one_is_refused(queue, bench, together):
    for number in range(ROUNDS):
        given = [bench.new(idempotency=Idempotency(f"k{number}", body)) for body in ("one", "two")]
        receipts = together(*(lambda one=one: queue.enqueue([one])[0] for one in given))
        assert sorted(receipt.key_reused for receipt in receipts) == [False, True]
        assert sum(queue.get(one.id) is not None for one in given) == 1


def test_workers_that_lease_at_once_never_get_one_transaction_twice(queue, bench, together):
    given = [one.transaction.id for one in queue.enqueue([bench.new() for _ in range(120)])]
    workers = [bench.worker() for _ in range(4)]

    def drain(worker):
        leased = []
        while queue.due(["deposit"]):
            leased += queue.lease(worker, "deposit", limit=7)
        return leased

    leased = [one for group in together(*(lambda worker=worker: drain(worker) for worker in workers)) for one in group]
    assert sorted(one.id for one in leased) == given
    assert all(queue.get(one.id).lease == one.lease for one in leased)


@pytest.mark.parametrize("spent", [{}, {"max_attempts": 1}], ids=["requeued", "buried"])
def test_a_settlement_and_the_end_of_its_worker_at_once_have_one_winner(queue, bench, together, spent):
    winners = set()
    for settling, ending in HEAD_STARTS:
        worker = bench.worker()
        held = bench.leased(worker, **spent)
        lost, _ = together(
            after(queue, settling, lambda held=held: queue.settle([bench.complete(held)])),
            after(queue, ending, lambda worker=worker, held=held: queue.end(worker, Casualty(running=held.id))),
        )
        present = bench.get(held)
        assert (present.state is State.DONE) == (lost == frozenset())
        assert present.crashes == len(lost)
        assert present.attempts == len(present.history) == 1
        winners.add(present.state is State.DONE)
        queue.cancel(held.id)
    assert winners == {True, False}


def test_a_settlement_and_a_rescue_at_once_have_one_winner(queue, bench, together):
    workers = [bench.worker(bench.SHORT_LEASE) for _ in HEAD_STARTS]
    held = [bench.leased(worker, type=worker) for worker in workers]
    bench.lapse()
    # One rescue puts all back, worker by worker, so it meets the settlements one after the other.
    lost, _ = together(
        lambda: {one for transaction in held for one in queue.settle([bench.complete(transaction)])},
        queue.rescue,
    )
    for transaction in held:
        present = bench.get(transaction)
        assert present.state is (State.QUEUED if transaction.id in lost else State.DONE)
        assert present.alone == (transaction.id in lost)
        assert present.attempts == (0 if transaction.id in lost else 1)


def test_a_session_and_the_end_of_its_worker_at_once_have_one_winner(queue, bench, together):
    bank = queue.database["Bank"]
    bank.insert_one({"_id": "ann", "value": 0})
    committed = 0
    for settling, ending in HEAD_STARTS:
        worker = bench.worker()
        held = bench.leased(worker)

        def perform(effects, held=held):
            effects.db["Bank"].update_one({"_id": "ann"}, {"$inc": {"value": 1}})
            return [bench.complete(held)]

        lost, _ = together(
            after(queue, settling, lambda perform=perform: queue.settle_in_session(perform, timeout_seconds=10)),
            after(queue, ending, lambda worker=worker: queue.end(worker, Casualty())),
        )
        committed += not lost
        assert (bench.state(held) is State.DONE) == (lost == frozenset())
        assert bank.find_one({"_id": "ann"})["value"] == committed
        queue.cancel(held.id)
    assert 0 < committed < len(HEAD_STARTS)


def test_a_cancel_and_a_lease_at_once_have_one_winner(queue, bench, together):
    winners = set()
    for cancelling, leasing in HEAD_STARTS:
        given, worker = bench.enqueue(), bench.worker()
        cancelled, leased = together(
            after(queue, cancelling, lambda given=given: queue.cancel(given.id)),
            after(queue, leasing, lambda worker=worker: queue.lease(worker, "deposit", limit=1)),
        )
        assert cancelled == (not leased)
        assert bench.state(given) is (State.CANCELLED if cancelled else State.RUNNING)
        winners.add(cancelled)
    assert winners == {True, False}


def test_a_worker_ended_by_two_at_once_is_charged_once(queue, bench, together):
    for _ in range(ROUNDS):
        worker = bench.worker()
        held = bench.leased(worker)
        together(*[lambda worker=worker, held=held: queue.end(worker, Casualty(running=held.id))] * 2)
        present = bench.get(held)
        assert (present.attempts, present.crashes, len(present.history)) == (1, 1, 1)
        queue.cancel(held.id)


def test_a_dead_transaction_redriven_by_two_at_once_is_redriven_once(queue, bench, together):
    for number in range(ROUNDS):
        dead = bench.dead(type=f"type-{number}")
        answers = together(*[lambda dead=dead: queue.redrive(dead.id, more_attempts=1)] * 2)
        assert sorted(answers) == [False, True]
        assert len(bench.get(dead).history) == 2
