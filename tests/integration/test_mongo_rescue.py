"""Rescue on a real server: its order, its clock, its half-done steps, and whose workers it leaves alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from transqueue.errors import QueueUnavailable
from transqueue.mongodb.connection import KEEP_WORKERS_SECONDS
from transqueue.mongodb.workers import OTHERS_LEFT_SECONDS
from transqueue.queue import Casualty
from transqueue.transaction import State

AWAY = 8000  # an error code that nothing repeats by itself


def writes(commands):
    """What was changed, in order: the collection, or the command where it has none."""
    return [command.get(name) if name == "update" else name for name, command in commands if name in CHANGES]


CHANGES = {"update", "findAndModify", "insert", "killSessions"}


@pytest.fixture
def heard(connect_heard, mongo_database):
    """One more supervisor's queue, and the commands that it sends."""
    queue, sent = connect_heard(mongo_database)
    yield queue, sent
    queue.close()


def make_lapse(database, worker, ago=1.0):
    """As if the lease had lapsed so many seconds ago."""
    moved = [{"$set": {"until": {"$subtract": ["$$NOW", int(ago * 1000)]}}}]
    assert database["Workers"].update_one({"_id": worker}, moved).modified_count == 1


# What it costs


def names(commands):
    return [name for name, _ in commands]


def test_a_rescue_that_finds_nothing_asks_twice_and_writes_nothing(desk, heard):
    queue, sent = heard
    desk.worker()
    assert names(sent.during(queue.rescue)) == ["find", "aggregate"]


def test_leases_that_are_all_held_are_renewed_by_one_command(desk, heard):
    queue, sent = heard
    both = [desk.worker(), desk.worker()]
    assert names(sent.during(lambda: queue.renew(both, lease_seconds=60))) == ["update"]
    assert names(sent.during(lambda: queue.renew([*both, "nobody"], lease_seconds=60))) == ["update", "find"]


# Its order


def test_a_worker_is_ended_then_its_sessions_and_only_then_is_anything_put_back(desk, heard):
    queue, sent = heard
    worker = desk.worker()
    held = desk.leased(worker)
    assert writes(sent.during(lambda: queue.end(worker, Casualty()))) == ["Workers", "killSessions", "Q"]
    assert desk.state(held) is State.QUEUED


def test_a_rescue_keeps_the_same_order(desk, heard, database):
    queue, sent = heard
    worker = desk.worker()
    held = desk.leased(worker)
    make_lapse(database, worker)
    changed = writes(sent.during(queue.rescue))
    assert list(dict.fromkeys(changed)) == ["Workers", "killSessions", "Q"]
    assert changed.count("Q") == 1
    assert desk.state(held) is State.QUEUED


def test_renewing_and_ending_never_write_q(desk, heard, database):
    queue, sent = heard
    worker = desk.worker()
    held = desk.leased(worker)
    before = database["Q"].find_one({"_id": held.id})
    assert writes(sent.during(lambda: queue.renew([worker], lease_seconds=60))) == ["Workers"]
    assert database["Q"].find_one({"_id": held.id}) == before


@pytest.mark.parametrize("verb", ["end", "rescue"])
@pytest.mark.parametrize(
    ("command", "skip"), [("update", None), ("killSessions", None), ("update", 1)], ids=["ending", "killing", "back"]
)
def test_a_step_that_fails_is_made_when_it_is_repeated_and_nothing_is_charged_twice(
    desk, database, fail, verb, command, skip
):
    worker = desk.worker()
    running, other = desk.lease_for(worker, desk.new(), desk.new())
    make_lapse(database, worker)

    def act():
        return desk.queue.end(worker, Casualty(running=running.id)) if verb == "end" else desk.queue.rescue()

    fail(command, errorCode=AWAY, skip=skip)
    with pytest.raises(QueueUnavailable):
        act()
    fail.stop()
    assert [desk.state(one) for one in (running, other)] == [State.RUNNING, State.RUNNING]
    act()
    act()
    assert [desk.state(one) for one in (running, other)] == [State.QUEUED, State.QUEUED]
    charged = int(verb == "end")
    assert (desk.get(running).crashes, desk.get(running).attempts, desk.get(other).crashes) == (charged, charged, 0)


