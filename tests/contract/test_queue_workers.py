"""The contract of workers' leases: renewed, ended, lapsed, and what becomes of what a worker held."""

from __future__ import annotations

from datetime import timedelta

import pytest

from transqueue.errors import QueueUnavailable
from transqueue.queue import Casualty, WorkerRecord
from transqueue.transaction import MAX_CRASHES, State


def test_a_worker_is_listed_while_its_lease_is_held(queue, bench):
    worker = bench.worker()
    (listed,) = [one for one in queue.workers() if one.id == worker]
    assert listed.started_at <= queue.clock.now() + timedelta(seconds=1) < listed.until
    queue.end(worker, Casualty())
    assert worker not in {one.id for one in queue.workers()}


def test_a_live_worker_is_renewed(queue, bench):
    first, second = bench.worker(), bench.worker()
    assert queue.renew([first, second], lease_seconds=60) == {first, second}


def test_a_worker_that_never_began_is_not_renewed(queue, bench):
    worker = bench.worker()
    assert queue.renew([worker, "nobody"], lease_seconds=60) == {worker}
    assert queue.renew([], lease_seconds=60) == frozenset()


def test_a_renewed_lease_lasts_from_the_renewal(queue, bench, pass_time):
    worker = bench.worker(1.5)
    assert queue.renew([worker], lease_seconds=600) == {worker}
    held = bench.leased(worker)
    pass_time(1.7)
    assert list(queue.rescue()) == []
    assert bench.get(held) == held
    assert queue.renew([worker], lease_seconds=600) == {worker}


def test_a_lapsed_lease_is_never_renewed(queue, bench):
    lapsing, live = bench.worker(bench.SHORT_LEASE), bench.worker()
    bench.lapse()
    for _ in range(2):
        assert queue.renew([lapsing, live], lease_seconds=60) == {live}


def test_an_ended_lease_is_never_renewed(queue, bench):
    worker = bench.worker()
    queue.end(worker, Casualty())
    assert queue.renew([worker], lease_seconds=60) == frozenset()


def test_a_workers_id_never_begins_again(queue, bench):
    worker = bench.worker()
    queue.end(worker, Casualty())
    with pytest.raises((RuntimeError, QueueUnavailable)):
        queue.begin(WorkerRecord(id=worker, host="here", pid=1, slot=1), lease_seconds=60)
    assert queue.renew([worker], lease_seconds=60) == frozenset()


def test_ending_a_worker_puts_back_what_it_held_uncharged(queue, bench):
    worker = bench.worker()
    given = [bench.enqueue() for _ in range(3)]
    bench.lease(worker)
    rescue = queue.end(worker, Casualty())
    assert rescue.worker == worker
    assert set(rescue.released) == {one.id for one in given}
    assert rescue.charged == rescue.buried == ()
    assert [bench.get(one) for one in given] == given


def test_ending_a_worker_charges_what_was_running_and_nothing_else(queue, bench):
    worker = bench.worker()
    given = [bench.enqueue() for _ in range(3)]
    running = bench.lease(worker)[1]
    before = bench.at(0)
    rescue = queue.end(worker, Casualty(running=running.id, reason="killed by signal 9"))
    assert rescue.charged == (running.id,)
    assert set(rescue.released) == {given[0].id, given[2].id}
    charged = bench.get(running)
    error = {"type": "WorkerDied", "message": "killed by signal 9"}
    assert charged.state is State.QUEUED
    assert charged.lease is None
    assert (charged.attempts, charged.crashes) == (1, 1)
    assert charged.error == error
    entry = charged.history[-1]
    assert (entry["state"], entry["attempt"], entry["worker"], entry["error"]) == ("queued", 1, worker, error)
    margin = timedelta(seconds=0.1)
    assert before + timedelta(seconds=0.2) - margin <= charged.due_at <= bench.at(2) + margin
    assert [bench.get(given[0]), bench.get(given[2])] == [given[0], given[2]]


def test_a_group_that_died_between_its_handlers_and_its_commit_runs_alone_next_uncharged(queue, bench):
    worker = bench.worker()
    given = [bench.enqueue() for _ in range(2)]
    bench.lease(worker)
    rescue = queue.end(worker, Casualty(group=True))
    assert set(rescue.released) == {one.id for one in given}
    for one in given:
        alone = bench.get(one)
        assert alone.alone
        assert (alone.state, alone.attempts, alone.crashes) == (State.QUEUED, 0, 0)


