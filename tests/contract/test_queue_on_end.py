"""The contract of `on_end`: enqueued in the session that ends a transaction, whoever ends it, and never otherwise."""

from __future__ import annotations

import pytest

from transqueue.queue import Casualty
from transqueue.transaction import OnEnd, Stamp, State, free_lane, keyed_lane

TELL = OnEnd(type="tell", data={"url": "https://shop.example", "n": 1.5}, max_attempts=20, plugin=Stamp("hook", "2.0"))


def told(queue, type="tell"):
    """What was enqueued because something ended, oldest first."""
    return sorted(queue.page(type=type, limit=200).transactions, key=lambda one: one.id)


def states_told(queue):
    return [one.origin["state"] for one in told(queue)]


def test_it_is_stored_with_the_transaction_and_comes_back(queue, bench):
    keyed = OnEnd(type="tell", data=[1], max_attempts=3, ordering_key="ann", after_dead="skip")
    given = bench.enqueue(on_end=(TELL, keyed))
    assert bench.get(given).on_end == (TELL, keyed)
    assert told(queue) == []


@pytest.mark.parametrize(("ending", "state"), [("complete", "done"), ("reject", "rejected"), ("bury", "dead")])
def test_each_end_of_an_attempt_enqueues_it(queue, bench, ending, state):
    held = bench.leased(on_end=(TELL,), submitter="shop")
    assert queue.settle([getattr(bench, ending)(held)]) == frozenset()
    ended = bench.get(held)
    (new,) = told(queue)
    assert (new.state, new.data, new.max_attempts, new.plugin) == (State.QUEUED, TELL.data, 20, Stamp("hook", "2.0"))
    assert (new.submitter, new.lane, new.priority) == ("shop", free_lane(new.id), 0)
    assert new.origin == {
        "transaction_id": held.id,
        "type": "deposit",
        "state": state,
        "submitter": "shop",
        "attempts": 1,
        "created_at": held.created_at,
        "finished_at": ended.finished_at,
        "result": None,
        "error": ended.error and {"type": ended.error["type"], "message": ended.error["message"]},
    }
    (leased,) = bench.lease(type="tell")
    assert leased.origin == new.origin


def test_its_result_is_told(queue, bench):
    queue.settle([bench.complete(bench.leased(on_end=(TELL,)), {"balance": 5.5})])
    assert told(queue)[0].origin["result"] == {"balance": 5.5}


def test_one_with_an_ordering_key_goes_to_the_lane_of_its_key(queue, bench):
    keyed = OnEnd(
        type="tell", data={}, max_attempts=3, ordering_key="ann", after_dead="skip", plugin=Stamp("hook", "1")
    )
    queue.settle([bench.complete(bench.leased(on_end=(keyed,)))])
    (new,) = queue.lease_in_order(bench.worker(), "hook", ["tell"], limit=5)
    assert (new.ordering_key, new.after_dead, new.lane) == ("ann", "skip", keyed_lane("hook", "ann"))


def test_a_retry_and_a_release_enqueue_nothing(queue, bench):
    held = bench.leased(on_end=(TELL,))
    queue.settle([bench.retry(held)])
    queue.release(bench.lease())
    assert told(queue) == []


def test_all_of_several_are_enqueued_together_with_follow_ups_in_one_settlement(queue, bench):
    for number in range(3):
        bench.enqueue(on_end=(TELL, TELL) if number else ())
    one, two, three = bench.lease()
    follow_up = bench.new(type="mail")
    settlements = [bench.complete(one, follow_ups=(follow_up,)), bench.complete(two), bench.reject(three)]
    assert queue.settle(settlements) == frozenset()
    assert queue.get(follow_up.id) is not None
    assert [new.origin["transaction_id"] for new in told(queue)] == [two.id, two.id, three.id, three.id]


def test_a_lost_settlement_enqueues_nothing_and_a_repeated_one_nothing_more(queue, bench):
    bench.enqueue(on_end=(TELL,))
    bench.enqueue(on_end=(TELL,))
    lost, held = bench.lease()
    queue.release([lost])
    settlements = [bench.complete(lost), bench.complete(held)]
    assert queue.settle(settlements) == {lost.id}
    assert queue.settle(settlements) == {lost.id}
    assert [new.origin["transaction_id"] for new in told(queue)] == [held.id]


def test_a_session_that_commits_enqueues_it_and_one_that_is_discarded_does_not(queue, bench):
    held = bench.leased(on_end=(TELL,))

    def failing(effects):
        effects.db["Bank"].insert_one({"_id": "ann"})
        raise ValueError

    with pytest.raises(ValueError):
        queue.settle_in_session(failing, timeout_seconds=10)
    assert told(queue) == []
    assert queue.settle_in_session(lambda _: [bench.complete(held, "well")], timeout_seconds=10) == frozenset()
    assert [(new.origin["state"], new.origin["result"]) for new in told(queue)] == [("done", "well")]


def test_a_crash_that_buries_enqueues_it_and_one_that_does_not_bury_does_not(queue, bench):
    for max_attempts in (2, 1):
        worker = bench.worker()
        held = bench.leased(worker, on_end=(TELL,), max_attempts=max_attempts)
        queue.end(worker, Casualty(running=held.id, reason="killed"))
        queue.end(worker, Casualty(running=held.id, reason="killed"))
    (new,) = told(queue)
    assert new.origin["transaction_id"] == held.id
    assert (new.origin["state"], new.origin["attempts"]) == ("dead", 1)
    assert new.origin["error"] == {"type": "WorkerDied", "message": "killed"}


def test_a_rescue_that_buries_enqueues_it(queue, bench):
    worker = bench.worker()
    bench.leased(worker, on_end=(TELL,), max_attempts=1)
    queue.end(worker, Casualty(group=True))
    bench.lease(bench.worker(bench.SHORT_LEASE))
    bench.lapse()
    (rescue,) = queue.rescue()
    assert [new.origin["transaction_id"] for new in told(queue)] == list(rescue.buried)


def test_cancelling_a_queued_one_enqueues_it_once(queue, bench):
    given = bench.enqueue(on_end=(TELL,))
    assert queue.cancel(given.id)
    assert not queue.cancel(given.id)
    assert states_told(queue) == ["cancelled"]
    assert told(queue)[0].origin["finished_at"] == bench.get(given).finished_at


def test_a_dead_one_that_is_given_up_or_redriven_ends_again_and_enqueues_it_again(queue, bench):
    given_up, redriven = bench.dead(on_end=(TELL,)), bench.dead(on_end=(TELL,))
    assert states_told(queue) == ["dead", "dead"]
    assert queue.cancel(given_up.id)
    assert queue.redrive(redriven.id, more_attempts=1)
    assert states_told(queue) == ["dead", "dead", "cancelled"]
    queue.settle([bench.complete(bench.lease_when_due(redriven))])
    assert states_told(queue) == ["dead", "dead", "cancelled", "done"]


def test_what_it_enqueues_ends_by_itself(queue, bench):
    queue.settle([bench.complete(bench.leased(on_end=(TELL,)))])
    queue.settle([bench.complete(one) for one in bench.lease(type="tell")])
    assert queue.counts()["tell"] == {State.DONE: 1}


def test_those_that_race_to_end_one_enqueue_it_once(queue, bench, together):
    for number in range(6):
        given = bench.enqueue(type=f"race-{number}", on_end=(TELL,))
        together(*[lambda given=given: queue.cancel(given.id)] * 3)
    assert len(told(queue)) == 6
