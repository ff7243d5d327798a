"""The contract of looking and of the operator: found, listed, counted, cancelled, redriven."""

from __future__ import annotations

from datetime import timedelta

import pytest

from transqueue.queue import Casualty
from transqueue.transaction import State


def walk(queue, limit, **filters):
    """The ids on every page, and how many pages there were."""
    ids, pages, after = [], 0, None
    while True:
        page = queue.page(after=after, limit=limit, **filters)
        assert len(page.transactions) <= limit
        ids += [one.id for one in page.transactions]
        pages += 1
        if page.next is None:
            return ids, pages
        after = page.next


def test_the_clock_tells_aware_utc_times_whenever_it_is_asked(queue, pass_time):
    for _ in range(2):
        now = queue.clock.now()
        assert now.utcoffset() == timedelta(0)
        assert now.microsecond % 1000 == 0
        pass_time(1.2)  # longer than a heartbeat takes to come


def test_an_unknown_id_is_no_transaction(queue):
    assert queue.get("0" * 21) is None


def test_pages_are_newest_first_and_leave_none_out(queue, bench):
    given = [bench.enqueue().id for _ in range(7)]
    assert walk(queue, 3) == (given[::-1], 3)


def test_the_last_page_has_no_cursor_even_when_it_is_full(queue, bench):
    given = [bench.enqueue().id for _ in range(6)]
    assert walk(queue, 3) == (given[::-1], 2)


def test_an_empty_queue_has_an_empty_page(queue):
    page = queue.page()
    assert list(page.transactions) == []
    assert page.next is None


def test_what_arrives_meanwhile_is_not_on_the_pages_that_follow(queue, bench):
    given = [bench.enqueue().id for _ in range(4)]
    first = queue.page(limit=2)
    bench.enqueue()
    second = queue.page(limit=2, after=first.next)
    assert [one.id for one in (*first.transactions, *second.transactions)] == given[::-1]


def test_pages_keep_to_their_filters(queue, bench):
    ann = bench.enqueue(submitter="ann")
    paid = bench.enqueue(submitter="ann", type="pay")
    dead = bench.dead(submitter="bob", type="refund")
    assert walk(queue, 1, submitter="ann")[0] == [paid.id, ann.id]
    assert walk(queue, 1, type="pay")[0] == [paid.id]
    assert walk(queue, 1, state=State.DEAD)[0] == [dead.id]
    assert walk(queue, 1, state=State.QUEUED, type="deposit", submitter="ann")[0] == [ann.id]
    assert walk(queue, 1, state=State.DONE)[0] == []


def test_ended_tells_only_those_that_ended(queue, bench):
    waiting, held = bench.enqueue(type="wait"), bench.leased(type="hold")
    done, rejected = bench.leased(type="a"), bench.leased(type="b")
    queue.settle([bench.complete(done)])
    queue.settle([bench.reject(rejected)])
    dead, cancelled = bench.dead(type="c"), bench.enqueue(type="d")
    queue.cancel(cancelled.id)
    ended = {one.id for one in (done, rejected, dead, cancelled)}
    assert queue.ended([*ended, waiting.id, held.id, "0" * 21]) == ended
    assert queue.ended([]) == frozenset()


def test_counts_are_by_type_and_state(queue, bench):
    assert queue.counts() == {}
    bench.enqueue()
    bench.enqueue()
    bench.leased(type="pay")
    bench.dead(type="refund")
    assert queue.counts() == {
        "deposit": {State.QUEUED: 2},
        "pay": {State.RUNNING: 1},
        "refund": {State.DEAD: 1},
    }


def test_a_cancelled_transaction_never_runs(queue, bench):
    given = bench.enqueue()
    assert queue.cancel(given.id)
    cancelled = bench.get(given)
    assert cancelled.state is State.CANCELLED
    assert cancelled.finished_at is not None
    assert cancelled.attempts == 0
    assert cancelled.history[-1]["state"] == "cancelled"
    assert list(bench.lease()) == []
    assert not queue.due(["deposit"])


def test_a_dead_transaction_can_be_given_up_and_still_tells_when_and_why_it_died(queue, bench, pass_time):
    dead = bench.dead()
    pass_time(0.05)
    assert queue.cancel(dead.id)
    cancelled = bench.get(dead)
    assert cancelled.state is State.CANCELLED
    assert cancelled.finished_at == dead.finished_at
    assert cancelled.error == dead.error
    assert [one["state"] for one in cancelled.history] == ["dead", "cancelled"]


def test_what_runs_or_has_ended_otherwise_cannot_be_cancelled(queue, bench):
    held = bench.leased(type="hold")
    done = bench.leased(type="done")
    rejected = bench.leased(type="reject")
    queue.settle([bench.complete(done)])
    queue.settle([bench.reject(rejected)])
    for one in (held, done, rejected):
        before = bench.get(one)
        assert not queue.cancel(one.id)
        assert bench.get(one) == before
    assert not queue.cancel("0" * 21)


def test_cancelling_twice_succeeds_once(queue, bench):
    given = bench.enqueue()
    assert queue.cancel(given.id)
    assert not queue.cancel(given.id)
    assert len(bench.get(given).history) == 1


def test_a_redriven_transaction_is_queued_with_more_attempts(queue, bench):
    dead = bench.dead(attempts=2, max_attempts=3)
    assert queue.redrive(dead.id, more_attempts=2)
    redriven = bench.get(dead)
    assert redriven.state is State.QUEUED
    assert (redriven.attempts, redriven.max_attempts) == (3, 5)
    assert redriven.finished_at is None
    assert redriven.ended_by is None
    assert redriven.error == dead.error
    assert [one["state"] for one in redriven.history] == ["dead", "queued"]
    assert bench.lease_when_due(dead).id == dead.id


def test_a_redriven_transaction_has_its_crashes_forgiven(queue, bench):
    worker = bench.worker()
    given = bench.leased(worker, crashes=2, attempts=2)
    queue.end(worker, Casualty(running=given.id))
    assert bench.get(given).crashes == 3
    assert queue.redrive(given.id, more_attempts=3)
    assert bench.get(given).crashes == 0


def test_a_redriven_transaction_may_ask_for_later_as_long_as_a_new_one(queue, bench):
    given = bench.leased()
    queue.settle([bench.bury(given, deferred_since=bench.at(-1000))])
    assert queue.redrive(given.id, more_attempts=1)
    assert bench.get(given).deferred_since is None


@pytest.mark.parametrize("ending", ["complete", "reject"])
def test_only_a_dead_transaction_is_redriven(queue, bench, ending):
    ended = bench.leased(type="ended")
    queue.settle([getattr(bench, ending)(ended)])
    for one in (ended, bench.enqueue(type="waiting"), bench.leased(type="held")):
        before = bench.get(one)
        assert not queue.redrive(one.id, more_attempts=3)
        assert bench.get(one) == before
    assert not queue.redrive("0" * 21, more_attempts=3)
