"""The contract of leases: who gets what, in which order, under which token, and how it is given back."""

from __future__ import annotations

import pytest

from transqueue.queue import Casualty
from transqueue.transaction import KEYED_LANES, State


def make_alone(queue, bench, count=1, **fields):
    """Enqueue transactions that must run alone, oldest first."""
    worker = bench.worker()
    given = [bench.enqueue(**fields) for _ in range(count)]
    bench.lease(worker, limit=count)
    queue.end(worker, Casualty(group=True))
    return given


def ids(transactions):
    return [one.id for one in transactions]


def test_a_leased_transaction_runs_for_its_worker_under_a_token(queue, bench):
    given = bench.enqueue()
    worker = bench.worker()
    (leased,) = bench.lease(worker)
    assert leased.id == given.id
    assert leased.state is State.RUNNING
    assert leased.lease.worker == worker
    assert leased.lease.token
    assert leased.attempts == 0
    assert bench.get(given) == leased


def test_one_lease_has_one_token_and_the_next_another(queue, bench):
    for _ in range(4):
        bench.enqueue()
    worker = bench.worker()
    tokens = [{one.lease.token for one in bench.lease(worker, limit=2)} for _ in range(2)]
    assert [len(one) for one in tokens] == [1, 1]
    assert tokens[0] != tokens[1]


def test_a_transaction_leased_again_has_a_new_token(queue, bench):
    first = bench.leased()
    queue.release([first])
    (second,) = bench.lease(first.lease.worker)
    assert second.id == first.id
    assert second.lease.token != first.lease.token


@pytest.mark.parametrize(("limit", "expected"), [(0, 0), (1, 1), (2, 2), (3, 3), (10, 3)])
def test_a_lease_takes_up_to_its_limit(queue, bench, limit, expected):
    for _ in range(3):
        bench.enqueue()
    assert len(bench.lease(limit=limit)) == expected


def test_nothing_due_is_an_empty_lease(queue, bench):
    assert list(bench.lease()) == []


def test_higher_priority_goes_first_then_the_longer_due_then_the_lower_id(queue, bench):
    due, earlier = bench.at(-10), bench.at(-20)
    low = bench.enqueue(priority=-1, due_at=earlier)
    first, second = bench.enqueue(due_at=due), bench.enqueue(due_at=due)
    longer = bench.enqueue(due_at=earlier)
    high = bench.enqueue(priority=5, due_at=due)
    worker = bench.worker()
    leased = [ids(bench.lease(worker, limit=2)) for _ in range(3)]
    assert leased == [[high.id, longer.id], [first.id, second.id], [low.id]]


def test_a_lease_is_of_one_type(queue, bench):
    given = bench.enqueue(type="pay")
    bench.enqueue(type="deposit")
    bench.enqueue(type="pay.later")
    assert ids(bench.lease(type="pay")) == [given.id]


def test_what_is_due_later_waits(queue, bench, pass_time):
    given = bench.enqueue(due_at=bench.at(1.5))
    worker = bench.worker()
    assert list(bench.lease(worker)) == []
    assert not queue.due(["deposit"])
    pass_time(1.6)
    assert queue.due(["deposit"])
    assert ids(bench.lease(worker)) == [given.id]


def test_what_runs_is_not_leased_again(queue, bench):
    bench.leased()
    assert list(bench.lease()) == []
    assert not queue.due(["deposit"])


@pytest.mark.parametrize("ending", ["complete", "reject", "bury"])
def test_what_has_ended_is_not_leased_again(queue, bench, ending):
    leased = bench.leased()
    queue.settle([getattr(bench, ending)(leased)])
    assert list(bench.lease()) == []
    assert not queue.due(["deposit"])


def test_lanes_narrow_a_lease(queue, bench):
    given = [bench.enqueue(lane=lane) for lane in (0, 1, 2, 15)]
    worker = bench.worker()
    assert list(queue.lease(worker, "deposit", limit=10, lanes=[3, 4])) == []
    assert list(queue.lease(worker, "deposit", limit=10, lanes=[])) == []
    assert set(ids(queue.lease(worker, "deposit", limit=10, lanes=[1, 15]))) == {given[1].id, given[3].id}
    assert set(ids(queue.lease(worker, "deposit", limit=10))) == {given[0].id, given[2].id}


