"""A backlog of handlers that do nothing, through real supervisor, workers and plugins, beside the roofline."""

from __future__ import annotations

from collections.abc import Iterator

from .. import draining, roofline
from ..measure import Row, Sample, Target, alternate
from . import Run

PART = "queue"
RAW, ONE, GROUP = "roofline, a lease written on each", "no-op, one by one", "no-op, batch=True"
REMEMBERING = f"{ONE}, by a mongod that keeps five minutes of its past"


def measure(run: Run) -> Iterator[Row]:
    one, group = (run.stage.template(type) for type in ("bench.noop", "bench.group"))
    count = run.size(40_000, 100)

    def remembering() -> Sample:
        with run.stage.history():
            return draining.drain(run.stage, one, count)

    samples = alternate(
        {
            RAW: lambda: roofline.drain(run.stage, one, count),
            ONE: lambda: draining.drain(run.stage, one, count),
            GROUP: lambda: draining.drain(run.stage, group, count),
            REMEMBERING: remembering,
        },
        run.rounds,
        run.tell,
    )
    yield Row(part=PART, what=RAW, unit="transactions/s", samples=samples[RAW])
    for what, against, target in ((ONE, RAW, Target(0.65)), (GROUP, RAW, Target(0.8)), (REMEMBERING, ONE, None)):
        yield Row(
            part=PART,
            what=what,
            unit="transactions/s",
            samples=samples[what],
            reference=against,
            reference_samples=samples[against],
            target=target,
        )
