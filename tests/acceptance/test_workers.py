"""Workers as processes: what they work off, how they stop, and what their death costs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

ALL_KINDS = """
    import os
    from transqueue import Reject, RetryLater, handler

    @handler("report.*")
    def report(transaction, context):
        return transaction.type

    @handler("report.daily")
    def daily(transaction, context):
        return "exact"

    @handler("order")
    def order(transaction, context):
        return [context.enqueue("invoice", {"order": transaction.id, "part": part}) for part in (1, 2)]

    @handler("order.failing", max_attempts=1)
    def failing(transaction, context):
        context.enqueue("invoice", {"order": transaction.id, "part": 1})
        raise OSError("after its follow-up")

    @handler("invoice", transactional=True)
    def invoice(transaction, context):
        context.db["Invoices"].insert_one({"_id": transaction.id, **transaction.data})

    @handler("later")
    def later(transaction, context):
        if not os.path.exists(transaction.data["until"]):
            raise RetryLater("not there yet", after_seconds=0.1)
        return transaction.attempt

    @handler("refusing", transactional=True)
    def refusing(transaction, context):
        context.db["Refused"].insert_one({"_id": transaction.id})
        raise Reject("insufficient funds")

    @handler("counting")
    class Counting:
        made = 0

        def __init__(self, config):
            Counting.made += 1
            self.calls = 0

        def __call__(self, transaction, context):
            self.calls += 1
            return [os.getpid(), Counting.made, self.calls]

    @handler("sums", batch=True)
    def sums(transactions, context):
        return [Reject("odd") if one.data["n"] % 2 else [one.data["n"], len(transactions)] for one in transactions]
"""

WAITING = """
    import os, pathlib, time
    from transqueue import handler

    @handler("wait", timeout_seconds=60)
    def wait(transaction, context):
        data = transaction.data
        if "started" in data:
            pathlib.Path(data["started"]).touch()
        if "go" in data:
            while not os.path.exists(data["go"]):
                time.sleep(0.01)
        time.sleep(data.get("seconds", 0))
        return os.getpid()

    @handler("effect", timeout_seconds=60, transactional=True)
    def effect(transaction, context):
        context.db["Effects"].update_one({"_id": transaction.id}, {"$inc": {"times": 1}}, upsert=True)
        context.db["Sums"].update_one({"_id": int(transaction.id) % 30}, {"$inc": {"value": 1}}, upsert=True)
        return wait(transaction, context)
