"""A backlog drained by real processes: a supervisor, two workers, plugins; timed by what Q says of each end."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from pymongo.collection import Collection

from .backlog import Template, fill
from .machine import cpu_seconds
from .measure import Sample
from .stage import Stage

LOOK_SECONDS = 0.25
LONGEST_SECONDS = 600.0
PENDING = {"queued": "due", "running": "held"}


def drain(stage: Stage, template: Template, count: int, *, users: int = 1) -> Sample:
    """From the moment that both workers are ready until the last one has ended."""
    with stage.site() as site:
        stage.prepare(site)
        fill(site.q, template, count, users)
        running = site.work()
        used = [cpu_seconds([stage.mongod_pid]), cpu_seconds(running.worker_pids)]
        until_drained(site.q, template.type)
        used = [cpu_seconds([stage.mongod_pid]) - used[0], cpu_seconds(running.worker_pids) - used[1]]
        ended, (first, both) = last_end(site.q), running.moments("worker.ready")[:2]
        timed = site.q.count_documents({"finished_at": {"$gt": both}})
        if timed < count / 2:  # so little that one worker did most of it
            both, timed = first, count
        assert site.q.count_documents({"state": "done"}) == count, "some did not end well"
        facts = dict(zip(("mongod µs", "client µs"), (seconds / timed * 1e6 for seconds in used), strict=True))
        return Sample(timed / (ended - both).total_seconds(), facts)


def until_drained(q: Collection[Any], *types: str) -> None:
    """Wait until nothing of these types is left to do; seldom asked, so that asking costs nothing that counts."""
    limit = time.monotonic() + LONGEST_SECONDS
    among = {"type": {"$in": list(types)}}
    while any(q.find_one({"state": state, **among}, {"_id": 1}, hint=index) for state, index in PENDING.items()):
        if time.monotonic() > limit:
            raise RuntimeError(f"not drained after {LONGEST_SECONDS:g} s")
        time.sleep(LOOK_SECONDS)


def last_end(q: Collection[Any]) -> datetime:
    (found,) = q.aggregate([{"$group": {"_id": None, "at": {"$max": "$finished_at"}}}])
    ended: datetime = found["at"]
    return ended
