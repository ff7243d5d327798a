"""A real worker is killed in each window of an attempt: the effect is there once, and the transaction says the truth.

A relay between the processes and the mongod holds the message that bounds the window. Held requests are let through
when all is over: what a dead worker had still on its way changes nothing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(240)

PAYING = """
    import pathlib, time, uuid
    from transqueue import handler

    def begin(transaction):
        pathlib.Path(transaction.data["started"]).touch()
        while not pathlib.Path(transaction.data["go"]).exists():
            time.sleep(0.01)

    @handler("pay", transactional=True)
    def pay(transaction, context):
        begin(transaction)
        context.db["Paid"].insert_one({"_id": uuid.uuid4().hex, "of": transaction.id})

    @handler("call")
    def call(transaction, context):
        begin(transaction)
        with open(transaction.data["called"], "a") as file:
            file.write("once ")
"""
DIED = "its worker died while running it (killed by SIGKILL)"

# The type, what the relay holds (in the handler: nothing), how many attempts it takes, how many crashes are charged,
# and how often it is called where that is outside MongoDB.
WINDOWS: dict[str, tuple[str, tuple[str, ...], int, int, str]] = {
    "before the lease is answered": ("pay", ("hold reply", "findAndModify", "Q"), 1, 0, ""),
    "in the handler": ("pay", (), 2, 1, ""),
    "before the fence": ("pay", ("hold request", "update", "Q"), 2, 1, ""),
    "after the fence": ("pay", ("hold reply", "update", "Q"), 2, 1, ""),
    "before the commit": ("pay", ("hold request", "commitTransaction"), 2, 1, ""),
    "after the commit": ("pay", ("hold reply", "commitTransaction"), 1, 0, ""),
    "before a settlement outside a session": ("call", ("hold request", "update", "Q"), 2, 1, "once once "),
    "after a settlement outside a session": ("call", ("hold reply", "update", "Q"), 1, 0, "once "),
}


@pytest.fixture(scope="module")
def running(make_site: Callable[[], Any], make_relay: Callable[[], Any]) -> Iterator[tuple[Any, Any, Any]]:
    """One supervisor with one worker, at the far end of a relay, for all rows."""
    site, relay = make_site(), make_relay()
    site.configure(mongodb={"uri": relay.uri}, workers={"processes": 1, "lease_seconds": 30})
    site.plugin("paying", PAYING)
    running = site.work()
    yield site, relay, running
    relay.release()
    assert running.stop() == 0
    running.leaves_nothing()
    site.close()


@pytest.mark.parametrize("window", WINDOWS)
def test_a_killed_worker_leaves_the_effect_once_and_the_truth_on_the_transaction(
    running: tuple[Any, Any, Any], window: str
) -> None:
    site, relay, supervisor = running
    type, held, attempts, crashes, calls = WINDOWS[window]
    files = {name: site.path(f"{name}-{list(WINDOWS).index(window)}") for name in ("started", "go", "called")}
    site.wait_until(supervisor.workers, timeout=30, message="a worker")
    ready = len(supervisor.events("worker.ready"))
    if "lease" in window:
        relay.on(*held)
    (id,) = site.enqueue(type, files)
    if "lease" not in window:
        site.wait_until(lambda: site.has(files["started"]), timeout=30, message="the handler runs")
        if held:
            relay.on(*held)
            (site.folder / files["go"]).touch()
    if held:
        relay.catch()
    (worker,) = supervisor.workers()
    os.kill(worker, signal.SIGKILL)
    (site.folder / files["go"]).touch()
    if "hold reply" in held:
        relay.release()
    (transaction,) = site.until([id], "done", timeout=60, hurry=True)
    relay.release()
    site.wait_until(lambda: len(supervisor.events("worker.ready")) > ready, timeout=30, message="another worker")

    assert (transaction["attempts"], transaction["crashes"]) == (attempts, crashes)
    told = [entry["error"]["message"] for entry in transaction["history"] if "error" in entry]
    assert told == [DIED] * crashes
    assert site.database["Paid"].count_documents({"of": id}) == (type == "pay")
    if calls:
        assert Path(files["called"]).read_text() == calls
    assert site.transaction(id) == transaction