def test_one_that_must_run_alone_comes_alone(queue, bench):
    alone = make_alone(queue, bench, count=2, due_at=bench.at(-20))
    others = [bench.enqueue() for _ in range(3)]
    worker = bench.worker()
    leased = [ids(bench.lease(worker)) for _ in range(3)]
    assert leased[:2] == [[alone[0].id], [alone[1].id]]
    assert set(leased[2]) == set(ids(others))


def test_one_that_must_run_alone_is_in_no_group_of_those_before_it(queue, bench):
    (alone,) = make_alone(queue, bench)
    before = bench.enqueue(priority=1)
    bench.enqueue(priority=-1)
    worker = bench.worker()
    groups = []
    while group := bench.lease(worker):
        groups.append(ids(group))
    assert groups[0][0] == before.id
    assert [alone.id] in groups
    assert sum(map(len, groups)) == 3


def test_due_tells_of_the_types_asked_for_only(queue, bench):
    bench.enqueue(type="pay")
    assert queue.due(["pay"]) == ("pay", False)
    assert queue.due(["deposit", "pay"]) == ("pay", False)
    assert not queue.due(["deposit"])
    assert not queue.due([])


def test_due_tells_of_those_with_and_without_a_key_apart(queue, bench):
    bench.enqueue(ordering_key="ann", lane=KEYED_LANES[0])
    assert queue.due(["deposit"]) == ("deposit", True)
    assert queue.due(["pay"], with_key=["deposit"]) == ("deposit", True)
    assert queue.due([], with_key=["deposit"]) == ("deposit", True)
    assert not queue.due(["deposit"], with_key=[])
    assert not queue.due(["deposit"], with_key=["pay"])
    bench.enqueue(type="pay")
    assert queue.due(["pay"], with_key=[]) == ("pay", False)
    assert not queue.due(["deposit"], with_key=["pay"])


def test_queued_types_are_those_that_begin_with_the_prefix(queue, bench):
    for type in ("invoice.pay", "invoice.send", "invoice.send", "invoices", "deposit"):
        bench.enqueue(type=type)
    assert queue.queued_types("invoice.") == {"invoice.pay", "invoice.send"}
    assert queue.queued_types("invoice") == {"invoice.pay", "invoice.send", "invoices"}
    assert queue.queued_types("voice") == frozenset()


def test_a_type_is_queued_while_one_of_it_waits_for_its_time_and_no_longer_when_all_run_or_ended(queue, bench):
    bench.enqueue(type="a.later", due_at=bench.at(60))
    bench.leased(type="a.running")
    bench.dead(type="a.dead")
    assert queue.queued_types("a.") == {"a.later"}


def test_a_released_transaction_is_queued_at_its_place_unharmed(queue, bench):
    given = [bench.enqueue() for _ in range(3)]
    worker = bench.worker()
    first = bench.lease(worker, limit=1)
    queue.release(first)
    assert bench.get(first[0]) == given[0]
    assert ids(bench.lease(worker, limit=2)) == ids(given[:2])


def test_a_release_gives_back_only_what_is_named(queue, bench):
    bench.enqueue()
    bench.enqueue()
    first, second = bench.lease()
    queue.release([second])
    assert bench.state(first) is State.RUNNING
    assert bench.state(second) is State.QUEUED


def test_releasing_nothing_changes_nothing(queue, bench):
    held = bench.leased()
    queue.release([])
    assert bench.get(held) == held


def test_the_token_of_an_old_lease_releases_nothing(queue, bench):
    old = bench.leased()
    queue.release([old])
    (present,) = bench.lease()
    queue.release([old])
    assert bench.get(old) == present


def test_what_was_settled_is_not_released(queue, bench):
    held = bench.leased()
    queue.settle([bench.complete(held)])
    queue.release([held])
    assert bench.state(held) is State.DONE
