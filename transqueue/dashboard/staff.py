"""Workers: what each runs now, and what ended those before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ..admin.report import EndedWorker
from .query import Arguments
from .window import Window

WELL = ("", "exit code 0")


def workers(window: Window, arguments: Arguments, now: datetime) -> dict[str, Any]:  # noqa: ARG001
    """The live workers by host, and those that ended in the last day."""
    live = window.queue.workers()
    ended = window.queue.ended_workers()
    hosts: dict[str, list[Any]] = {}
    for worker in live:
        hosts.setdefault(worker.host, []).append(worker)
    return {
        "hosts": hosts,
        "restarts": restarts(ended),
        "ended": [(worker, worker.ending not in WELL) for worker in ended],
        "configured": window.config.workers.processes,
        "lease_seconds": window.config.workers.lease_seconds,
    }


def restarts(ended: Sequence[EndedWorker]) -> Counter[tuple[str, int]]:
    """How often the worker of each host and slot ended otherwise than asked."""
    return Counter((worker.host, worker.slot) for worker in ended if worker.ending not in WELL)
