"""A pause is obeyed by the workers of every host: how late the last handler starts after the word was answered."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

SWIFT = """
    import os, time
    from transqueue import handler

    @handler("swift")
    def swift(transaction, context):
        with open(f"{transaction.data['starts']}.{os.getppid()}", "a") as file:
            file.write(f"{time.monotonic()}\\n")
        time.sleep(0.005)
"""
MANY = 3000  # so many that they would keep four workers busy for longer than anybody waits for the pause
QUIET_SECONDS = 2.0
LATEST_SECONDS = 10.0  # a machine that does other things meanwhile; the figure is in docs/guarantees.md


def test_no_host_starts_another_one_soon_after_a_type_is_paused_and_they_go_on_when_it_is_resumed(site: Any) -> None:
    site.plugin("swift", SWIFT)
    site.configure(workers={"processes": 2, "lease_seconds": 60})
    hosts = [site.start("work"), site.start("work")]
    for host in hosts:
        site.wait_until(lambda host=host: len(host.events("worker.ready")) == 2, 60, "the workers are ready")
    ids = site.enqueue("swift", *[{"starts": site.path("starts")}] * MANY)
    site.wait_until(lambda: len(starts(site)) == 2 and all(len(one) > 20 for one in starts(site)), 60, "both begin")
    assert site._queue.pause("swift", by="test")
    answered = time.monotonic()
    site.wait_until(
        lambda: last_start(site) < time.monotonic() - QUIET_SECONDS and not site.count(ids, "running"),
        60,
        "nothing of it has been started for a while, though thousands are due",
    )
    late = last_start(site) - answered
    print(f"the last start was {late:.3f} s after the pause was answered")
    assert late < LATEST_SECONDS
    assert site.count(ids, "queued") > 0
    assert site._queue.circumstances(ids[-1]).pause
    before = sum(map(len, starts(site)))
    assert site._queue.resume("swift")
    site.wait_until(lambda: sum(map(len, starts(site))) > before + 20, 60, "it goes on")
    for host in hosts:
        assert host.stop() == 0


def last_start(site: Any) -> float:
    return max(max(one) for one in starts(site))


def starts(site: Any) -> list[list[float]]:
    """When each handler started, by the supervisor whose worker it ran in."""
    return [[float(line) for line in file.read_text().split()] for file in Path(site.folder).glob("starts.*")]
