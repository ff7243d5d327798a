"""What operators say and ask, of any queue: paused types, the audit, why something waits, and how much does."""

from __future__ import annotations

from datetime import timedelta

from transqueue.admin.explain import explain
from transqueue.operator import Operator
from transqueue.queue import WorkerRecord
from transqueue.transaction import Stamp, State

KEYED = {"ordering_key": "ann", "plugin": Stamp("bank", "1"), "lane": 20}


def codes(queue, transaction):
    return [one.code for one in explain(queue.circumstances(transaction.id)).reasons]


def test_a_pause_is_kept_with_who_when_and_why_until_it_is_taken_back(queue):
    assert queue.paused() == {}
    assert queue.pause("deposit", by="cli:ann", reason="maintenance")
    pause = queue.paused()["deposit"]
    assert (pause.by, pause.reason) == ("cli:ann", "maintenance")
    assert abs(queue.clock.now() - pause.at) < timedelta(seconds=60)
    assert queue.resume("deposit")
    assert queue.paused() == {}


def test_the_first_word_stands(queue):
    assert queue.pause("deposit", by="local", reason="first")
    assert not queue.pause("deposit", by="cli:bob", reason="second")
    assert queue.paused()["deposit"].reason == "first"
    assert not queue.resume("transfer")


def test_what_operators_do_is_in_the_audit_and_what_changed_nothing_is_not(queue, bench):
    operator = Operator(queue, "key:abc")
    one = bench.enqueue()
    assert operator.cancel(one.id)
    assert not operator.cancel(one.id)
    assert operator.pause("deposit", "why")
    assert not operator.pause("deposit")
    assert operator.resume("deposit")
    assert not operator.retry(one.id, more_attempts=3)
    entries = queue.audit.page().entries
    assert [(one.action, one.by) for one in entries] == [
        ("type.resumed", "key:abc"),
        ("type.paused", "key:abc"),
        ("transaction.cancelled", "key:abc"),
    ]
    assert (entries[2].target, entries[1].target, dict(entries[1].facts)) == (one.id, "deposit", {"reason": "why"})


def test_the_audit_is_paged_without_loss(queue):
    for number in range(7):
        queue.audit.record("local", "thing.done", str(number), {"number": number})
    found, after = [], None
    while True:
        page = queue.audit.page(after=after, limit=3)
        found += [entry.target for entry in page.entries]
        after = page.next
        if after is None:
            break
    assert found == ["6", "5", "4", "3", "2", "1", "0"]


def test_facts_are_bounded(queue):
    facts = {"text": "x" * 10_000, "huge": 2**70, "list": list(range(100)), **{f"n{i}": i for i in range(50)}}
    queue.audit.record("local", "thing.done", "t" * 1000, facts)
    (entry,) = queue.audit.page().entries
    assert len(entry.facts) == 20
    assert len(entry.facts["text"]) == 500
    assert entry.facts["huge"] == str(2**70)
    assert len(entry.facts["list"]) == 20


def test_there_is_nothing_to_explain_of_what_is_not_there(queue):
    assert queue.circumstances("1" * 21) is None


def test_one_that_is_due_is_explained_by_workers_and_those_before_it(queue, bench):
    first, second = bench.enqueue(due_at=bench.at(-9)), bench.enqueue(due_at=bench.at(-5))
    third = bench.enqueue(priority=3, due_at=bench.at(-1))
    assert codes(queue, first) == ["no_worker"]
    bench.worker()
    assert codes(queue, first) == ["turn"]
    assert [queue.circumstances(one.id).position for one in (third, first, second)] == [0, 1, 2]


def test_workers_that_say_what_they_process_tell_what_is_parked(queue, bench):
    one, two = bench.enqueue(type="deposit"), bench.enqueue(type="invoice.pay")
    queue.begin(WorkerRecord(id="w", host="here", pid=1, slot=0, types=("invoice.*",)), lease_seconds=60)
    assert codes(queue, one) == ["parked"]
    assert codes(queue, two) == ["turn"]
    (worker,) = queue.workers()
    assert (list(worker.types), dict(worker.broken)) == (["invoice.*"], {})


def test_a_paused_one_and_one_that_waits_for_its_time_are_explained(queue, bench):
    bench.worker()
    queue.pause("dep.*", by="local")
    paused, later = bench.enqueue(type="dep.osit"), bench.enqueue(due_at=bench.at(100))
    assert codes(queue, paused) == ["type_paused"]
    assert codes(queue, later) == ["not_due"]


def test_one_behind_another_of_its_key_names_the_first_of_it(queue, bench):
    worker = bench.worker()
    first, second, third = (bench.enqueue(**KEYED) for _ in range(3))
    assert codes(queue, first) == ["turn"]
    assert queue.circumstances(third.id).ahead.id == first.id
    assert codes(queue, third) == ["behind"]
    (leased,) = queue.lease_in_order(worker, "bank", ["deposit"], limit=1)
    assert leased.id == first.id
    assert queue.circumstances(second.id).ahead.state is State.RUNNING


def test_a_running_one_is_explained_by_its_worker(queue, bench):
    worker = bench.worker()
    one = bench.enqueue()
    (leased,) = bench.lease(worker)
    assert leased.lease.at is not None
    assert codes(queue, one) == ["running"]
    holder = queue.circumstances(one.id).holder
    assert (holder.id, holder.host, holder.live) == (worker, "here", True)


def test_how_much_waits_is_told_by_type(queue, bench):
    bench.enqueue(due_at=bench.at(-60))
    bench.enqueue(due_at=bench.at(-30))
    bench.enqueue(due_at=bench.at(60))
    bench.enqueue(type="other", due_at=bench.at(60))
    bench.enqueue(type="third")
    bench.lease(type="third")
    depths = queue.measures.depths().types
    deposit = depths["deposit"]
    assert (deposit.queued, deposit.due, deposit.running, deposit.dead) == (3, 2, 0, 0)
    assert 55 <= (queue.clock.now() - deposit.oldest_due_at).total_seconds() <= 90
    assert (depths["other"].queued, depths["other"].due, depths["other"].oldest_due_at) == (1, 0, None)
    assert (depths["third"].queued, depths["third"].running) == (0, 1)


def test_figures_added_by_a_process_are_told_as_totals_and_by_the_minute(queue):
    since = queue.clock.now() - timedelta(minutes=2)
    queue.measures.tally.add("deposit", "done", 3)
    queue.measures.tally.observe("deposit", 0.02, 0.2, histogram="run")
    getattr(queue.measures, "flush", lambda: None)()
    queue.measures.tally.add("deposit", "done")
    queue.measures.tally.add("other", "done")
    getattr(queue.measures, "flush", lambda: None)()
    totals = queue.measures.totals()
    assert (totals["deposit"]["done"], totals["other"]["done"], totals["*"]["done"]) == (4, 1, 5)
    points = queue.measures.series("deposit", since, queue.clock.now() + timedelta(minutes=1), 60)
    assert sum(point.count("done") for point in points) == 4
    everything = queue.measures.series(None, since, queue.clock.now() + timedelta(minutes=1), 60)
    assert sum(point.count("done") for point in everything) == 5
    assert sum(point.figures.get("run.sum", 0) for point in everything) > 0.2
