"""The whole way: batches of 100 through the door while two workers drain, for a minute, as fast as both keep up."""

from __future__ import annotations

import time
from collections.abc import Iterator

from .. import roofline
from ..draining import until_drained
from ..machine import cpu_seconds
from ..measure import Row, Sample, Target, alternate
from ..stage import Site
from . import Run

PART = "endtoend"
TYPE = "bench.noop"
RAW, WHOLE = "insert_many of 500 while two processes drain, plain PyMongo", "batches of 100 through the door, drained"
BATCH = {"transactions": [{"type": TYPE, "data": {"username": "user123", "value": 150.0}}] * 100}
AHEAD = 4_000  # more than this is not put in ahead of the workers
WARM_SECONDS = 3.0
LOOK_SECONDS = 0.2


def measure(run: Run) -> Iterator[Row]:
    seconds = run.size(60, 2)
    samples = alternate(
        {
            RAW: lambda: roofline.end_to_end(run.stage, run.stage.template(TYPE), min(seconds, 15)),
            WHOLE: lambda: _whole(run, seconds),
        },
        1 if run.rounds < 3 else 2,
        run.tell,
    )
    yield Row(part=PART, what=RAW, unit="transactions/s", samples=samples[RAW])
    yield Row(
        part=PART,
        what=WHOLE,
        unit="transactions/s",
        samples=samples[WHOLE],
        reference=RAW,
        reference_samples=samples[RAW],
        target=Target(6_000 / 17_000),
        note=f"accepted = done, over {seconds} s",
    )


def _whole(run: Run, seconds: float) -> Sample:
    with run.stage.site() as site:
        site.api()
        site.work()
        _submit(site, WARM_SECONDS)
        until_drained(site.q, TYPE)
        before, mongod = site.q.estimated_document_count(), cpu_seconds([run.stage.mongod_pid])
        began = time.perf_counter()
        _submit(site, seconds)
        until_drained(site.q, TYPE)
        took = time.perf_counter() - began
        done = site.q.count_documents({"state": "done"}) - before
        used = (cpu_seconds([run.stage.mongod_pid]) - mongod) / done * 1e6
        return Sample(done / took, {"mongod µs": used})


def _submit(site: Site, seconds: float) -> None:
    """Post batches for some seconds, waiting when the workers are far behind."""
    until = time.monotonic() + seconds
    look = 0.0
    while time.monotonic() < until:
        site.post("/api/data/batch", BATCH)
        if time.monotonic() >= look:
            while _waiting(site) > AHEAD and time.monotonic() < until:
                time.sleep(LOOK_SECONDS / 4)
            look = time.monotonic() + LOOK_SECONDS


def _waiting(site: Site) -> int:
    due = {"type": TYPE, "state": "queued"}
    return site.q.count_documents(due, hint="due", limit=AHEAD + 1)
