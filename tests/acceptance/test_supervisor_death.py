"""The supervisor dies without a word: its workers die with it, and another one finishes everything, once."""

from __future__ import annotations

import os
import signal
import time
from decimal import Decimal
from typing import Any

DEPOSITS = 2000
ACCOUNTS = 50
HOLDING = """
    import os, pathlib, time
    from transqueue import handler

    @handler("hold", transactional=True)
    def hold(transaction, context):
        context.db["Held"].insert_one({"_id": transaction.id})
        pathlib.Path(transaction.data["started"]).touch()
        while not os.path.exists(transaction.data["go"]):
            time.sleep(0.01)
"""


def test_a_killed_supervisor_takes_its_workers_along_and_the_next_finishes_everything_once(site: Any) -> None:
    site.enable("ledger")
    site.plugin("holding", HOLDING)
    site.configure(workers={"processes": 2})
    (held,) = site.enqueue("hold", {"started": site.path("started"), "go": site.path("go")})
    ids = site.enqueue("deposit", *({"username": f"user{n % ACCOUNTS}", "value": 1.25} for n in range(DEPOSITS)))
    first = site.work()
    site.wait_until(lambda: site.count(ids, "done") >= 50 and site.has("started"), message="some are done, one runs")
    workers = first.workers()
    assert len(workers) == 2
    killed_at = time.monotonic()
    first.process.kill()
    site.wait_until(lambda: not first.workers(), timeout=1, message="no worker is alive")
    print(f"no worker alive {(time.monotonic() - killed_at) * 1000:.0f} ms after its supervisor was killed")
    first.leaves_nothing()
    assert site.count(ids, "done") < DEPOSITS
    assert site.count([held], "running") == 1
    (site.folder / "go").touch()

    lively = {"ended_at": None, "$expr": {"$gte": ["$until", "$$NOW"]}}
    site.wait_until(lambda: not site.database["Workers"].count_documents(lively), message="their leases lapse")
    second = site.work()
    for transaction in site.until([held, *ids], "done", timeout=30):
        assert transaction["attempts"] == 1
        assert transaction["crashes"] == 0  # nobody knows whose doing it was
    print(f"all done {time.monotonic() - killed_at:.1f} s after it")
    assert site.database["Held"].count_documents({}) == 1
    ledger = list(site.database["Ledger"].find())
    assert sorted(entry["_id"] for entry in ledger) == [f"{id}:0" for id in ids]
    total = sum((account["value"].to_decimal() for account in site.database["Bank"].find()), Decimal(0))
    assert total == Decimal("1.25") * DEPOSITS
    assert second.stop() == 0


def test_workers_that_are_still_starting_die_with_their_supervisor_too(site: Any) -> None:
    site.enable("greet")
    site.configure(workers={"processes": 2})
    running = site.start("work")
    site.wait_until(lambda: running.events("worker.spawned"), timeout=20, message="a worker is spawned")
    os.kill(running.process.pid, signal.SIGKILL)
    running.leaves_nothing(timeout=5)
