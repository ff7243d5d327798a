"""Idle pick-up: from the door's answer to the start of the handler, while nothing else is to be done."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from ..draining import until_drained
from ..measure import Row, Sample, Target
from ..stage import Site
from . import Run

PART = "latency"
TYPE = "bench.started"
BODY = {"type": TYPE, "data": {"username": "user123", "value": 150.0}}
APART_SECONDS = (0.03, 0.12)  # so that each finds the workers idle, at no moment of theirs in particular


def measure(run: Run) -> Iterator[Row]:
    with run.stage.site() as site:
        site.api()
        site.work()
        rounds = [_waits(site, run.size(150, 5)) for _ in range(run.rounds)]
    for name, share, limit in (("p50", 0.5, 3), ("p99", 0.99, 12)):
        samples = tuple(Sample(waits[min(len(waits) - 1, int(len(waits) * share))]) for waits in rounds)
        what = f"from the answer to the handler's start, {name}"
        yield Row(part=PART, what=what, unit="ms", samples=samples, target=Target(limit, at_most=True))


def _waits(site: Site, count: int) -> list[float]:
    """In milliseconds, from the shortest; a handler may begin before its answer has arrived, which counts as 0."""
    answered: dict[str, float] = {}
    for _ in range(count):
        time.sleep(random.uniform(*APART_SECONDS))
        id = site.post("/api/data/", BODY)["data"]["transaction_id"]
        answered[id] = time.time()
    until_drained(site.q, TYPE)
    ended = site.q.find({"_id": {"$in": list(answered)}})
    return sorted(max(0.0, one["result"] - answered[one["_id"]]) * 1000 for one in ended)
