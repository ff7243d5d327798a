"""What a long backlog costs: a lease as it grows to a million or stands still ahead, and the end of a long drain."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import median

from transqueue.mongodb import connect
from transqueue.queue import WorkerRecord

from ..backlog import fill, fill_with
from ..draining import last_end, until_drained
from ..machine import resident_mib
from ..measure import Row, Sample, Target, told
from ..stage import Running, Site
from . import Run

PART = "growth"
LEASED, LEASES = 100, 15
TYPE, KEYED_TYPE = "bench.noop", "deposit"
MOVERS = 200
KEYED_LEASE = f"a lease of {LEASED} on a lane of keys"


def measure(run: Run) -> Iterator[Row]:
    yield from _lease_times(run)
    yield from _blocked_ahead(run)
    yield from _long_drain(run)


def _lease_times(run: Run) -> Iterator[Row]:
    largest = run.size(1_000_000, 2_000)
    sizes = [*(size for size in (1_000, 10_000, 100_000) if size < largest), largest]
    template, rows, there = run.stage.template(TYPE), [], 0
    with run.stage.site() as site:
        run.stage.prepare(site)
        for size in sizes:
            run.tell(f"a backlog of {size:,}")
            fill(site.q, template, size - there)
            there = size
            rows.append(
                Row(part=PART, what=f"a lease of {LEASED} out of {size:,}", unit="ms", samples=_leases(run, site))
            )
    yield rows[0]
    for row in rows[1:]:
        last = row is rows[-1]
        reference = {"reference": rows[0].what, "reference_samples": rows[0].samples}
        yield Row(
            part=row.part,
            what=row.what,
            unit=row.unit,
            samples=row.samples,
            target=Target(1.5, at_most=True) if last else None,
            **reference,
        )


def _leases(run: Run, site: Site) -> tuple[Sample, ...]:
    """By the verbs that workers use: taken, and given back."""
    queue = connect(run.stage.uri, site.name)
    record = WorkerRecord(id=uuid.uuid4().hex, host="bench", pid=0, slot=0, sessions=queue.sessions)
    queue.begin(record, lease_seconds=600)
    taken = []
    for _ in range(LEASES + 1):
        began = time.perf_counter()
        leased = queue.lease(record.id, TYPE, limit=LEASED)
        taken.append((time.perf_counter() - began) * 1000)
        queue.release(leased)
    queue.close()
    return (Sample(median(taken[1:])),)


def _blocked_ahead(run: Run) -> Iterator[Row]:
    """In one lane: leases on keys that may go, without anything ahead of them and behind a key that stands still."""
    count, template = run.size(100_000, 2_000), run.stage.template(KEYED_TYPE)
    lane = template.make("stuck")["lane"]
    movers = list(
        itertools.islice((f"u{n}" for n in itertools.count() if template.make(f"u{n}")["lane"] == lane), MOVERS)
    )
    samples, note = {}, ""
    for what, blocked in ((f"{KEYED_LEASE}, nothing ahead", 0), (f"{KEYED_LEASE}, {count:,} blocked ahead", count)):
        run.tell(what)
        with run.stage.site() as site:
            run.stage.prepare(site)
            if blocked:
                site.q.insert_one(template.make("stuck") | {"state": "dead", "finished_at": datetime.now(UTC)})
                fill_with(site.q, (template.make("stuck") for _ in range(blocked)))
            fill_with(site.q, (template.make(name) for name in movers))
            samples[what], first = _keyed_leases(run, site, lane)
            note = f"the first one took {first:.1f} s: it sets aside what stands still" if blocked else ""
    free, behind = samples
    yield Row(part=PART, what=free, unit="ms", samples=samples[free])
    yield Row(
        part=PART,
        what=behind,
        unit="ms",
        samples=samples[behind],
        reference=free,
        reference_samples=samples[free],
        target=Target(1.5, at_most=True),
        note=note,
    )


def _keyed_leases(run: Run, site: Site, lane: int) -> tuple[tuple[Sample, ...], float]:
    """By the verb that workers use, and how many seconds passed until it found the first ones."""
    queue = connect(run.stage.uri, site.name)
    record = WorkerRecord(id=uuid.uuid4().hex, host="bench", pid=0, slot=0, sessions=queue.sessions)
    queue.begin(record, lease_seconds=600)
    taken: list[float] = []
    started = found = time.perf_counter()
    while len(taken) <= LEASES:
        began = time.perf_counter()
        leased = queue.lease_in_order(record.id, "ledger", [KEYED_TYPE], limit=LEASED, lanes=[lane])
        if leased:
            taken.append(time.perf_counter() - began)
            found = time.perf_counter() if len(taken) == 1 else found
            queue.release(leased)
    queue.close()
    return (Sample(median(taken[1:]) * 1000),), found - started


def _long_drain(run: Run) -> Iterator[Row]:
    count = run.size(1_000_000, 1_000)
    with run.stage.site() as site:
        run.stage.prepare(site)
        run.tell(f"a drain of {count:,}")
        fill(site.q, run.stage.template(TYPE), count)
        running = site.work()
        time.sleep(1 if run.quick else 5)
        early = _memory(running)
        until_drained(site.q, TYPE)
        late = _memory(running)
        first, last = _tenths(site, running, count)
    what = "the last tenth of a long drain"
    yield Row(
        part=PART,
        what=f"{what}, of {count:,}",
        unit="transactions/s",
        samples=(Sample(last),),
        reference="its first tenth",
        reference_samples=(Sample(first),),
        target=Target(0.85),
    )
    for name, limit in (("worker", 65), ("supervisor", 50)):
        note = f"{told(early[name])} MiB after the first seconds, of the larger one"
        yield Row(
            part=PART,
            what=f"memory of a {name} after it",
            unit="MiB",
            samples=(Sample(late[name]),),
            target=Target(limit, at_most=True),
            note=note,
        )


def _memory(running: Running) -> dict[str, float]:
    workers = max(resident_mib(pid) for pid in running.worker_pids)
    return {"worker": workers, "supervisor": resident_mib(running.process.pid)}


def _tenths(site: Site, running: Running, count: int) -> tuple[float, float]:
    """The rates of the first tenth since both workers are ready, and of the last; told by when each one ended."""
    began, ended = running.moments("worker.ready")[-1], last_end(site.q)
    tenth = count // 10
    by_end = site.q.find({"finished_at": {"$gt": began}}, {"finished_at": 1, "_id": 0}).sort("finished_at", 1)
    moments = [row["finished_at"] for row in by_end]
    first = (moments[min(tenth, len(moments) - 1)] - began) or timedelta(milliseconds=1)
    last = (ended - moments[max(0, len(moments) - tenth - 1)]) or timedelta(milliseconds=1)
    return tenth / first.total_seconds(), tenth / last.total_seconds()
