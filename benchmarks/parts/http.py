"""The door under load: single posts beside one insert for each request, and batches beside `insert_many`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bson import json_util

from .. import roofline
from ..cache import NotInstalled, packages_beside
from ..load import CONNECTIONS, Load, post
from ..machine import cpu_seconds
from ..measure import Row, Sample, Target, alternate
from ..stage import Running, Site
from . import Run

PART = "http"
ROOT = Path(__file__).parents[2]
BODY = {"username": "user123", "value": 150.0}
ONE_EACH, SINGLE = "gunicorn gthread 1x32, one insert_one for each request", "single posts"
RAW, BATCHES = "insert_many of 1,000, plain PyMongo", {"batches of 100": 100, "batches of 1,000": 1000}
TWO = "by two processes"  # what one sets on a machine of two cores for more than one process answers
WARM_SECONDS = 1.0
BATCHERS = 4  # connections that post batches: while some wait for the database, others keep the door busy


def measure(run: Run) -> Iterator[Row]:
    seconds = run.size(5, 1)
    try:
        with run.stage.site() as site, run.stage.site(api={"processes": 2}) as two:
            site.api()
            two.api()
            yield from _single(run, site, two, seconds)
            yield from _batches(run, site, two, seconds)
    except NotInstalled as error:
        yield Row(part=PART, what=SINGLE, unit="", note=str(error))


def _single(run: Run, site: Site, two: Site, seconds: float) -> Iterator[Row]:
    with run.stage.site() as other:
        one_each(run, other)
        samples = alternate(
            {
                ONE_EACH: lambda: loaded(run, other, "/api/data/", BODY, seconds),
                SINGLE: lambda: loaded(run, site, "/api/data/", BODY, seconds),
                f"{SINGLE}, {TWO}": lambda: loaded(run, two, "/api/data/", BODY, seconds),
            },
            run.rounds,
            run.tell,
        )
    reference = samples.pop(ONE_EACH)
    yield Row(part=PART, what=ONE_EACH, unit="requests/s", samples=reference)
    for what, ours in samples.items():
        yield _against(what, "requests/s", ours, ONE_EACH, reference, Target(3))
        yield _against(f"{what}, p99", "ms", _slowest(ours), ONE_EACH, _slowest(reference), Target(1, at_most=True))


def _slowest(samples: tuple[Sample, ...]) -> tuple[Sample, ...]:
    return tuple(Sample(one.facts["p99 ms"]) for one in samples)


def _batches(run: Run, site: Site, two: Site, seconds: float) -> Iterator[Row]:
    template = run.stage.template("deposit")
    contenders = {RAW: lambda: roofline.enqueue(run.stage, template, run.size(60_000, 1000))}
    for what, each in BATCHES.items():
        contenders[what] = partial(_in_batches, run, site, each, seconds)
        contenders[f"{what}, {TWO}"] = partial(_in_batches, run, two, each, seconds)
    samples = alternate(contenders, run.rounds, run.tell)
    reference = samples.pop(RAW)
    yield Row(part=PART, what=RAW, unit="transactions/s", samples=reference)
    for what, ours in samples.items():
        yield _against(what, "transactions/s", ours, RAW, reference, Target(0.5) if what.endswith(TWO) else None)


def _in_batches(run: Run, site: Site, each: int, seconds: float) -> Sample:
    return loaded(run, site, "/api/data/batch", {"transactions": [BODY] * each}, seconds, each, BATCHERS)


def _against(
    what: str, unit: str, ours: tuple[Sample, ...], reference: str, theirs: tuple[Sample, ...], target: Target | None
) -> Row:
    return Row(
        part=PART,
        what=what,
        unit=unit,
        samples=ours,
        reference=reference,
        reference_samples=theirs,
        target=target,
    )


def loaded(
    run: Run, site: Site, path: str, body: Any, seconds: float, each: int = 1, connections: int = CONNECTIONS
) -> Sample:
    """The rate of a door, in transactions, after a moment to warm up."""
    post(site.url + path, body, WARM_SECONDS, connections)
    mongod = cpu_seconds([run.stage.mongod_pid])
    load: Load = post(site.url + path, body, seconds, connections)
    assert load.requests, "nothing was answered"
    assert load.refused == load.broken == 0, load
    used = (cpu_seconds([run.stage.mongod_pid]) - mongod) / load.requests / each * 1e6
    return Sample(load.rate * each, {"p50 ms": load.p50, "p99 ms": load.p99, "mongod µs": used})


def one_each(run: Run, site: Site) -> Running:
    """The reference, serving at the site's address."""
    folder = packages_beside("gunicorn", "gunicorn")
    run.stage.prepare(site)
    template = site.folder / "template.json"
    template.write_text(json_util.dumps(run.stage.template("deposit").document))
    environ = {
        "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
        "BENCH_URI": run.stage.uri,
        "BENCH_DATABASE": site.name,
        "BENCH_TEMPLATE": str(template),
    }
    command = (sys.executable, "-m", "gunicorn", "-k", "gthread", "-w", "1", "--threads", "32")
    running = site.run((*command, "-b", f"127.0.0.1:{site.port}", "benchmarks.one_each:app"), environ)
    running.until(lambda: site.answers("/"), "gunicorn answers")
    return running
