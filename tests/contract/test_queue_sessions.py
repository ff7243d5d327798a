"""The contract of sessions: effects and settlements commit together, or nothing does."""

from __future__ import annotations

from threading import Thread

import pytest

from transqueue.queue import Casualty
from transqueue.transaction import State


class Trouble(Exception):
    pass


def balance(queue):
    """What ann has in the bank: none when no effect was kept."""
    account = queue.database["Bank"].find_one({"_id": "ann"})
    return account and account["value"]


def credit(effects, value=5):
    effects.db["Bank"].update_one({"_id": "ann"}, {"$inc": {"value": value}}, upsert=True)


def perform(*settlements):
    """What credits ann once for each of these settlements."""

    def run(effects):
        for _ in settlements:
            credit(effects)
        return settlements

    return run


def settle(queue, *settlements):
    return queue.settle_in_session(perform(*settlements), timeout_seconds=10)


def test_effects_and_completion_are_written_together(queue, bench):
    held = bench.leased()
    assert settle(queue, bench.complete(held, {"balance": 5})) == frozenset()
    done = bench.get(held)
    assert done.state is State.DONE
    assert done.result == {"balance": 5}
    assert done.ended_by == held.lease.token
    assert done.attempts == 1
    assert balance(queue) == 5


def test_several_are_settled_in_one_session(queue, bench):
    for _ in range(3):
        bench.enqueue()
    one, two, three = bench.lease()
    assert settle(queue, bench.complete(one, 1), bench.complete(two, 2), bench.retry(three, 60)) == frozenset()
    assert [bench.state(held) for held in (one, two, three)] == [State.DONE, State.DONE, State.QUEUED]
    assert balance(queue) == 15


def test_each_session_sees_the_effects_of_those_before_it(queue, bench):
    for _ in range(3):
        settle(queue, bench.complete(bench.leased()))
    assert balance(queue) == 15


def test_a_session_reads_its_own_effects(queue, bench):
    held, seen = bench.leased(), []

    def run(effects):
        credit(effects)
        seen.append(effects.db["Bank"].find_one({"_id": "ann"})["value"])
        return [bench.complete(held)]

    queue.settle_in_session(run, timeout_seconds=10)
    assert seen[-1] == 5


def test_effects_are_not_seen_before_they_are_committed(queue, bench):
    held, seen = bench.leased(), []

    def run(effects):
        credit(effects)
        looking = Thread(target=lambda: seen.append((balance(queue), bench.state(held))))
        looking.start()
        looking.join()
        return [bench.complete(held)]

    queue.settle_in_session(run, timeout_seconds=10)
    assert seen[-1] == (None, State.RUNNING)
    assert balance(queue) == 5


def test_an_exception_discards_everything_and_is_raised_on(queue, bench):
    held = bench.leased()
    trouble = Trouble("no")

    def run(effects):
        credit(effects)
        effects.db["Bank"].insert_one({"_id": "bob", "value": 1})
        raise trouble

    with pytest.raises(Trouble) as raised:
        queue.settle_in_session(run, timeout_seconds=10)
    assert raised.value is trouble
    assert queue.database["Bank"].count_documents({}) == 0
    assert bench.get(held) == held


def test_after_an_exception_the_next_session_is_clean(queue, bench):
    held = bench.leased()

    def run(effects):
        credit(effects, 100)
        raise Trouble

    with pytest.raises(Trouble):
        queue.settle_in_session(run, timeout_seconds=10)
    assert settle(queue, bench.complete(held)) == frozenset()
    assert balance(queue) == 5


def test_the_token_of_an_old_lease_writes_no_effects(queue, bench):
    old = bench.leased()
    queue.release([old])
    (present,) = bench.lease()
    assert settle(queue, bench.complete(old)) == {old.id}
    assert balance(queue) is None
    assert bench.get(old) == present


def test_one_lost_keeps_everything_from_being_written_and_only_it_is_named(queue, bench):
    for _ in range(3):
        bench.enqueue()
    one, two, three = bench.lease()
    queue.release([two])
    follow_up = bench.new(type="mail")
    settlements = [bench.complete(one, follow_ups=(follow_up,)), bench.complete(two), bench.complete(three)]
    assert settle(queue, *settlements) == {two.id}
    assert balance(queue) is None
    assert queue.get(follow_up.id) is None
    assert [bench.get(held) for held in (one, three)] == [one, three]
    assert settle(queue, settlements[0], settlements[2]) == frozenset()
    assert balance(queue) == 10
    assert queue.get(follow_up.id) == follow_up


def test_a_repeated_session_leaves_its_effects_once(queue, bench):
    settlement = bench.complete(bench.leased())
    assert settle(queue, settlement) == frozenset()
    done = bench.get(settlement.transaction)
    assert settle(queue, settlement) == {settlement.transaction.id}
    assert balance(queue) == 5
    assert bench.get(settlement.transaction) == done


def test_a_worker_ended_while_its_session_is_open_writes_nothing(queue, bench):
    worker = bench.worker()
    held = bench.leased(worker)
    runs = []

    def run(effects):
        credit(effects)
        if not runs:
            ending = Thread(target=lambda: queue.end(worker, Casualty(running=held.id)))
            ending.start()
            ending.join()
        runs.append(1)
        return [bench.complete(held)]

    assert queue.settle_in_session(run, timeout_seconds=10) == {held.id}
    assert balance(queue) is None
    assert bench.state(held) is State.QUEUED
    assert bench.get(held).crashes == 1


def test_follow_ups_are_enqueued_in_the_session(queue, bench):
    follow_up = bench.new(type="mail")
    assert settle(queue, bench.complete(bench.leased(), follow_ups=(follow_up,))) == frozenset()
    assert queue.get(follow_up.id) == follow_up
    assert balance(queue) == 5


def test_writes_are_counted_and_reads_are_not(queue, bench):
    held, counted = bench.leased(), []

    def run(effects):
        counted.clear()
        bank = effects.db["Bank"]
        for act in (
            lambda: None,
            lambda: bank.find_one({"_id": "ann"}),
            lambda: bank.insert_one({"_id": "ann", "value": 1}),
            lambda: bank.update_one({"_id": "ann"}, {"$inc": {"value": 4}}),
            lambda: list(bank.find()),
            lambda: bank.find_one_and_update({"_id": "ann"}, {"$set": {"open": True}}),
            lambda: bank.update_many({}, {"$set": {"open": False}}),
        ):
            act()
            counted.append(effects.writes)
        assert not effects.broken
        assert not effects.is_conflict(Trouble())
        return [bench.complete(held)]

    queue.settle_in_session(run, timeout_seconds=10)
    assert counted == [0, 0, 1, 2, 2, 3, 4]
    assert balance(queue) == 5


def test_every_kind_of_write_is_discarded_with_its_session(queue, bench):
    bank = queue.database["Bank"]
    bank.insert_many([{"_id": "ann", "value": 1}, {"_id": "bob", "value": 2}])
    before = list(bank.find().sort("_id", 1))

    def run(effects):
        effects.db["Bank"].delete_one({"_id": "ann"})
        effects.db["Bank"].replace_one({"_id": "bob"}, {"value": 9})
        effects.db["Ledger"].insert_many([{"_id": 1}, {"_id": 2}])
        raise Trouble

    with pytest.raises(Trouble):
        queue.settle_in_session(run, timeout_seconds=10)
    assert list(bank.find().sort("_id", 1)) == before
    assert queue.database["Ledger"].count_documents({}) == 0
