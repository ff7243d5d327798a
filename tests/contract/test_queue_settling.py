"""The contract of settling: what each outcome writes, and that only the holder of the lease writes it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from transqueue.queue import Casualty
from transqueue.transaction import HISTORY_KEPT, State


def last_entry(transaction):
    """The last history entry, without what only the queue reads, and without when it was leased."""
    return {name: value for name, value in transaction.history[-1].items() if name not in ("lease", "leased_at")}


def test_a_completion_writes_done_with_the_result(queue, bench):
    held = bench.leased()
    before = bench.at(-1)
    assert queue.settle([bench.complete(held, {"balance": 5.5, "names": ["ann"]})]) == frozenset()
    done = bench.get(held)
    assert done.state is State.DONE
    assert done.result == {"balance": 5.5, "names": ["ann"]}
    assert done.error is None
    assert done.attempts == 1
    assert done.lease is None
    assert done.ended_by == held.lease.token
    assert before <= done.finished_at <= bench.at(1)
    assert last_entry(done) == {
        "at": done.finished_at,
        "state": "done",
        "attempt": 1,
        "worker": held.lease.worker,
    }


def test_a_completion_forgets_the_error_and_the_waiting_before_it(queue, bench):
    held = bench.leased()
    queue.settle([bench.retry(held, deferred_since=bench.at(-60))])
    (again,) = bench.lease()
    queue.settle([bench.complete(again)])
    done = bench.get(held)
    assert done.error is None
    assert done.deferred_since is None
    assert not done.alone
    assert done.attempts == 2
    assert [one["attempt"] for one in done.history] == [1, 2]


def test_what_a_caller_does_to_a_result_later_never_reaches_the_queue(queue, bench):
    held = bench.leased()
    result = {"names": ["ann"]}
    queue.settle([bench.complete(held, result)])
    result["names"].append("bob")
    bench.get(held).result["names"].append("eve")
    assert bench.get(held).result == {"names": ["ann"]}


@pytest.mark.parametrize("result", [None, 0, "", [], {}, False, 2.5, [1, {"a": None}]])
def test_a_result_may_be_any_json_value(queue, bench, result):
    held = bench.leased()
    queue.settle([bench.complete(held, result)])
    assert bench.state(held) is State.DONE
    assert bench.get(held).result == result


def test_a_rejection_is_final_and_says_why(queue, bench):
    held = bench.leased()
    assert queue.settle([bench.reject(held)]) == frozenset()
    rejected = bench.get(held)
    assert rejected.state is State.REJECTED
    assert rejected.error == {"type": "Reject", "message": "insufficient funds"}
    assert rejected.finished_at is not None
    assert rejected.attempts == 1
    assert rejected.lease is None
    assert rejected.ended_by == held.lease.token
    assert last_entry(rejected) == {
        "at": rejected.finished_at,
        "state": "rejected",
        "attempt": 1,
        "worker": held.lease.worker,
        "error": {"type": "Reject", "message": "insufficient funds"},
    }


def test_a_retry_is_queued_until_it_is_due(queue, bench):
    held = bench.leased()
    settlement = bench.retry(held, 60)
    assert queue.settle([settlement]) == frozenset()
    waiting = bench.get(held)
    assert waiting.state is State.QUEUED
    assert waiting.due_at == settlement.outcome.due_at
    assert waiting.attempts == 1
    assert waiting.error == {"type": "ValueError", "message": "not yet"}
    assert waiting.lease is None
    assert waiting.ended_by is None
    assert waiting.finished_at is None
    assert not waiting.alone
    entry = last_entry(waiting)
    assert (entry["state"], entry["attempt"], entry["worker"]) == ("queued", 1, held.lease.worker)
    assert entry["error"] == {"type": "ValueError", "message": "not yet"}
    assert list(bench.lease()) == []


def test_a_retry_that_is_not_charged_costs_no_attempt(queue, bench):
    held = bench.leased()
    since = bench.at(-60)
    queue.settle([bench.retry(held, charged=False, deferred_since=since)])
    waiting = bench.get(held)
    assert waiting.attempts == 0
    assert waiting.deferred_since == since
    (again,) = bench.lease()
    assert again.deferred_since == since
    assert again.attempt == 1


def test_a_burial_is_dead_with_the_whole_error(queue, bench):
    held = bench.leased()
    assert queue.settle([bench.bury(held)]) == frozenset()
    dead = bench.get(held)
    assert dead.state is State.DEAD
    assert dead.error == {"type": "ValueError", "message": "never", "traceback": "line 1"}
    assert dead.finished_at is not None
    assert dead.attempts == 1
    assert dead.lease is None
    assert dead.ended_by == held.lease.token
    assert last_entry(dead)["state"] == "dead"
    assert last_entry(dead)["error"] == {"type": "ValueError", "message": "never"}


def test_a_burial_that_is_not_charged_costs_no_attempt(queue, bench):
    held = bench.leased()
    queue.settle([bench.bury(held, charged=False)])
    assert bench.get(held).attempts == 0
    assert bench.state(held) is State.DEAD


@pytest.mark.parametrize("ending", ["complete", "retry", "bury"])
def test_one_that_ran_alone_and_was_settled_need_not_run_alone_again(queue, bench, ending):
    worker = bench.worker()
    held = bench.leased(worker)
    queue.end(worker, Casualty(group=True))
    (alone,) = bench.lease()
    assert alone.alone
    queue.settle([getattr(bench, ending)(alone)])
    assert not bench.get(held).alone


def test_the_history_keeps_the_last_entries(queue, bench):
    given = bench.enqueue(max_attempts=100)
    worker = bench.worker()
    for _ in range(HISTORY_KEPT + 2):
        queue.settle([bench.retry(one) for one in bench.lease(worker)])
    history = bench.get(given).history
    assert [one["attempt"] for one in history] == list(range(3, HISTORY_KEPT + 3))


def test_different_outcomes_are_settled_together(queue, bench):
    for _ in range(5):
        bench.enqueue()
    one, two, three, four, five = bench.lease()
    settlements = [
        bench.complete(one, 1),
        bench.complete(two, 2),
        bench.reject(three),
        bench.retry(four, 60),
        bench.bury(five),
    ]
    assert queue.settle(settlements) == frozenset()
    assert [bench.state(held) for held in (one, two, three, four, five)] == [
        State.DONE,
        State.DONE,
        State.REJECTED,
        State.QUEUED,
        State.DEAD,
    ]
    assert [bench.get(held).result for held in (one, two)] == [1, 2]


def test_settling_nothing_loses_nothing(queue):
    assert queue.settle([]) == frozenset()


@pytest.mark.parametrize("ending", ["complete", "reject", "retry", "bury"])
def test_the_token_of_an_old_lease_settles_nothing(queue, bench, ending):
    old = bench.leased()
    queue.release([old])
    (present,) = bench.lease()
    assert queue.settle([getattr(bench, ending)(old)]) == {old.id}
    assert bench.get(old) == present


@pytest.mark.parametrize("ending", ["complete", "reject", "retry", "bury"])
def test_what_was_given_back_is_lost(queue, bench, ending):
    held = bench.leased()
    queue.release([held])
    before = bench.get(held)
    assert queue.settle([getattr(bench, ending)(held)]) == {held.id}
    assert bench.get(held) == before


@pytest.mark.parametrize("ending", ["complete", "reject", "bury"])
def test_what_another_lease_ended_is_lost(queue, bench, ending):
    old = bench.leased()
    queue.release([old])
    (present,) = bench.lease()
    queue.settle([getattr(bench, ending)(present)])
    ended = bench.get(old)
    assert queue.settle([getattr(bench, ending)(old)]) == {old.id}
    assert bench.get(old) == ended


def test_what_the_death_of_its_worker_buried_is_lost(queue, bench):
    worker = bench.worker()
    held = bench.leased(worker, max_attempts=1)
    queue.end(worker, Casualty(running=held.id))
    dead = bench.get(held)
    assert queue.settle([bench.complete(held)]) == {held.id}
    assert bench.get(held) == dead


def test_a_lost_one_does_not_keep_the_others_from_being_settled(queue, bench):
    for _ in range(3):
        bench.enqueue()
    one, two, three = bench.lease()
    queue.release([two])
    settlements = [bench.complete(one, 1), bench.complete(two, 2), bench.reject(three)]
    assert queue.settle(settlements) == {two.id}
    assert [bench.state(held) for held in (one, two, three)] == [State.DONE, State.QUEUED, State.REJECTED]


@pytest.mark.parametrize("ending", ["complete", "reject", "bury"])
def test_a_settlement_repeated_after_it_ended_the_transaction_is_not_lost_and_changes_nothing(queue, bench, ending):
    held = bench.leased()
    settlement = getattr(bench, ending)(held)
    assert queue.settle([settlement]) == frozenset()
    ended = bench.get(held)
    assert queue.settle([settlement]) == frozenset()
    assert bench.get(held) == ended


def test_a_repeated_retry_changes_nothing_whether_it_is_called_lost_or_not(queue, bench):
    held = bench.leased()
    settlement = bench.retry(held)
    queue.settle([settlement])
    waiting = bench.get(held)
    queue.settle([settlement])
    assert bench.get(held) == waiting
    (running,) = bench.lease()
    queue.settle([settlement])
    assert bench.get(held) == running


def test_follow_ups_are_enqueued_with_the_completion(queue, bench):
    held = bench.leased()
    follow_ups = (bench.new(type="mail"), bench.new(type="audit"))
    assert queue.settle([bench.complete(held, follow_ups=follow_ups)]) == frozenset()
    assert bench.state(held) is State.DONE
    assert [queue.get(one.id) for one in follow_ups] == list(follow_ups)


def test_a_lost_completion_enqueues_no_follow_ups(queue, bench):
    bench.enqueue()
    bench.enqueue()
    lost, held = bench.lease()
    queue.release([lost])
    never, written = bench.new(type="mail"), bench.new(type="mail")
    settlements = [bench.complete(lost, follow_ups=(never,)), bench.complete(held, follow_ups=(written,))]
    assert queue.settle(settlements) == {lost.id}
    assert queue.get(never.id) is None
    assert queue.get(written.id) == written
    assert bench.state(lost) is State.QUEUED
    assert bench.state(held) is State.DONE


def test_a_repeated_completion_is_not_lost_and_enqueues_its_follow_ups_once(queue, bench):
    held = bench.leased()
    settlement = bench.complete(held, follow_ups=(bench.new(type="mail"),))
    assert queue.settle([settlement]) == frozenset()
    assert queue.settle([settlement]) == frozenset()
    assert queue.counts() == {"deposit": {State.DONE: 1}, "mail": {State.QUEUED: 1}}


def test_a_retry_keeps_the_transaction_otherwise_as_it_was(queue, bench):
    held = bench.leased(priority=2, lane=3, submitter="shop", due_at=bench.at(-1) - timedelta(seconds=5))
    queue.settle([bench.retry(held)])
    waiting = bench.get(held)
    for name in ("id", "type", "data", "created_at", "max_attempts", "priority", "lane", "submitter", "crashes"):
        assert getattr(waiting, name) == getattr(held, name)