def test_an_end_whose_reply_is_lost_charges_once(desk, far, wire):
    worker = desk.worker()
    running, other = desk.lease_for(worker, desk.new(), desk.new())
    wire.lose_replies("update", "Q")
    with pytest.raises(QueueUnavailable):
        far.end(worker, Casualty(running=running.id))
    assert wire.lost == 1
    far.end(worker, Casualty(running=running.id))
    charged = desk.get(running)
    assert (charged.state, charged.attempts, charged.crashes, len(charged.history)) == (State.QUEUED, 1, 1, 1)
    assert (desk.state(other), desk.get(other).attempts) == (State.QUEUED, 0)


# Ends are final


@pytest.mark.parametrize("how", ["ended", "lapsed"])
def test_a_renewal_that_was_on_its_way_revives_nothing(desk, connected, database, fail, pool, how):
    worker = desk.worker()
    held = desk.leased(worker)
    fail("update", blockConnection=True, blockTimeMS=300, times=1)
    renewal = pool.submit(connected().renew, [worker], lease_seconds=600)
    fail.wait()
    if how == "ended":
        desk.queue.end(worker, Casualty())
    else:
        make_lapse(database, worker)
    assert not renewal.done()
    assert renewal.result(30) == frozenset()
    desk.queue.rescue()
    assert desk.state(held) is State.QUEUED


def test_a_rescue_that_saw_a_lease_lapsed_ends_nothing_that_was_begun_anew_meanwhile(desk, database, fail, pool):
    worker = desk.worker()
    held = desk.leased(worker)
    make_lapse(database, worker)
    fail("update", blockConnection=True, blockTimeMS=300, times=1)
    rescue = pool.submit(desk.queue.rescue)
    fail.wait()
    make_lapse(database, worker, ago=-600)
    assert not rescue.done()
    assert list(rescue.result(30)) == []
    assert desk.get(held) == held
    assert desk.queue.renew([worker], lease_seconds=600) == {worker}


# Its clock


@pytest.mark.parametrize("days", [-400, 400])
def test_a_lease_lapses_by_the_servers_clock_whatever_a_process_takes_for_the_time(desk, wait_until, days):
    live = desk.leased(desk.worker(60), type="live")
    worker = desk.worker(0.3)
    held = desk.leased(worker)

    def rescue_with_a_wrong_clock():
        desk.queue.clock.observe(live.created_at + timedelta(days=days))
        return desk.queue.rescue()

    (rescue,) = wait_until(rescue_with_a_wrong_clock, timeout=3, message="the short lease has lapsed")
    assert rescue.released == (held.id,)
    assert desk.get(live) == live
    assert desk.queue.renew([live.lease.worker], lease_seconds=60) == {live.lease.worker}


@pytest.mark.parametrize("days", [-400, 400])
def test_a_lease_lasts_as_long_as_the_server_counts_whatever_a_process_takes_for_the_time(desk, database, days):
    now = desk.queue.clock.now()
    desk.queue.clock.observe(now + timedelta(days=days))
    worker = desk.worker(60)
    row = database["Workers"].find_one({"_id": worker})
    assert row["until"] - row["started_at"] == timedelta(seconds=60)
    assert abs(row["started_at"] - now) < timedelta(seconds=5)
    desk.queue.clock.observe(now + timedelta(days=days))
    assert desk.queue.renew([worker], lease_seconds=120) == {worker}
    assert (
        timedelta(seconds=110) < database["Workers"].find_one({"_id": worker})["until"] - now < timedelta(seconds=130)
    )


# Whose


