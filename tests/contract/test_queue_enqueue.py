"""The contract of the door's write: stored durably as given, in order, and once per submitter and key."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from transqueue.errors import QueueUnavailable
from transqueue.transaction import Idempotency, Stamp, State


def test_an_accepted_transaction_is_stored_as_it_was_given(queue, bench):
    given = bench.new(
        priority=3,
        lane=7,
        ordering_key="ann",
        submitter="shop",
        idempotency=Idempotency("k", "h"),
        plugin=Stamp("ledger", "1.0", "a1b2c3d4"),
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        due_at=bench.at(60),
    )
    (receipt,) = queue.enqueue([given])
    assert receipt.transaction == given
    assert not receipt.replayed
    assert not receipt.key_reused
    assert queue.get(given.id) == given


def test_receipts_come_in_the_order_of_what_was_given(queue, bench):
    given = [bench.new(priority=priority) for priority in (1, 3, 2)]
    receipts = queue.enqueue(given)
    assert [receipt.transaction.id for receipt in receipts] == [one.id for one in given]


def test_enqueueing_nothing_gives_no_receipts(queue):
    assert queue.enqueue([]) == []


@pytest.mark.parametrize(
    "value",
    [
        {"value": 150.0, "count": 3, "far": 2**63 - 1, "near": -(2**63)},
        {"nested": [{"deep": [None, True, False, "text", "ünïcode", ""]}], "empty": {}, "none": []},
        {"exact": Decimal("0.12345678901234567890123"), "large": Decimal("999999999999999.000000000000000001")},
        {"short": Decimal("150.5")},
    ],
)
def test_data_comes_back_with_the_values_that_were_sent(queue, bench, value):
    given = bench.enqueue(data=value)
    assert bench.get(given).data == value


def test_what_a_caller_does_to_its_data_later_never_reaches_the_queue(queue, bench):
    data = {"names": ["ann"]}
    given = bench.enqueue(data=data)
    data["names"].append("bob")
    assert bench.get(given).data == {"names": ["ann"]}


def test_what_a_reader_does_to_data_never_reaches_the_queue(queue, bench):
    given = bench.enqueue(data={"names": ["ann"]})
    bench.get(given).data["names"].append("bob")
    bench.lease()[0].data["names"].append("eve")
    assert bench.get(given).data == {"names": ["ann"]}


def test_the_same_key_and_body_again_is_a_replay_of_the_first(queue, bench):
    first = bench.enqueue(idempotency=Idempotency("k", "h"))
    second = bench.new(idempotency=Idempotency("k", "h"))
    (receipt,) = queue.enqueue([second])
    assert receipt.replayed
    assert not receipt.key_reused
    assert receipt.transaction == first
    assert queue.get(second.id) is None


def test_a_replay_tells_the_transaction_as_it_is_now(queue, bench):
    leased = bench.leased(idempotency=Idempotency("k", "h"))
    queue.settle([bench.complete(leased, {"balance": 5})])
    (receipt,) = queue.enqueue([bench.new(idempotency=Idempotency("k", "h"))])
    assert receipt.replayed
    assert receipt.transaction.state is State.DONE
    assert receipt.transaction.result == {"balance": 5}


def test_the_very_same_transaction_enqueued_again_under_its_key_is_a_replay(queue, bench):
    given = bench.new(idempotency=Idempotency("k", "h"))
    queue.enqueue([given])
    (receipt,) = queue.enqueue([given])
    assert receipt.replayed
    assert queue.counts() == {"deposit": {State.QUEUED: 1}}


def test_a_known_key_with_another_body_is_reused_and_nothing_is_stored(queue, bench):
    first = bench.enqueue(idempotency=Idempotency("k", "h"))
    second = bench.new(idempotency=Idempotency("k", "other"))
    (receipt,) = queue.enqueue([second])
    assert receipt.key_reused
    assert not receipt.replayed
    assert receipt.transaction.id == first.id
    assert queue.get(second.id) is None


def test_keys_of_different_submitters_are_different_keys(queue, bench):
    first = {one: bench.enqueue(submitter=one, idempotency=Idempotency("k", "h")) for one in ("shop", "bank", "")}
    assert queue.counts() == {"deposit": {State.QUEUED: 3}}
    for submitter, given in first.items():
        (receipt,) = queue.enqueue([bench.new(submitter=submitter, idempotency=Idempotency("k", "h"))])
        assert receipt.replayed
        assert receipt.transaction == given
    assert queue.counts() == {"deposit": {State.QUEUED: 3}}


def test_transactions_without_a_key_are_never_replays(queue, bench):
    receipts = queue.enqueue([bench.new(), bench.new()])
    assert not any(receipt.replayed for receipt in receipts)
    assert queue.counts() == {"deposit": {State.QUEUED: 2}}


def test_one_batch_accepts_a_key_once(queue, bench):
    given = [bench.new(idempotency=Idempotency("k", body)) for body in ("h", "h", "other")]
    receipts = queue.enqueue(given)
    assert [(one.replayed, one.key_reused) for one in receipts] == [(False, False), (True, False), (False, True)]
    assert {one.transaction.id for one in receipts} == {given[0].id}


def test_a_known_key_in_a_batch_leaves_the_others_accepted(queue, bench):
    first = bench.enqueue(idempotency=Idempotency("k", "h"))
    given = [bench.new(), bench.new(idempotency=Idempotency("k", "h")), bench.new(idempotency=Idempotency("l", "h"))]
    receipts = queue.enqueue(given)
    assert [one.replayed for one in receipts] == [False, True, False]
    assert [one.transaction.id for one in receipts] == [given[0].id, first.id, given[2].id]
    assert all(queue.get(given[index].id) for index in (0, 2))


def test_an_id_is_never_stored_twice(queue, bench):
    first = bench.enqueue(data={"value": 1})
    with pytest.raises((RuntimeError, QueueUnavailable)):
        queue.enqueue([replace(first, data={"value": 2})])
    assert bench.get(first).data == {"value": 1}
