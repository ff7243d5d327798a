"""Async handlers in real workers: hundreds wait at once, and one that misbehaves is told from the others."""

from __future__ import annotations

import time
from typing import Any

import pytest

WAITING = """
    import asyncio, time
    from transqueue import handler

    @handler("wait")
    async def wait(transaction, context):
        await asyncio.sleep(transaction.data["seconds"])
        return "waited"

    @handler("choke", timeout_seconds=1, max_attempts=1)
    async def choke(transaction, context):
        time.sleep(1000)  # holds up the event loop, so no cancellation can reach it

    @handler("quick")
    def quick(transaction, context):
        return "well"
"""


@pytest.fixture
def waiting(site: Any) -> Any:
    site.plugin("waiting", WAITING)
    site.configure(workers={"processes": 2})
    return site


def test_hundreds_of_waits_take_seconds(waiting: Any) -> None:
    ids = waiting.enqueue("wait", *[{"seconds": 1}] * 400)
    running = waiting.work()
    began = time.monotonic()
    waiting.until(ids, "done", timeout=60)  # one after the other, on two workers: 200 seconds
    print(f"400 waits of 1 s on two workers: {time.monotonic() - began:.1f} s")
    assert {one["attempts"] for one in waiting.transactions(ids)} == {1}
    assert running.stop() == 0


def test_sync_handlers_do_not_wait_for_async_ones(waiting: Any) -> None:
    slow = waiting.enqueue("wait", *[{"seconds": 30}] * 10)
    running = waiting.work()
    waiting.until(slow, "running")
    quick = waiting.enqueue("quick", *[{}] * 5)
    waiting.until(quick, "done", timeout=15)
    assert waiting.count(slow, "running") == 10
    running.kill()


def test_one_that_holds_up_the_loop_is_charged_and_the_others_are_not(waiting: Any) -> None:
    waiting.configure(workers={"processes": 1})
    others = waiting.enqueue("wait", *[{"seconds": 2}] * 5)
    (bad,) = waiting.enqueue("choke", {})
    running = waiting.work()
    (dead,) = waiting.until([bad], "dead", timeout=100, hurry=True)
    assert "did not end within 1 s" in dead["error"]["message"]
    well = waiting.until(others, "done", timeout=60)
    assert {(one["attempts"], one["crashes"]) for one in well} == {(1, 0)}
    assert running.stop() == 0
