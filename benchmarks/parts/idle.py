"""What doing nothing costs: mongod's load while a host's workers and its door wait."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ..machine import cpu_seconds
from ..measure import Row, Sample, Target, alternate
from ..stage import Running
from . import Run

PART = "idle"
BARE, WAITING = "mongod alone", "one host, its door and two workers waiting"
SETTLE_SECONDS = 3.0


def measure(run: Run) -> Iterator[Row]:
    seconds = run.size(10, 1)

    def bare() -> Sample:
        return _load(run, seconds)

    def waiting() -> Sample:
        with run.stage.site() as site:
            running = [site.api(), site.work()]
            time.sleep(SETTLE_SECONDS)
            return _load(run, seconds, *running)

    samples = alternate({BARE: bare, WAITING: waiting}, min(3, run.rounds), run.tell)
    yield Row(part=PART, what=BARE, unit="% of a core", samples=samples[BARE])
    more = tuple(
        Sample(max(0.0, ours.value - theirs.value), ours.facts)
        for ours, theirs in zip(samples[WAITING], samples[BARE], strict=True)
    )
    yield Row(
        part=PART, what=f"{WAITING}, beyond that", unit="% of a core", samples=more, target=Target(3, at_most=True)
    )


def _load(run: Run, seconds: float, *running: Running) -> Sample:
    own = [pid for one in running for pid in (one.process.pid, *one.worker_pids)]
    mongod, used = cpu_seconds([run.stage.mongod_pid]), cpu_seconds(own)
    time.sleep(seconds)
    mongod, used = cpu_seconds([run.stage.mongod_pid]) - mongod, cpu_seconds(own) - used
    return Sample(mongod / seconds * 100, {"own processes, %": used / seconds * 100} if own else {})