def test_the_running_one_of_a_group_is_charged_and_the_rest_run_alone(queue, bench):
    worker = bench.worker()
    bench.enqueue()
    bench.enqueue()
    running, other = bench.lease(worker)
    rescue = queue.end(worker, Casualty(running=running.id, group=True))
    assert rescue.charged == (running.id,)
    assert rescue.released == (other.id,)
    assert bench.get(running).crashes == 1
    assert (bench.get(other).crashes, bench.get(other).alone) == (0, True)


def test_one_that_was_already_alone_is_charged_when_its_group_dies_again(queue, bench):
    worker = bench.worker()
    given = bench.leased(worker)
    queue.end(worker, Casualty(group=True))
    (alone,) = bench.lease()
    rescue = queue.end(alone.lease.worker, Casualty(group=True, reason="killed"))
    assert rescue.charged == (given.id,)
    charged = bench.get(given)
    assert (charged.attempts, charged.crashes) == (1, 1)
    assert charged.error == {"type": "WorkerDied", "message": "killed"}


def test_one_that_was_alone_is_released_uncharged_when_it_was_not_running(queue, bench):
    worker = bench.worker()
    given = bench.leased(worker)
    queue.end(worker, Casualty(group=True))
    (alone,) = bench.lease()
    assert queue.end(alone.lease.worker, Casualty()).released == (given.id,)
    back = bench.get(given)
    assert (back.state, back.attempts, back.crashes, back.alone) == (State.QUEUED, 0, 0, True)


@pytest.mark.parametrize(
    "spent",
    [{"max_attempts": 1}, {"attempts": 7, "max_attempts": 8}, {"crashes": MAX_CRASHES - 1, "attempts": 2}],
    ids=["one attempt", "last attempt", "last crash"],
)
def test_a_crash_that_spends_the_last_attempt_or_crash_buries(queue, bench, spent):
    worker = bench.worker()
    held = bench.leased(worker, **spent)
    rescue = queue.end(worker, Casualty(running=held.id, reason="killed"))
    assert rescue.buried == (held.id,)
    dead = bench.get(held)
    assert dead.state is State.DEAD
    assert dead.attempts == held.attempts + 1
    assert dead.crashes == held.crashes + 1
    assert dead.finished_at is not None
    assert dead.ended_by is None
    assert dead.lease is None
    assert dead.error == {"type": "WorkerDied", "message": "killed"}
    assert dead.history[-1]["state"] == "dead"


def test_ending_a_worker_again_charges_nothing_twice(queue, bench):
    worker = bench.worker()
    held = bench.leased(worker)
    queue.end(worker, Casualty(running=held.id))
    charged = bench.get(held)
    rescue = queue.end(worker, Casualty(running=held.id))
    assert rescue.released == rescue.charged == rescue.buried == ()
    assert bench.get(held) == charged


def test_ending_a_worker_again_leaves_the_next_lease_alone(queue, bench):
    worker = bench.worker()
    held = bench.leased(worker)
    queue.end(worker, Casualty())
    (present,) = bench.lease()
    queue.end(worker, Casualty(running=held.id))
    assert bench.get(held) == present


def test_what_was_settled_before_the_worker_ended_stays_settled(queue, bench):
    worker = bench.worker()
    bench.enqueue()
    bench.enqueue()
    done, waiting = bench.lease(worker)
    queue.settle([bench.complete(done), bench.retry(waiting, 60)])
    settled = [bench.get(done), bench.get(waiting)]
    rescue = queue.end(worker, Casualty(running=done.id))
    assert rescue.released == rescue.charged == rescue.buried == ()
    assert [bench.get(done), bench.get(waiting)] == settled


def test_ending_one_worker_touches_no_other(queue, bench):
    ending, other = bench.worker(), bench.worker()
    held = bench.leased(other)
    rescue = queue.end(ending, Casualty(running=held.id, group=True))
    assert rescue.released == rescue.charged == rescue.buried == ()
    assert bench.get(held) == held
    assert queue.renew([other], lease_seconds=60) == {other}


