"""Workers that stand still for longer than their lease, and wake up when others have finished: they change nothing.

The kernel's alarm would end them while they stand still. It is switched off here, so that what refuses their writes is
the fence alone. The same of single writes that arrive late is in `tests/integration/test_mongo_leases.py`.
"""

from __future__ import annotations

import os
import signal
import textwrap
from typing import Any

LEASE_SECONDS = 5  # no configuration may have less
WITHOUT_ALARM = """
    import os

    if os.environ.get("WITHOUT_ALARM"):
        from transqueue.process.lifeline import LeaseAlarm

        LeaseAlarm.set = lambda _self, _moment: None
"""
PAYING = """
    import pathlib, time, uuid
    from transqueue import handler

    def wait(transaction, context):
        pathlib.Path(transaction.data["started"]).touch()
        while not pathlib.Path(transaction.data["go"]).exists():
            time.sleep(0.01)

    def pay(transaction, context):
        context.db["Paid"].insert_one({"_id": uuid.uuid4().hex, "of": transaction.id})

    @handler("before", transactional=True, timeout_seconds=600)
    def before(transaction, context):
        wait(transaction, context)
        pay(transaction, context)

    @handler("inside", transactional=True, timeout_seconds=600)
    def inside(transaction, context):
        pay(transaction, context)
        wait(transaction, context)

    @handler("outside", timeout_seconds=600)
    def outside(transaction, context):
        wait(transaction, context)
        return "done by somebody"
"""
# Where each stands still: before it writes in its session, in its open session after that, and outside a session.
WINDOWS = ("before", "inside", "outside")


def test_workers_paused_past_their_lease_wake_up_to_find_every_write_refused(site: Any) -> None:
    (site.packages / "sitecustomize.py").write_text(textwrap.dedent(WITHOUT_ALARM))
    site.plugin("paying", PAYING)
    site.configure(workers={"processes": len(WINDOWS), "lease_seconds": LEASE_SECONDS})
    paused = site.work(WITHOUT_ALARM="1")
    ids = {window: site.enqueue(window, {"started": site.path(window), "go": site.path("go")})[0] for window in WINDOWS}
    site.wait_until(lambda: all(site.has(window) for window in WINDOWS), timeout=30, message="all of them run")
    zombies = paused.workers()
    paused.signal_all(signal.SIGSTOP)

    (site.folder / "go").touch()
    site.configure(workers={"processes": 1})
    other = site.work()
    site.until(list(ids.values()), "done", timeout=60)
    before = site.transactions(list(ids.values()))

    for zombie in zombies:  # and not their supervisor, which would end them for having lost their leases
        os.kill(zombie, signal.SIGCONT)
    lost = lambda: {event["transaction"] for event in paused.events("lease.lost")}  # noqa: E731
    site.wait_until(lambda: lost() == set(ids.values()), timeout=60, message="each of them finds its lease lost")
    assert site.transactions(list(ids.values())) == before
    assert {one["attempts"]: len(one["history"]) for one in before} == {1: 1}
    for window in ("before", "inside"):
        assert site.database["Paid"].count_documents({"of": ids[window]}) == 1
    assert other.stop() == 0
    paused.kill()
