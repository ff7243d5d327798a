"""A type whose handler kills its worker, again and again, does not keep the other types waiting."""

from __future__ import annotations

from typing import Any

DEADLY = """
    import os
    from transqueue import handler

    @handler("deadly")
    def deadly(transaction, context):
        os._exit(3)

    @handler("fine")
    def fine(transaction, context):
        return "well"
"""


def test_a_backlog_that_kills_every_worker_does_not_keep_other_types_waiting(site: Any) -> None:
    site.plugin("mixed", DEADLY)
    deadly = site.enqueue("deadly", *[{}] * 100)
    fine = site.enqueue("fine", {})
    running = site.work()
    site.until(fine, "done", timeout=90)
    assert site.count(deadly, "queued", "running") > 50
    assert running.stop() == 0
