"""What those who look on ask of the queue: failures by cause, filtered pages, workers; and what it costs."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
from pymongo import WriteConcern

from transqueue.admin.cause import cause_of
from transqueue.admin.filter import Filter
from transqueue.admin.report import WorkerReport
from transqueue.mongodb.documents import encode
from transqueue.mongodb.listing import LOOKED_THROUGH
from transqueue.queue import Casualty
from transqueue.transaction import LANES, State, Transaction, TransactionIds

STORED = 60_000
HOUR = timedelta(hours=1)


class Stock:
    """A queue in which much has ended, and what of it is read by a look."""

    def __init__(self, queue, database):
        self.queue, self._database, self._ids = queue, database, TransactionIds()

    def fill(self):
        q = self._database["Q"].with_options(write_concern=WriteConcern("majority"))
        q.insert_many((self._document(number) for number in range(STORED)), ordered=False)

    def keys_read(self, look):
        """The index keys and documents that the server read for all commands of a look, and its plans."""
        self._database.command("profile", 2)
        look()
        self._database.command("profile", 0)
        told = {"keysExamined": 1, "docsExamined": 1, "planSummary": 1}
        read = list(self._database["system.profile"].find({"ns": f"{self._database.name}.Q"}, told))
        self._database["system.profile"].drop()
        assert read
        assert not any("COLLSCAN" in row.get("planSummary", "") for row in read)
        return sum(row["keysExamined"] for row in read), sum(row["docsExamined"] for row in read)

    def _document(self, number):
        now = self.queue.clock.now()
        type = ("deposit", "invoice.pay", "mail")[number % 3]
        given = Transaction(
            id=self._ids.next(now - timedelta(seconds=STORED - number)),
            type=type,
            data={"username": "ann"},
            created_at=now,
            due_at=now - timedelta(seconds=number % 500),
            max_attempts=8,
            lane=number % LANES,
            priority=(0, 0, 5)[number % 3],
            submitter="shop",
        )
        return encode(given) | self._end(number, type, now)

    def _end(self, number, type, now):
        if number % 100 == 7:
            return {}
        if number % 100 == 8:
            error = {"type": ("KeyError", "ValueError")[number % 200 // 100], "message": f"no account {number}"}
            finished_at = now - timedelta(seconds=number % 7200)
            return {"state": "dead", "finished_at": finished_at, "error": error, "cause": cause_of(type, error)}
        return {"state": "done", "finished_at": now}


@pytest.fixture(scope="module")
def stock(connect_heard, mongo_client):
    name = f"test_{uuid.uuid4().hex[:12]}"
    queue, _ = connect_heard(name)
    made = Stock(queue, mongo_client[name])
    made.fill()
    yield made
    queue.close()
    mongo_client.drop_database(name)


# What it costs, however much is stored


def test_causes_are_told_from_the_keys_of_the_dead_alone(stock):
    groups = stock.queue.failures.groups(recent=HOUR)
    assert sum(group.count for group in groups) == 600
    assert {group.cause for group in groups} == {
        f"{type} {error}: no account …"
        for type in ("deposit", "invoice.pay", "mail")
        for error in ("KeyError", "ValueError")
    }
    assert all(0 < group.recent < group.count and group.first_at < group.last_at for group in groups)
    keys, documents = stock.keys_read(lambda: stock.queue.failures.groups(recent=HOUR))
    assert documents == 0
    assert keys < 2 * 600 + 100


@pytest.mark.parametrize(
    ("filter", "most"),
    [
        (Filter(state=State.DEAD), 2 * 600),
        (Filter(state=State.QUEUED, type="mail"), 2 * 200),
        (Filter(cause="mail KeyError: no account …"), 2 * 200),
        (Filter(state=State.DONE), 2 * LOOKED_THROUGH + 60),
        (Filter(plugin="none"), 2 * LOOKED_THROUGH),
        (Filter(state=State.DONE, submitter="nobody"), 3 * LOOKED_THROUGH),
    ],
    ids=str,
)
def test_a_page_of_any_filter_reads_a_bounded_number_of_keys(stock, filter, most):
    keys, _ = stock.keys_read(lambda: stock.queue.listing.page(filter, after=None, limit=50))
    assert keys <= most + 10


@pytest.mark.parametrize(
    ("filter", "count"),
    [
        (Filter(state=State.DEAD), 600),
        (Filter(state=State.QUEUED, type="mail"), 200),
        (Filter(cause="deposit KeyError: no account …"), 100),
        (Filter(type="mail", state=State.DEAD, submitter="shop"), 200),
    ],
    ids=str,
)
def test_pages_lose_no_row_and_repeat_none(stock, filter, count):
    found, after, first = [], None, True
    while first or after:
        page = stock.queue.listing.page(filter, after=after, limit=70)
        found, after, first = [*found, *page.transactions], page.next, False
    ids = [one.id for one in found]
    assert len(ids) == len(set(ids)) == count
    assert ids == sorted(ids, reverse=True)


def test_a_span_of_time_is_a_span_of_ids(stock):
    now = stock.queue.clock.now()
    span = Filter(since=now - timedelta(seconds=120), until=now - timedelta(seconds=60))
    page = stock.queue.listing.page(span, after=None, limit=200)
    assert 55 <= len(page.transactions) <= 61
    assert page.next is None


# Redriving those of one cause


def bury(desk, count, message, type="deposit"):
    given = [desk.new(type=type) for _ in range(count)]
    leased = desk.lease(*given)
    error = {"type": "ValueError", "message": message}
    for one in leased:
        settlement = desk.bury(one)
        desk.queue.settle([replace(settlement, outcome=replace(settlement.outcome, error=error))])
    return [one.id for one in given]


def test_exactly_those_of_one_cause_that_had_died_by_then_are_redriven(desk):
    wanted, other = bury(desk, 3, "no account 17"), bury(desk, 1, "no money")
    (cause,) = {group.cause for group in desk.queue.failures.groups(recent=HOUR)} - {"deposit ValueError: no money"}
    until = desk.queue.clock.now()
    later = bury(desk, 1, "no account 18")
    until = max(desk.queue.get(id).finished_at for id in wanted)
    late = desk.queue.get(later[0]).finished_at
    counted = desk.queue.failures.count(cause, until=until)
    moved = desk.queue.failures.redrive(cause, until=until, more_attempts=2, per_second=None)
    assert moved == counted == (3 if late > until else 4)
    assert {desk.queue.get(id).state for id in wanted} == {State.QUEUED}
    assert desk.queue.get(other[0]).state is State.DEAD
    assert {desk.queue.get(id).max_attempts for id in wanted} == {1 + 2}


def test_a_pace_spreads_their_due_times_in_the_order_they_died(desk):
    ids = bury(desk, 4, "no account")
    cause = desk.queue.failures.groups(recent=HOUR)[0].cause
    moved = desk.queue.failures.redrive(cause, until=desk.queue.clock.now(), more_attempts=1, per_second=2)
    due = [desk.queue.get(id).due_at for id in ids]
    assert moved == 4
    assert sorted(due) == due
    assert [(one - due[0]).total_seconds() for one in due] == [0, 0.5, 1.0, 1.5]


def test_one_redriven_has_no_cause_any_more_and_leaves_its_group(desk):
    bury(desk, 2, "no account")
    cause = desk.queue.failures.groups(recent=HOUR)[0].cause
    first = desk.queue.listing.page(Filter(cause=cause), after=None, limit=1).transactions[0]
    assert desk.queue.redrive(first.id, more_attempts=1)
    assert desk.queue.failures.count(cause, until=desk.queue.clock.now()) == 1
    assert desk.queue.failures.redrive(cause, until=desk.queue.clock.now(), more_attempts=1, per_second=None) == 1
    assert desk.queue.failures.groups(recent=HOUR) == []


def test_keyed_ones_go_on_in_their_order_when_redriven(desk):
    keyed = {"ordering_key": "ann", "lane": 16, "plugin": None}
    from transqueue.transaction import Stamp, keyed_lane  # noqa: PLC0415

    keyed |= {"plugin": Stamp("bank", "1"), "lane": keyed_lane("bank", "ann")}
    first, second = desk.enqueue(**keyed), desk.enqueue(**keyed)
    worker = desk.worker()
    (leased,) = desk.queue.lease_in_order(worker, "bank", ["deposit"], limit=1)
    assert leased.id == first.id
    desk.queue.settle([desk.bury(leased)])
    assert desk.queue.lease_in_order(worker, "bank", ["deposit"], limit=5) == []
    cause = desk.queue.failures.groups(recent=HOUR)[0].cause
    desk.queue.failures.redrive(cause, until=desk.queue.clock.now(), more_attempts=1, per_second=None)
    together = desk.queue.lease_in_order(worker, "bank", ["deposit"], limit=5)
    assert [one.id for one in together] == [first.id, second.id]


# Attempts and workers


def test_an_attempt_in_the_history_tells_when_it_was_leased(desk):
    leased = desk.leased()
    assert leased.lease.at is not None
    desk.queue.settle([desk.complete(leased)])
    (entry,) = desk.get(leased).history
    assert entry["leased_at"] == leased.lease.at
    assert entry["leased_at"] <= entry["at"]


def test_what_a_supervisor_reports_is_told_with_its_live_worker(desk):
    worker = desk.worker()
    assert desk.queue.workers()[0].report is None
    desk.queue.report({worker: WorkerReport(doing="running", transaction="1" * 21, seconds=2.5, memory_bytes=1024)})
    (live,) = desk.queue.workers()
    assert (live.report.doing, live.report.transaction, live.report.seconds) == ("running", "1" * 21, 2.5)
    assert live.report.at >= live.started_at


def test_an_ended_worker_tells_what_it_ended_of_and_is_reported_on_no_more(desk):
    worker = desk.worker()
    desk.queue.end(worker, Casualty(ending="killed by SIGKILL"))
    desk.queue.report({worker: WorkerReport()})
    assert desk.queue.workers() == []
    (ended,) = desk.queue.ended_workers()
    assert (ended.id, ended.ending) == (worker, "killed by SIGKILL")
