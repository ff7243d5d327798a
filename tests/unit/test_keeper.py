"""The keeper of leases, turn by turn, and as the thread that a supervisor runs."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from transqueue.admin.report import WorkerReport
from transqueue.errors import QueueUnavailable
from transqueue.events import Events
from transqueue.queue import Casualty, WorkerRecord
from transqueue.supervisor import keeper as keeper_module
from transqueue.supervisor.keeper import RENEWALS_PER_LEASE, RESCUE_SECONDS, LeaseKeeper
from transqueue.testing import MemoryQueue, SettableClock
from transqueue.transaction import State, Transaction, TransactionIds

LEASE = 30.0
IDS = TransactionIds()


class Ticks:
    """The boot time, as a test moves it."""

    def __init__(self):
        self.seconds = 1000.0

    def __call__(self):
        return self.seconds


class FakeChild:
    """What the keeper needs of a child: its id, and somebody to tell of a renewal."""

    def __init__(self, worker):
        self.worker, self.alarms = worker, []

    def renewed(self, alarm_at, *, now):
        self.alarms.append(alarm_at)

    def report(self, now):
        return WorkerReport(seconds=now)


class TroubledQueue(MemoryQueue):
    """A queue in memory that tells what was asked of it, and is away when told to be."""

    def __init__(self):
        super().__init__(SettableClock(), random=lambda: 0.0)
        self.asked, self.away = [], set()
        self.before_answering = lambda verb: None

    def renew(self, workers, *, lease_seconds):
        self._ask("renew", *sorted(workers))
        return super().renew(workers, lease_seconds=lease_seconds)

    def end(self, worker, casualty):
        self._ask("end", worker, casualty)
        return super().end(worker, casualty)

    def rescue(self):
        self._ask("rescue")
        return super().rescue()

    def _ask(self, verb, *about):
        self.asked.append((verb, *about))
        self.before_answering(verb)
        if verb in self.away:
            raise QueueUnavailable(f"no answer to {verb}")

    def verbs(self):
        return [verb for verb, *_ in self.asked]


class House:
    def __init__(self, lease_seconds=LEASE):
        self.queue, self.ticks, self.heard = TroubledQueue(), Ticks(), []
        self.keeper = LeaseKeeper(
            self.queue,
            lease_seconds=lease_seconds,
            events=Events(self.heard.append),
            now=self.ticks,
            random=lambda: 0.5,
        )

    def child(self, name):
        """A worker that has begun and is kept."""
        self.queue.begin(WorkerRecord(id=name, host="here", pid=1, slot=0), lease_seconds=LEASE)
        child = FakeChild(name)
        self.keeper.keep(child)
        return child

    def holding(self, name):
        """A transaction that this worker holds."""
        now = datetime(2026, 1, 1, tzinfo=UTC)
        new = Transaction(id=IDS.next(now), type="t", data={}, created_at=now, due_at=now, max_attempts=3)
        self.queue.enqueue([new])
        (leased,) = self.queue.lease(name, "t", limit=1)
        return leased.id

    def turn(self, seconds=0.0):
        """Let seconds pass, for all, and take a turn; what was asked of the queue in it."""
        self.ticks.seconds += seconds
        self.queue.clock.advance(seconds)
        self.queue.asked.clear()
        self.keeper.turn()
        return self.queue.verbs()


@pytest.fixture
def house():
    return House()


@pytest.fixture
def patient(monkeypatch):
    """One that has nothing to do for ten minutes, unless it is woken."""
    monkeypatch.setattr(keeper_module, "RESCUE_SECONDS", 600)
    return House(lease_seconds=600 * RENEWALS_PER_LEASE)


@pytest.fixture
def in_thread():
    """Run something beside the test."""
    with ThreadPoolExecutor(2) as pool:
        yield pool.submit


# Renewing


def test_a_kept_worker_is_renewed_and_told_when_it_must_be_dead(house):
    ann, bob = house.child("ann"), house.child("bob")
    house.turn()
    assert house.queue.asked[0] == ("renew", "ann", "bob")
    assert ann.alarms == bob.alarms == [1000 + LEASE * 0.9]


def test_the_moment_counts_from_before_the_database_was_asked(house):
    ann = house.child("ann")
    house.queue.before_answering = lambda verb: setattr(house.ticks, "seconds", house.ticks.seconds + 5)
    house.turn()
    assert ann.alarms == [1000 + LEASE * 0.9]


def test_a_worker_that_is_renewed_in_time_never_lapses(house):
    ann = house.child("ann")
    house.turn()
    for _ in range(50):
        house.turn(LEASE / RENEWALS_PER_LEASE)
    assert len(ann.alarms) == 51
    assert house.keeper.lapsed == set()


def test_leases_are_renewed_six_times_in_their_length_and_not_more_often(house):
    house.child("ann")
    house.turn()
    assert "renew" not in house.turn(LEASE / 6 - 0.1)
    assert "renew" in house.turn(0.1)


def test_a_new_worker_is_renewed_at_once(house):
    house.child("ann")
    house.turn()
    bob = house.child("bob")
    house.turn()
    assert len(bob.alarms) == 1


def test_without_workers_the_database_is_not_asked_to_renew(house):
    assert "renew" not in house.turn()


def test_one_whose_lease_lapsed_is_marked_and_told_nothing(house):
    ann = house.child("ann")
    house.turn()
    house.queue.clock.advance(LEASE + 1)
    bob = house.child("bob")
    house.turn()
    assert house.keeper.lapsed == {"ann"}
    assert (len(ann.alarms), len(bob.alarms)) == (1, 1)


def test_one_that_was_ended_by_another_host_is_marked_as_lapsed(house):
    house.child("ann")
    house.queue.end("ann", Casualty())
    house.turn()
    assert house.keeper.lapsed == {"ann"}


def test_a_lapsed_one_is_forgotten_when_it_is_dead(house):
    ann = house.child("ann")
    house.queue.end("ann", Casualty())
    house.turn()
    house.keeper.end(ann, Casualty())
    house.turn(LEASE)
    assert house.keeper.lapsed == set()
    assert ann.alarms == []


def test_one_that_died_while_it_was_renewed_is_not_marked(house):
    ann = house.child("ann")
    house.queue.end("ann", Casualty())
    house.queue.before_answering = lambda verb: house.keeper.end(ann, Casualty()) if verb == "renew" else None
    house.turn()
    assert house.keeper.lapsed == set()


def test_what_cannot_be_renewed_is_not_lapsed_and_is_tried_again(house):
    ann = house.child("ann")
    house.queue.away = {"renew"}
    for _ in range(2):
        with pytest.raises(QueueUnavailable):
            house.turn()
    assert (house.keeper.lapsed, ann.alarms) == (set(), [])
    house.queue.away = set()
    house.turn()
    assert len(ann.alarms) == 1


# Ending


def test_leases_are_renewed_first_then_the_dead_are_ended_then_others_are_rescued(house):
    ann = house.child("ann")
    house.child("bob")
    house.keeper.end(ann, Casualty())
    assert house.turn() == ["renew", "end", "rescue"]
    assert house.queue.asked[0] == ("renew", "bob")


def test_what_a_dead_one_held_goes_back_with_its_casualty_and_is_told(house):
    ann = house.child("ann")
    ran, held = house.holding("ann"), house.holding("ann")
    house.keeper.end(ann, Casualty(running=ran, reason="it fell"))
    house.turn()
    assert house.queue.asked[0] == ("end", "ann", Casualty(running=ran, reason="it fell"))
    assert {house.queue.get(one).state for one in (ran, held)} == {State.QUEUED}
    (event,) = house.heard
    assert (event.name, dict(event.facts)) == (
        "transactions.rescued",
        {"worker": "ann", "released": 1, "charged": [ran], "buried": []},
    )


def test_a_dead_one_that_held_nothing_is_not_told(house):
    house.keeper.end(house.child("ann"), Casualty())
    house.turn()
    assert house.heard == []


def test_the_dead_are_ended_again_after_the_database_was_away(house):
    ann = house.child("ann")
    held = house.holding("ann")
    house.keeper.end(ann, Casualty())
    house.queue.away = {"end"}
    for _ in range(3):
        with pytest.raises(QueueUnavailable):
            house.turn()
        assert house.queue.verbs() == ["end"]
    house.queue.away = set()
    house.turn()
    assert house.queue.get(held).state is State.QUEUED
    assert house.turn() == []


def test_each_of_several_dead_is_ended_in_order_and_once(house):
    for child in [house.child("ann"), house.child("bob"), house.child("eve")]:
        house.keeper.end(child, Casualty())
    house.turn()
    assert [about[0] for verb, *about in house.queue.asked if verb == "end"] == ["ann", "bob", "eve"]


def test_one_that_never_began_is_ended_like_the_others(house):
    house.keeper.end(FakeChild("never"), Casualty())
    assert house.turn()[0] == "end"
    assert house.turn(1) == []


# Rescuing what others left behind


def test_what_another_host_left_behind_is_rescued(house):
    house.queue.begin(WorkerRecord(id="far", host="there", pid=1, slot=0), lease_seconds=10)
    held = house.holding("far")
    house.turn()
    assert house.queue.get(held).state is State.RUNNING
    house.turn(11)
    assert house.queue.get(held).state is State.QUEUED
    assert [event.name for event in house.heard] == ["transactions.rescued"]


def test_rescues_are_some_seconds_apart(house):
    assert house.turn() == ["rescue"]
    assert house.turn(RESCUE_SECONDS - 0.1) == []
    assert house.turn(0.1) == ["rescue"]


@pytest.mark.parametrize(("luck", "share"), [(0.0, 0.75), (0.5, 1.0), (1.0, 1.25)])
def test_hosts_spread_their_rescues_by_luck(luck, share):
    queue, ticks = TroubledQueue(), Ticks()
    keeper = LeaseKeeper(queue, lease_seconds=LEASE, events=Events(), now=ticks, random=lambda: luck)
    keeper.turn()
    ticks.seconds += RESCUE_SECONDS * share - 0.01
    keeper.turn()
    assert queue.verbs() == ["rescue"]
    ticks.seconds += 0.02
    keeper.turn()
    assert queue.verbs() == ["rescue", "rescue"]


# As a thread


def test_it_ends_at_once_when_it_is_closed_and_nothing_is_left(patient, in_thread, wait_until):
    patient.child("ann")
    running = in_thread(patient.keeper.run)
    wait_until(lambda: "rescue" in patient.queue.verbs())
    patient.keeper.close()
    running.result(timeout=10)


def test_it_wakes_up_for_one_that_died_and_for_a_new_one(patient, in_thread, wait_until):
    ann = patient.child("ann")
    running = in_thread(patient.keeper.run)
    wait_until(lambda: "rescue" in patient.queue.verbs())
    patient.keeper.end(ann, Casualty())
    wait_until(lambda: "end" in patient.queue.verbs())
    bob = patient.child("bob")
    wait_until(lambda: bob.alarms)
    patient.keeper.close()
    running.result(timeout=10)


def test_closed_it_still_puts_back_what_the_dead_held_and_rescues_no_others(house):
    held = [house.child(name) and house.holding(name) for name in ("ann", "bob")]
    for name in ("ann", "bob"):
        house.keeper.end(FakeChild(name), Casualty())
    house.keeper.close()
    house.keeper.run()
    assert [house.queue.get(one).state for one in held] == [State.QUEUED] * 2
    assert "rescue" not in house.queue.verbs()


def test_closed_it_does_not_wait_for_a_database_that_is_away(house):
    house.keeper.end(house.child("ann"), Casualty())
    house.queue.away = {"end"}
    house.keeper.close()
    house.keeper.run()
    assert house.queue.verbs() == ["end"]
    assert [event.name for event in house.heard] == ["queue.unavailable"]


def test_it_goes_on_when_the_database_comes_back(house, in_thread, wait_until, monkeypatch):
    monkeypatch.setattr(keeper_module, "AGAIN_SECONDS", 0.01)
    ann = house.child("ann")
    house.queue.away = {"renew"}
    running = in_thread(house.keeper.run)
    wait_until(lambda: len(house.heard) >= 2)
    assert {event.name for event in house.heard} == {"queue.unavailable"}
    house.queue.away = set()
    wait_until(lambda: ann.alarms)
    house.keeper.close()
    running.result(timeout=10)


def test_a_defect_does_not_end_it_and_is_told(house, in_thread, wait_until, monkeypatch):
    monkeypatch.setattr(keeper_module, "AGAIN_SECONDS", 0.01)
    ann = house.child("ann")

    def fail_once(verb):
        house.queue.before_answering = lambda verb: None
        raise ZeroDivisionError("a defect")

    house.queue.before_answering = fail_once
    running = in_thread(house.keeper.run)
    wait_until(lambda: ann.alarms)
    house.keeper.close()
    running.result(timeout=10)
    (event,) = house.heard
    assert event.name == "keeper.failed"
    assert "ZeroDivisionError: a defect" in event.facts["traceback"]


def test_closed_it_does_not_try_a_defect_again(house):
    def fail(verb):
        raise ZeroDivisionError("a defect")

    house.keeper.end(house.child("ann"), Casualty())
    house.queue.before_answering = fail
    house.keeper.close()
    house.keeper.run()
    assert [event.name for event in house.heard] == ["keeper.failed"]


@pytest.mark.parametrize("verb", ["renew", "end"])
def test_while_the_database_is_away_it_does_not_ask_without_a_pause(house, in_thread, wait_until, monkeypatch, verb):
    pauses = []

    class Wake(threading.Event):
        def wait(self, timeout=None):
            pauses.append(timeout)
            return super().wait(min(timeout, 0.01))

    monkeypatch.setattr(house.keeper, "_wake", Wake())
    ann = house.child("ann")
    if verb == "end":
        house.keeper.end(ann, Casualty())
    house.queue.away = {verb}
    running = in_thread(house.keeper.run)
    wait_until(lambda: len(house.heard) >= 5)
    house.keeper.close()
    running.result(timeout=10)
    assert pauses.count(keeper_module.AGAIN_SECONDS) >= len(house.heard) - 1


@pytest.mark.parametrize("verb", ["renew", "end", "rescue"])
def test_a_database_that_does_not_answer_never_holds_up_the_supervisor(house, in_thread, verb):
    asked, answer = threading.Event(), threading.Event()

    def before_answering(about):
        if about == verb:
            asked.set()
            assert answer.wait(60)

    ann, bob = house.child("ann"), house.child("bob")
    if verb == "end":
        house.keeper.end(ann, Casualty())
    house.queue.before_answering = before_answering
    turning = in_thread(house.keeper.turn)
    try:
        assert asked.wait(10)
        in_thread(house.keeper.keep, FakeChild("eve")).result(timeout=5)
        in_thread(house.keeper.end, bob, Casualty()).result(timeout=5)
        assert in_thread(lambda: house.keeper.lapsed).result(timeout=5) == set()
        assert not turning.done()
    finally:
        answer.set()
    turning.result(timeout=10)