def test_what_runs_for_a_worker_whose_document_is_gone_is_rescued(desk, database):
    worker = desk.worker()
    held = desk.leased(worker)
    database["Workers"].delete_one({"_id": worker})
    (rescue,) = desk.queue.rescue()
    assert (rescue.worker, rescue.released) == (worker, (held.id,))
    assert desk.state(held) is State.QUEUED


def test_a_worker_that_its_own_supervisor_just_ended_is_left_to_it_for_a_while(desk, connected, database, fail):
    worker = desk.worker()
    held = desk.leased(worker)
    fail("update", skip=1, errorCode=AWAY)
    with pytest.raises(QueueUnavailable):
        desk.queue.end(worker, Casualty(running=held.id))
    fail.stop()
    other = connected()
    assert list(other.rescue()) == []
    assert desk.get(held) == held
    assert desk.queue.end(worker, Casualty(running=held.id)).charged == (held.id,)
    assert desk.get(held).crashes == 1


def test_a_worker_that_its_own_supervisor_ended_and_forgot_is_rescued_after_that_while(desk, connected, database, fail):
    worker = desk.worker()
    held = desk.leased(worker)
    fail("update", skip=1, errorCode=AWAY)
    with pytest.raises(QueueUnavailable):
        desk.queue.end(worker, Casualty(running=held.id))
    fail.stop()
    earlier = [{"$set": {"ended_at": {"$subtract": ["$ended_at", int((OTHERS_LEFT_SECONDS + 0.1) * 1000)]}}}]
    database["Workers"].update_one({"_id": worker}, earlier)
    (rescue,) = connected().rescue()
    assert (rescue.released, rescue.charged) == ((held.id,), ())
    back = desk.get(held)
    assert (back.alone, back.crashes, back.attempts) == (True, 0, 0), "what it was doing is not known any more"


def test_two_that_rescue_at_once_put_everything_back_once(desk, connected, database, pool):
    workers = [desk.worker() for _ in range(4)]
    held = [one for worker in workers for one in desk.lease_for(worker, desk.new(type=worker), desk.new(type=worker))]
    for worker in workers:
        make_lapse(database, worker)
    list(pool.map(lambda queue: queue.rescue(), [connected(), connected()]))
    for one in held:
        back = desk.get(one)
        assert (back.state, back.alone, back.attempts, back.crashes) == (State.QUEUED, True, 0, 0)


def test_a_rescue_looks_at_what_runs_and_not_at_what_waits(desk, heard, database):
    queue, sent = heard
    desk.queue.enqueue([desk.new() for _ in range(500)])
    worker = desk.worker()
    desk.queue.lease(worker, "deposit", limit=5)
    make_lapse(database, worker)
    sought = [command for name, command in sent.during(queue.rescue) if name in {"find", "aggregate"} and Q(command)]
    assert sought
    for command in sought:
        asked = {key: value for key, value in command.items() if key in {"find", "aggregate", "filter", "pipeline"}}
        asked |= {"cursor": {}} if "aggregate" in command else {}
        told = database.command("explain", asked, verbosity="executionStats")
        statistics = (told["stages"][0]["$cursor"] if "stages" in told else told)["executionStats"]
        assert statistics["totalDocsExamined"] <= 5


def Q(command):
    return "Q" in {command.get("find"), command.get("aggregate")}


def test_ended_workers_are_forgotten_by_the_server_and_live_ones_are_not(desk, database):
    (index,) = [one for one in database["Workers"].list_indexes() if "expireAfterSeconds" in one]
    assert index["key"].to_dict() == {"ended_at": 1}
    assert index["expireAfterSeconds"] == KEEP_WORKERS_SECONDS
    live, ended = desk.worker(), desk.worker()
    desk.queue.end(ended, Casualty())
    kept = {row["_id"]: row["ended_at"] for row in database["Workers"].find()}
    assert kept[live] is None
    assert kept[ended] is not None