"""


@pytest.fixture(scope="module")
def busy(make_site: Callable[[], Any]) -> Iterator[Any]:
    """A site on which two workers process all kinds of handlers."""
    site = make_site()
    try:
        site.plugin("kinds", ALL_KINDS)
        site.configure(workers={"processes": 2})
        site.work()
        yield site
    finally:
        site.close()


def test_a_family_takes_every_type_below_it_but_those_claimed_exactly(busy: Any) -> None:
    ids = [*busy.enqueue("report.weekly", {}), *busy.enqueue("report.a.b", {}), *busy.enqueue("report.daily", {})]
    assert [one["result"] for one in busy.until(ids, "done")] == ["report.weekly", "report.a.b", "exact"]


def test_follow_ups_are_enqueued_with_the_completion_and_only_with_it(busy: Any) -> None:
    orders = busy.enqueue("order", {}, {})
    (failing,) = busy.enqueue("order.failing", {}, max_attempts=1)
    done = busy.until(orders, "done")
    invoices = [id for one in done for id in one["result"]]
    assert len(set(invoices)) == 4
    busy.until(invoices, "done")
    busy.until([failing], "dead")
    expected = [
        (invoice, order["_id"], part) for order in done for part, invoice in enumerate(order["result"], start=1)
    ]
    written = busy.database["Invoices"].find()
    assert sorted((one["_id"], one["order"], one["part"]) for one in written) == sorted(expected)


def test_a_handler_that_asks_for_later_is_charged_nothing_until_it_is_through(busy: Any) -> None:
    (id,) = busy.enqueue("later", {"until": busy.path("later")}, max_attempts=1)
    busy.wait_until(lambda: len(busy.transaction(id)["history"]) >= 3, message="it has asked for later three times")
    assert busy.transaction(id)["attempts"] == 0
    (busy.folder / "later").touch()
    (done,) = busy.until([id], "done")
    assert (done["result"], done["attempts"]) == (1, 1)


def test_a_rejection_ends_at_once_and_discards_what_the_handler_wrote(busy: Any) -> None:
    for one in busy.until(busy.enqueue("refusing", {}, {}), "rejected"):
        assert (one["attempts"], one["error"]["message"]) == (1, "insufficient funds")
    assert busy.database["Refused"].count_documents({}) == 0


def test_a_class_is_made_once_per_worker(busy: Any) -> None:
    calls: dict[int, list[int]] = {}
    for one in busy.until(busy.enqueue("counting", *[{}] * 200), "done"):
        pid, made, call = one["result"]
        assert made == 1
        calls.setdefault(pid, []).append(call)
    assert 1 <= len(calls) <= 2
    for numbers in calls.values():
        assert sorted(numbers) == list(range(1, len(numbers) + 1))


def test_a_batch_handler_gets_groups_and_each_member_ends_by_its_own_entry(busy: Any) -> None:
    ids = busy.enqueue("sums", *({"n": n} for n in range(100)))
    ended = busy.until(ids)
    assert [one["state"] for one in ended] == ["done", "rejected"] * 50
    assert [one["result"][0] for one in ended[::2]] == list(range(0, 100, 2))
    assert max(one["result"][1] for one in ended[::2]) > 1


# Stopping


def test_a_stop_lets_the_running_handler_end_and_gives_the_rest_back(site: Any) -> None:
    site.plugin("waiting", WAITING)
    running = site.work()
    site.until(site.enqueue("wait", *[{}] * 30), "done")  # now the worker leases many at once
    first = {"started": site.path("started"), "seconds": 0.6}
    ids = site.enqueue("wait", first, *[{}] * 20, after_seconds=0.5)  # so all are found at once, none is heard before
    site.wait_until(lambda: site.has("started"), message="the handler runs")
    assert site.count(ids, "running") > 1
    assert running.stop() == 0
    running.leaves_nothing()
    ended, *others = site.transactions(ids)
    assert (ended["state"], ended["attempts"]) == ("done", 1)
    for one in others:
        assert (one["state"], one["attempts"], one["history"], "lease" in one) == ("queued", 0, [], False)


def test_a_handler_that_does_not_end_within_stop_seconds_is_given_back_uncharged(site: Any) -> None:
    site.plugin("waiting", WAITING)
    site.configure(workers={"stop_seconds": 1})
    (id,) = site.enqueue("wait", {"started": site.path("started"), "seconds": 60})
    running = site.work()
    site.wait_until(lambda: site.has("started"), message="the handler runs")
    began = time.monotonic()
    assert running.stop() == 0
    assert 1 <= time.monotonic() - began < 20
    running.leaves_nothing()
    back = site.transaction(id)
    assert (back["state"], back["attempts"], back["crashes"], "lease" in back) == ("queued", 0, 0, False)


def test_what_is_leased_beside_one_that_hangs_does_not_wait_for_it(site: Any) -> None:
    site.plugin("waiting", WAITING)
    site.configure(workers={"processes": 2})
    site.work()
    site.until(site.enqueue("wait", *[{}] * 60), "done")  # now the workers lease many at once
    go = site.path("go")
    ids = site.enqueue("wait", *[{}] * 10, {"go": go}, *[{}] * 40)
    hanging = ids.pop(10)
    site.until(ids, "done")
    assert site.transaction(hanging)["state"] == "running"
    (site.folder / "go").touch()
    site.until([hanging], "done")


# Dying


def test_what_a_killed_worker_held_is_back_within_a_second_and_only_what_it_ran_is_charged(site: Any) -> None:
    site.plugin("waiting", WAITING)
    running = site.work()
    site.until(site.enqueue("wait", *[{}] * 30), "done")
    ran, *others = site.enqueue("wait", {"started": site.path("started"), "go": site.path("go")}, *[{}] * 20)
    site.wait_until(lambda: site.has("started"), message="the handler runs")
    held = site.count(others, "running")
    (worker,) = running.workers()
    killed_at = time.monotonic()
    os.kill(worker, signal.SIGKILL)
    site.wait_until(lambda: site.count([ran, *others], "running") == 0, timeout=1, message="all are back")
    print(f"{held + 1} transactions back {(time.monotonic() - killed_at) * 1000:.0f} ms after their worker was killed")
    charged = site.transaction(ran)
    assert (charged["state"], charged["attempts"], charged["crashes"]) == ("queued", 1, 1)
    assert "killed by SIGKILL" in charged["error"]["message"]
    (site.folder / "go").touch()
    for one in site.until(others, "done"):
        assert (one["attempts"], one["crashes"], len(one["history"])) == (1, 0, 1)
    (done,) = site.until([ran], "done", hurry=True)
    assert (done["attempts"], done["crashes"]) == (2, 1)


def test_effects_happen_once_while_workers_are_killed_again_and_again(site: Any) -> None:
    site.plugin("waiting", WAITING)
    site.configure(workers={"processes": 4})
    ids = site.enqueue("effect", *[{"seconds": 0.01}] * 700)
    running = site.work()
    for kills in range(20):
        _kill_one_that_runs(site, running, ids, done=12 * kills)
    print(f"{site.count(ids, 'done')} of 700 done after 20 kills")
    assert site.count(ids, "done") < 700
    ended = site.until(ids, "done", timeout=40, hurry=True)
    assert [one["times"] for one in site.database["Effects"].find()] == [1] * 700
    assert sum(one["value"] for one in site.database["Sums"].find()) == 700
    assert 1 <= sum(one["crashes"] for one in ended) <= 20
    assert len(running.events("worker.spawned")) <= 4 + 20


def test_a_stopped_worker_is_dead_when_its_lease_lapses_and_another_host_does_its_work_once(site: Any) -> None:
    site.plugin("waiting", WAITING)
    ids = site.enqueue("effect", {"started": site.path("started"), "go": site.path("go"), "seconds": 0})
    stopped = site.work()
    site.wait_until(lambda: site.has("started"), message="the handler runs")
    (worker,) = stopped.workers()
    stopped.signal_all(signal.SIGSTOP)
    site.wait_until(lambda: psutil.Process(worker).status() == psutil.STATUS_STOPPED, message="it is stopped")
    (site.folder / "go").touch()
    other = site.work()
    site.wait_until(lambda: not stopped.workers(), timeout=6, message="its alarm has killed it")
    assert site.count(ids, "running") == 1  # nobody had it before the worker was dead
    (done,) = site.until(ids, "done", timeout=15)
    assert done["result"] == other.workers()[0]
    assert (done["attempts"], done["crashes"]) == (1, 0)
    stopped.signal_all(signal.SIGCONT)
    stopped.until_ready(2)  # the one that was stopped goes on with a new worker
    assert stopped.stop() == 0
    assert [one["times"] for one in site.database["Effects"].find()] == [1]
    assert other.stop() == 0


def _kill_one_that_runs(site: Any, running: Any, ids: list[str], *, done: int) -> None:
    """Kill a worker in the middle of its work as soon as so many are done."""
    site.wait_until(lambda: site.count(ids, "done") >= done, timeout=20, message=f"{done} are done")
    worker = site.wait_until(lambda: _one_that_runs(site, running), message="a worker runs a handler")
    os.kill(worker, signal.SIGKILL)
    site.wait_until(lambda: worker not in running.workers(), message="it is dead")


def _one_that_runs(site: Any, running: Any) -> int | None:
    """The pid of a worker that is running a handler."""
    holders = site.database["Q"].distinct("lease.worker", {"state": "running"})
    rows = site.database["Workers"].find({"_id": {"$in": holders}, "ended_at": None})
    living = set(running.workers())
    return next((row["pid"] for row in rows if row["pid"] in living), None)


KEYED = """
    import random
    from transqueue import handler

    @handler("step", ordering_key="account", transactional=True, backoff_seconds=(0.1, 0.2), max_attempts=20)
    def step(transaction, context):
        data = transaction.data
        context.db["Steps"].update_one({"_id": data["account"]}, {"$push": {"done": data["n"]}}, upsert=True)
        if random.random() < 0.1:
            raise OSError("now and then")
"""


def test_each_key_is_processed_in_the_order_accepted_through_retries_and_killed_workers(site: Any) -> None:
    site.plugin("steps", KEYED)
    running = site.up()
    steps = [{"account": f"account-{n % 5}", "n": n} for n in range(200)]
    batch = {"transactions": [{"type": "step", "data": step} for step in steps]}
    status, body, _ = site.ask("POST", "/api/data/batch", batch)
    assert status == 200
    ids = [result["data"]["transaction_id"] for result in body["data"]["results"]]
    for done in (40, 80, 120):
        site.wait_until(lambda done=done: site.count(ids, "done") >= done, timeout=60)
        os.kill(running.workers()[0], signal.SIGKILL)
    site.until(ids, "done", timeout=90)
    told = {row["_id"]: row["done"] for row in site.database["Steps"].find()}
    assert told == {f"account-{a}": [n for n in range(200) if n % 5 == a] for a in range(5)}
