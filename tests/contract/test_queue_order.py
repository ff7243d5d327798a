"""The contract of order per key: who may be leased, in which order, and what holds a key back."""

from __future__ import annotations

from functools import partial

import pytest
from simulation.queue_on_store import queue_on

from transqueue.mongodb import connect
from transqueue.queue import Casualty
from transqueue.testing import MemoryQueue, SettableClock
from transqueue.transaction import KEYED_LANES, Stamp, State, keyed_lane

TYPES = ("deposit", "refund")


@pytest.fixture
def keyed(bench):
    """Enqueue transactions of ordering keys, one batch, in the order given; those enqueued."""

    def enqueue(*keys, plugin="ledger", **fields):
        new = [
            bench.new(ordering_key=key, lane=keyed_lane(plugin, key), plugin=Stamp(plugin, "1"), **fields)
            for key in keys
        ]
        return [receipt.transaction for receipt in bench.queue.enqueue(new)]

    return enqueue


@pytest.fixture
def lease(bench, wait_until):
    """What a worker, a new one unless told, leases in order, over all lanes."""

    def take(worker=None, *, plugin="ledger", types=TYPES, limit=10):
        worker, found = worker or bench.worker(), []
        for lane in KEYED_LANES:
            found += bench.queue.lease_in_order(worker, plugin, types, limit=limit, lanes=[lane])
        return found

    return take


@pytest.fixture
def in_other_process(queue, request):
    """The queue as another process has it, which is with a connection of its own."""
    opened = []

    def open_again():
        if isinstance(queue, MemoryQueue):
            return queue
        if isinstance(queue.clock, SettableClock):
            return queue_on(queue.database.client.network, queue.clock, name="another")
        opened.append(connect(request.getfixturevalue("mongo_uri"), queue.database.name))
        return opened[-1]

    yield open_again
    for one in opened:
        one.close()


def ids(transactions):
    return [one.id for one in transactions]


def test_transactions_of_one_key_come_in_the_order_accepted(keyed, lease):
    first = keyed("ann", "ann")
    second = keyed("ann")
    assert ids(lease()) == ids(first + second)


def test_a_batch_keeps_its_order_whatever_the_due_times_and_ids(bench, keyed, lease):
    later = keyed("ann", due_at=bench.at(-1))
    earlier = keyed("ann", due_at=bench.at(-100))
    assert ids(lease()) == ids(later + earlier)


def test_what_has_a_key_is_not_leased_by_its_type_alone(bench, keyed, lease):
    (one,) = keyed("ann")
    assert bench.lease() == []
    assert ids(lease()) == [one.id]


def test_a_key_that_runs_stands_still_and_only_it(keyed, lease):
    held = keyed("ann")
    assert ids(lease()) == ids(held)
    keyed("ann")
    others = keyed("bob")
    assert ids(lease()) == ids(others)


def test_the_next_of_a_key_goes_when_the_first_is_done(queue, bench, keyed, lease):
    first, second = keyed("ann", "ann")
    (held,) = lease(limit=1)
    assert held.id == first.id
    assert lease() == []
    queue.settle([bench.complete(held)])
    assert ids(lease()) == [second.id]


def test_a_rejected_one_does_not_hold_its_key_back(queue, bench, keyed, lease):
    _, second = keyed("ann", "ann")
    queue.settle([bench.reject(lease(limit=1)[0])])
    assert ids(lease()) == [second.id]


def test_a_retry_keeps_its_place_and_holds_back_its_key_and_only_its_key(queue, bench, keyed, lease, pass_time):
    first, second = keyed("ann", "ann")
    queue.settle([bench.retry(lease(limit=1)[0], seconds=1)])
    (other,) = keyed("bob")
    assert ids(lease()) == [other.id]
    pass_time(1.2)
    assert ids(lease()) == [first.id, second.id]


def test_a_released_one_keeps_its_place(queue, keyed, lease):
    first, second, third = keyed("ann", "ann", "ann")
    queue.release(lease(limit=2))
    assert ids(lease()) == [first.id, second.id, third.id]


def test_a_rescued_one_runs_alone_and_before_the_later_ones(queue, bench, keyed, lease):
    first, second = keyed("ann", "ann")
    worker = bench.worker()
    assert len(lease(worker)) == 2
    queue.end(worker, Casualty(group=True))
    assert ids(lease()) == [first.id]
    assert lease() == []
    assert bench.state(second) is State.QUEUED


