"""An attempt that takes long: what has ended is settled meanwhile, and what was not started goes back."""

from __future__ import annotations

import threading

import pytest

from tests.unit.test_batch import House, n
from transqueue.errors import TrackLost
from transqueue.transaction import State
from transqueue.worker.batch import HOLD_SECONDS
from transqueue.worker.overtime import LOOK_SECONDS, Overtime


@pytest.fixture
def house() -> House:
    return House()


def slow(house: House, number: int, seconds: float, meanwhile=lambda: None):
    """A handler whose attempt of one transaction takes so long, with a look at it at the end."""

    def work(transaction, context):
        house.tell("ran", n(transaction))
        if n(transaction) == number:
            house.ticks.pass_(seconds)
            house.batches.overtime.turn()
            meanwhile()

    return work


def test_what_has_ended_is_settled_while_the_next_one_takes_long(house):
    house.run(slow(house, 1, 0), size=1)  # its pace is known to be fast
    del house.log[:]
    house.run(slow(house, 2, 2 * LOOK_SECONDS, lambda: house.tell("still")))
    assert house.happened("settled", "still") == [("settled", 1), ("still",), ("settled", 2, 3)]
    assert house.states()[-3:] == ["done"] * 3


def test_an_attempt_that_is_no_longer_than_others_settles_nothing_beside(house):
    house.run(slow(house, 1, 0), size=1)
    house.run(slow(house, 2, LOOK_SECONDS / 2))
    assert house.happened("settled") == [("settled", 1), ("settled", 1, 2, 3)]


def test_what_was_not_started_goes_back_while_an_attempt_takes_long(house):
    def others() -> None:
        assert [n(one) for one in house.lease_again()] == [2, 3]

    house.run(slow(house, 1, HOLD_SECONDS, others))
    assert house.happened("ran", "released") == [("ran", 1), ("released", 2, 3)]
    assert house.states() == ["done", "running", "running"]


def test_until_it_is_long_what_was_not_started_stays(house):
    house.run(slow(house, 1, HOLD_SECONDS / 2))
    assert house.happened("released") == []
    assert house.states() == ["done"] * 3


def test_an_operators_pause_gives_back_while_an_attempt_runs(house):
    house.run(slow(house, 1, 2 * LOOK_SECONDS), stopping=lambda: bool(house.happened("ran")))
    assert house.happened("released") == [("released", 2, 3)]


def test_what_a_group_has_left_over_goes_back_too(house):
    def work(given, context):
        house.tell("ran", *map(n, given))
        house.ticks.pass_(HOLD_SECONDS)
        house.batches.overtime.turn()
        house.tell("still")
        return [None] * len(given)

    house.work_off(work, house.lease_keys("aab"), batch=True)
    assert house.happened("ran", "released", "still") == [("ran", 1, 3), ("released", 2), ("still",)]


def test_a_key_whose_earlier_one_was_lost_meanwhile_does_not_go_on(house):
    leased = house.lease_keys("abba")
    house.pace.learn("t", 1, 0.0)

    def work(transaction, context):
        house.tell("ran", n(transaction))
        if n(transaction) == 2:
            house.queue.release([leased[0]])  # as a rescue would
            house.ticks.pass_(2 * LOOK_SECONDS)
            house.batches.overtime.turn()

    house.work_off(work, leased)
    assert house.happened("ran") == [("ran", 1), ("ran", 2), ("ran", 3)]


def test_the_mark_stays_on_what_is_running(house):
    house.run(slow(house, 1, 0), size=1)
    del house.marks[:]
    house.run(slow(house, 2, 2 * LOOK_SECONDS))
    assert house.marks[2] == ("settled", "running")


def test_a_track_lost_meanwhile_ends_the_run(house):
    def lose(settlements):
        raise TrackLost("unknown")

    def work(transaction, context):
        house.tell("ran", n(transaction))
        if n(transaction) == 2:
            house.queue.settle = lose
            house.ticks.pass_(2 * LOOK_SECONDS)
            house.batches.overtime.turn()

    house.run(lambda *_: None, size=1)
    with pytest.raises(TrackLost):
        house.run(work)
    assert house.happened("ran") == [("ran", 1), ("ran", 2)]


def test_what_did_not_end_before_a_death_is_not_settled_later(house):
    class Death(BaseException):
        pass

    def die(*_):
        raise Death

    house.run(lambda *_: None, size=1)
    leased = house.lease(3)
    house.batches.overtime.turn()
    attempt, house.batches._executor.attempt = house.batches._executor.attempt, die
    with pytest.raises(Death):
        house.work_off(lambda *_: None, leased)
    house.batches._executor.attempt = attempt
    house.run(lambda *_: None, size=1)
    assert [str(one.state) for one in house.all()].count(State.RUNNING) == 3


def test_its_thread_looks_while_an_attempt_goes_on_and_has_the_state_for_itself():
    inside, seen, done = threading.Event(), [], threading.Event()

    def task() -> None:
        seen.append(inside.is_set())
        done.set()

    overtime = Overtime(task)
    overtime.start()
    overtime.watch()
    inside.set()
    with overtime:
        assert done.wait(30)
    inside.clear()
    overtime.close()
    assert all(seen)


def test_its_thread_does_nothing_between_attempts():
    asked, done = threading.Event(), threading.Event()

    def monotonic() -> float:
        asked.set()
        return 0.0

    overtime = Overtime(done.set, monotonic)
    overtime.turn()
    assert not asked.is_set()
    assert not done.is_set()
