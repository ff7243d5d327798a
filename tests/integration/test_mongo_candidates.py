"""Candidates for a lease: read on from where the last lease ended, by priority and by age, from the index alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from transqueue.mongodb import candidates as candidates_module
from transqueue.mongodb.candidates import LONG
from transqueue.queue import Casualty

MANY = 3 * LONG


@pytest.fixture
def worker(desk):
    return desk.worker()


@pytest.fixture
def backlog(desk):
    """So many in one lane, one due after the other; their ids."""
    due = desk.at(-1000)
    new = [desk.new(lane=3, due_at=due + timedelta(milliseconds=number)) for number in range(MANY)]
    desk.queue.enqueue(new)
    return [one.id for one in new]


@pytest.fixture
def unhurried(monkeypatch):
    """Nothing is read from the start again because time has passed."""
    monkeypatch.setattr(candidates_module, "FROM_START_SECONDS", 3600.0)


@pytest.fixture
def lease(desk, worker):
    def take(limit=LONG, **options):
        return [one.id for one in desk.queue.lease(worker, "deposit", limit=limit, **options)]

    return take


@pytest.mark.usefixtures("unhurried", "backlog")
def test_the_keys_of_what_was_leased_are_not_walked_again(database, lease):
    database.command("profile", 2)
    try:
        for _ in range(3):
            assert len(lease()) == LONG
    finally:
        database.command("profile", 0)
    reads = database["system.profile"].find({"command.find": "Q", "command.sort.due_at": 1, "nreturned": LONG})
    walked = [row["keysExamined"] for row in reads.sort("ts", 1) if "$gte" in row["command"]["filter"]["due_at"]]
    assert len(walked) == 2
    assert max(walked) < 2 * LONG


def test_what_is_read_from_the_start_in_vain_is_not_read_again(connect_heard, mongo_database, desk, worker):
    queue, sent = connect_heard(mongo_database)
    try:
        looked = sent.during(lambda: queue.lease(worker, "deposit", limit=1))
    finally:
        queue.close()
    assert [name for name, _ in looked] == ["find"]


@pytest.mark.usefixtures("unhurried")
def test_what_is_put_back_before_that_place_is_found_when_nothing_else_is(desk, worker, backlog, lease):
    first = lease()
    assert first == backlog[:LONG]
    desk.queue.end(worker, Casualty())
    other = desk.worker()
    rest = [one.id for one in desk.queue.lease(other, "deposit", limit=MANY)]
    assert rest == backlog[LONG - 1 :], "from the last one leased on"
    assert [one.id for one in desk.queue.lease(other, "deposit", limit=MANY)] == first[:-1]


@pytest.mark.usefixtures("backlog")
def test_what_is_put_back_is_found_in_time_though_there_is_more(monkeypatch, desk, worker, lease):
    first = lease()
    desk.queue.end(worker, Casualty())
    monkeypatch.setattr(candidates_module, "FROM_START_SECONDS", 0.0)
    monkeypatch.setattr(candidates_module, "SHARE", 0.0)
    assert [one.id for one in desk.queue.lease(desk.worker(), "deposit", limit=LONG)] == first


@pytest.mark.usefixtures("unhurried", "backlog")
def test_a_higher_priority_goes_first_wherever_the_last_lease_ended(desk, lease):
    lease()
    urgent = desk.enqueue(lane=3, priority=5)
    assert lease()[0] == urgent.id


@pytest.mark.usefixtures("unhurried")
def test_what_a_lower_priority_left_behind_is_not_passed_over(desk, backlog, lease):
    low = desk.enqueue(lane=3, priority=-5, due_at=desk.at(-2000))
    assert [*lease(), *lease(), *lease(), *lease()] == [*backlog, low.id]


def test_by_age_the_longest_due_goes_first_whatever_its_priority(desk, lease):
    low = desk.enqueue(lane=3, priority=-10, due_at=desk.at(-60))
    high = [desk.enqueue(lane=3, priority=10).id for _ in range(3)]
    assert lease(2, by_age=True, lanes=[2, 3]) == [low.id, high[0]]
    assert lease(2) == high[1:]


def test_by_age_nothing_is_sorted_in_memory(database, desk, lease):
    for lane in range(16):
        desk.enqueue(lane=lane, priority=lane % 5)
    database.command("profile", 2)
    try:
        taken = [lease(8, by_age=True) for _ in range(4)]
    finally:
        database.command("profile", 0)
    assert len({one for leased in taken for one in leased}) == 16
    assert database["system.profile"].count_documents({"command.find": "Q"}) > 0
    assert database["system.profile"].count_documents({"command.find": "Q", "hasSortStage": True}) == 0


def test_what_will_be_due_next_is_told_for_all_types_and_priorities(desk):
    queue = desk.queue
    assert queue.seconds_to_next(["deposit", "pay"]) is None
    desk.enqueue()
    assert queue.seconds_to_next(["deposit", "pay"]) is None
    desk.enqueue(due_at=desk.at(300), priority=3)
    desk.enqueue(due_at=desk.at(200), priority=-3, lane=9)
    desk.enqueue(due_at=desk.at(100), type="pay", lane=17)
    assert queue.seconds_to_next(["deposit"]) == pytest.approx(200, abs=20)
    assert queue.seconds_to_next(["deposit", "pay"]) == pytest.approx(100, abs=20)