def test_a_crash_holds_its_key_back_until_its_backoff_is_over(queue, bench, keyed, lease):
    keyed("ann", "ann")
    worker = bench.worker()
    held, _ = lease(worker)
    queue.end(worker, Casualty(running=held.id))
    assert lease() == []


def test_a_dead_one_blocks_its_key_until_an_operator_gives_it_up(queue, bench, keyed, lease):
    first, second = keyed("ann", "ann")
    queue.settle([bench.bury(lease(limit=1)[0])])
    assert lease() == []
    assert queue.cancel(first.id)
    assert ids(lease()) == [second.id]


def test_a_dead_one_that_is_redriven_goes_first(queue, bench, keyed, lease):
    first, second = keyed("ann", "ann")
    queue.settle([bench.bury(lease(limit=1)[0])])
    assert queue.redrive(first.id, more_attempts=2)
    assert ids(lease()) == [first.id, second.id]


def test_a_dead_one_that_is_to_be_skipped_lets_its_key_go_on(queue, bench, keyed, lease):
    _, second = keyed("ann", "ann", after_dead="skip")
    queue.settle([bench.bury(lease(limit=1)[0])])
    assert ids(lease()) == [second.id]


def test_one_buried_by_crashes_blocks_or_is_skipped_as_its_handler_chose(queue, bench, keyed, lease):
    for key, after_dead in (("ann", "block"), ("bob", "skip")):
        _, second = keyed(key, key, after_dead=after_dead, max_attempts=1)
        worker = bench.worker()
        held = lease(worker, limit=1)[0]
        queue.end(worker, Casualty(running=held.id))
        assert ids(lease()) == ([] if after_dead == "block" else [second.id])


def test_a_cancelled_one_lets_its_key_go_on(queue, bench, keyed, lease):
    first = keyed("ann", due_at=bench.at(3600))
    second = keyed("ann")
    assert lease() == []
    assert queue.cancel(first[0].id)
    assert ids(lease()) == ids(second)


def test_types_of_one_plugin_share_keys(bench, keyed, lease):
    first, second = keyed("ann", type="deposit")[0], keyed("ann", type="refund")[0]
    assert ids(lease(limit=1)) == [first.id]
    assert lease() == []
    assert bench.state(second) is State.QUEUED


def test_a_type_without_a_handler_here_holds_its_key_back(keyed, lease):
    keyed("ann", type="refund")
    keyed("ann", type="deposit")
    assert lease(types=["deposit"]) == []
    assert len(lease()) == 2


def test_two_plugins_never_share_a_key(keyed, lease):
    (ours,), (theirs,) = keyed("ann"), keyed("ann", plugin="billing")
    assert ids(lease()) == [ours.id]
    assert ids(lease(plugin="billing")) == [theirs.id]


def test_what_a_stale_worker_still_holds_is_not_its_own(queue, bench, keyed, lease):
    first, second = keyed("ann", "ann")
    worker = bench.worker()
    stale = lease(worker)
    queue.end(worker, Casualty())
    fresh = lease()
    assert ids(fresh) == [first.id, second.id]
    assert queue.settle([bench.complete(one) for one in stale]) == {first.id, second.id}
    assert [bench.state(one) for one in fresh] == [State.RUNNING, State.RUNNING]


def test_workers_at_once_keep_the_order_of_every_key(bench, keyed, together, in_other_process):
    accepted = keyed(*(f"account-{number % 7}" for number in range(140)))
    ran: dict[str, list[str]] = {one.ordering_key: [] for one in accepted}
    queues = [(in_other_process(), bench.worker()) for _ in range(3)]

    def drain(queue, worker):
        while sum(map(len, ran.values())) < len(accepted):
            leased = queue.lease_in_order(worker, "ledger", TYPES, limit=3, lanes=KEYED_LANES)
            for one in leased:
                ran[one.ordering_key].append(one.id)
            if leased:
                assert queue.settle([bench.complete(one) for one in leased]) == frozenset()

    together(*(partial(drain, *one) for one in queues))
    for key, done in ran.items():
        assert done == [one.id for one in accepted if one.ordering_key == key]