@pytest.mark.parametrize("ending", ["complete", "reject", "retry", "bury"])
def test_a_worker_that_was_ended_settles_nothing(queue, bench, ending):
    worker = bench.worker()
    held = bench.leased(worker)
    queue.end(worker, Casualty())
    before = bench.get(held)
    assert queue.settle([getattr(bench, ending)(held)]) == {held.id}
    queue.release([held])
    assert bench.get(held) == before


def test_rescue_leaves_live_workers_alone(queue, bench):
    held = bench.leased(bench.worker())
    assert list(queue.rescue()) == []
    assert bench.get(held) == held


def test_what_a_lapsed_worker_held_next_runs_alone_uncharged(queue, bench):
    worker = bench.worker(bench.SHORT_LEASE)
    given = [bench.enqueue() for _ in range(2)]
    bench.lease(worker)
    bench.lapse()
    (rescue,) = queue.rescue()
    assert rescue.worker == worker
    assert set(rescue.released) == {one.id for one in given}
    assert rescue.charged == rescue.buried == ()
    for one in given:
        back = bench.get(one)
        assert back.alone
        assert (back.state, back.lease, back.attempts, back.crashes) == (State.QUEUED, None, 0, 0)
        assert back.due_at == one.due_at
    assert [len(bench.lease()) for _ in range(2)] == [1, 1]


def lapsed_while_alone(queue, bench, **fields):
    """A transaction that was running alone when its worker's lease lapsed, not rescued yet."""
    worker = bench.worker()
    bench.leased(worker, **fields)
    queue.end(worker, Casualty(group=True))
    (alone,) = bench.lease(bench.worker(bench.SHORT_LEASE))
    assert alone.alone
    bench.lapse()
    return alone


def test_one_that_was_already_alone_is_charged_the_crash(queue, bench):
    alone = lapsed_while_alone(queue, bench)
    (rescue,) = queue.rescue()
    assert rescue.charged == (alone.id,)
    assert rescue.released == rescue.buried == ()
    charged = bench.get(alone)
    assert charged.state is State.QUEUED
    assert (charged.attempts, charged.crashes) == (1, 1)
    assert charged.due_at > alone.due_at
    assert charged.error == {"type": "WorkerDied", "message": "its worker's lease lapsed"}
    assert charged.history[-1]["worker"] == alone.lease.worker


def test_one_that_was_already_alone_is_buried_when_it_is_spent(queue, bench):
    alone = lapsed_while_alone(queue, bench, max_attempts=1)
    (rescue,) = queue.rescue()
    assert rescue.buried == (alone.id,)
    assert bench.state(alone) is State.DEAD


def test_a_second_rescue_finds_nothing(queue, bench):
    bench.leased(bench.worker(bench.SHORT_LEASE))
    bench.lapse()
    assert len(queue.rescue()) == 1
    assert all(one.released == one.charged == one.buried == () for one in queue.rescue())


def test_a_rescued_worker_is_over(queue, bench):
    worker = bench.worker(bench.SHORT_LEASE)
    held = bench.leased(worker)
    bench.lapse()
    queue.rescue()
    before = bench.get(held)
    assert queue.renew([worker], lease_seconds=60) == frozenset()
    assert queue.settle([bench.complete(held)]) == {held.id}
    rescue = queue.end(worker, Casualty(running=held.id))
    assert rescue.released == rescue.charged == rescue.buried == ()
    assert bench.get(held) == before


def test_what_a_worker_leases_after_its_lease_lapsed_is_rescued_too(queue, bench):
    worker = bench.worker(bench.SHORT_LEASE)
    bench.lapse()
    queue.rescue()
    given = bench.enqueue()
    bench.lease(worker)
    queue.rescue()
    assert bench.state(given) is State.QUEUED
    assert bench.get(given).attempts == 0


def test_what_a_worker_holds_that_never_began_is_rescued(queue, bench):
    given = bench.enqueue()
    bench.lease("nobody")
    queue.rescue()
    assert bench.state(given) is State.QUEUED
    assert bench.get(given).attempts == 0


def test_rescue_tells_lapsed_workers_apart(queue, bench):
    live = bench.leased(bench.worker(), type="live")
    workers = [bench.worker(bench.SHORT_LEASE) for _ in range(2)]
    held = {worker: bench.leased(worker, type=worker).id for worker in workers}
    bench.lapse()
    assert {one.worker: one.released for one in queue.rescue()} == {worker: (held[worker],) for worker in workers}
    assert bench.get(live) == live
