"""Other queues on the same work, beside ours in the same round. One that cannot be had here says so in the table."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from .. import draining
from ..cache import NotInstalled, environment, node_modules
from ..measure import Row, Sample, Target, alternate
from ..servers import postgres, redis
from . import Run

PART = "peers"
SCRIPTS = Path(__file__).parent.parent / "peers"
LONGEST_SECONDS = 90.0
LOOK_SECONDS = 0.2
SHORTEST_SECONDS, AT_LEAST = 0.5, 100  # a rate is not told of less; a quick run tells none
OURS = {"bench.noop": "TransQueue, no-op one by one", "bench.group": "TransQueue, batch=True"}

Server = Callable[[], AbstractContextManager[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One queue: what enqueues so many jobs, what works, and what ours is to reach beside it."""

    name: str
    server: Server
    install: Callable[[], Path]
    enqueue: Callable[[Path], Sequence[str | Path]]
    work: Callable[[Path], Sequence[str | Path]]
    processes: int  # started by us; some start their two workers themselves
    count: int
    against: str = "bench.noop"
    target: Target | None = None


def measure(run: Run) -> Iterator[Row]:
    for peer in _peers(run):
        try:
            installed = peer.install()
            with peer.server() as broker:
                yield from _beside(run, peer, installed, broker)
        except NotInstalled as error:
            yield Row(part=PART, what=peer.name, unit="", target=peer.target, note=f"not measured here: {error}")


def _peers(run: Run) -> list[Peer]:
    @contextmanager
    def mongod() -> Iterator[str]:
        yield run.stage.uri.replace("/?", "/peer_celery?")
        run.stage.client.drop_database("peer_celery")

    def bin(path: Path, name: str) -> Path:
        return path.parent / name

    def node(script: str, *arguments: str) -> Callable[[Path], list[str | Path]]:
        return lambda _: ["node", SCRIPTS / script, *arguments]

    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "ERROR"]
    return [
        Peer(
            name="Celery on MongoDB",
            server=mongod,
            install=lambda: environment("celery", "celery[mongodb]", "pymongo"),
            enqueue=lambda python: [python, SCRIPTS / "celery_app.py"],
            work=lambda python: [bin(python, "celery"), "-A", "celery_app", "worker", "-c", "2", *quiet],
            processes=1,
            count=run.size(1_500, 20),
            target=Target(25),
        ),
        Peer(
            name="Dramatiq on Redis, fsync always",
            server=redis,
            install=lambda: environment("dramatiq", "dramatiq[redis]"),
            enqueue=lambda python: [python, SCRIPTS / "dramatiq_app.py"],
            work=lambda python: [bin(python, "dramatiq"), "dramatiq_app", "-p", "2", "-t", "8"],
            processes=1,
            count=run.size(10_000, 20),
            target=Target(2.5),
        ),
        Peer(
            name="BullMQ on Redis, fsync always",
            server=redis,
            install=lambda: node_modules("bullmq", "bullmq", "ioredis"),
            enqueue=node("bullmq.mjs"),
            work=node("bullmq.mjs", "work"),
            processes=2,
            count=run.size(20_000, 20),
            target=Target(1),
        ),
        Peer(
            name="Procrastinate on PostgreSQL",
            server=postgres,
            install=lambda: environment("procrastinate", "procrastinate", "psycopg[binary,pool]"),
            enqueue=lambda python: [python, SCRIPTS / "procrastinate_app.py"],
            work=lambda python: [bin(python, "procrastinate"), "-a", "procrastinate_app.app", "worker", "-c", "10"],
            processes=2,
            count=run.size(2_000, 20),
        ),
        Peer(
            name="pg-boss on PostgreSQL, batches of 5,000",
            server=postgres,
            install=lambda: node_modules("pg-boss", "pg-boss@10"),
            enqueue=node("pgboss.mjs"),
            work=node("pgboss.mjs", "work"),
            processes=2,
            count=run.size(100_000, 20),  # two begin with a batch each, and its jobs begin together
            against="bench.group",
        ),
    ]


def _beside(run: Run, peer: Peer, installed: Path, broker: str) -> Iterator[Row]:
    template, ours = run.stage.template(peer.against), OURS[peer.against]
    samples = alternate(
        {
            peer.name: lambda: _drain(peer, installed, broker),
            ours: lambda: draining.drain(run.stage, template, run.size(20_000, 100)),
        },
        run.rounds if peer.target else min(2, run.rounds),
        run.tell,
    )
    yield Row(part=PART, what=peer.name, unit="jobs/s", samples=samples[peer.name])
    yield Row(
        part=PART,
        what=ours,
        unit="transactions/s",
        samples=samples[ours],
        reference=peer.name,
        reference_samples=samples[peer.name],
        target=peer.target,
    )


def _drain(peer: Peer, installed: Path, broker: str) -> Sample:
    """From the first start to the last, all jobs enqueued before."""
    with tempfile.TemporaryDirectory() as folder:
        starts = Path(folder) / "starts"
        environ = {**os.environ, "BENCH_BROKER": broker, "BENCH_STARTS": str(starts), "PYTHONPATH": str(SCRIPTS)}
        environ |= {"BENCH_MODULES": str(installed), "PYTHONWARNINGS": "ignore"}
        log = Path(folder) / "log"
        with log.open("wb") as output:
            enqueue = [*peer.enqueue(installed), str(peer.count)]
            ran = subprocess.run(enqueue, env=environ, cwd=folder, stdout=output, stderr=output, check=False)
        if ran.returncode:
            raise NotInstalled(f"enqueueing failed: {_last_line(log)}")
        moments = _worked_off(peer, installed, environ, starts, log)
    span = (max(moments) - min(moments)) / 1e9
    if span < SHORTEST_SECONDS and peer.count > AT_LEAST:
        raise NotInstalled(f"its {peer.count:,} jobs were begun within {span:.3f} s: too few to tell a rate")
    return Sample(len(moments) / max(span, 1e-3))


def _worked_off(peer: Peer, installed: Path, environ: Mapping[str, str], starts: Path, log: Path) -> list[int]:
    with log.open("ab") as output:
        command = peer.work(installed)
        streams = {"stdout": output, "stderr": output}
        workers = [
            subprocess.Popen(command, env=environ, cwd=log.parent, start_new_session=True, **streams)
            for _ in range(peer.processes)
        ]
    limit = time.monotonic() + LONGEST_SECONDS
    try:
        while not starts.exists() or starts.read_bytes().count(b"\n") < peer.count:
            if time.monotonic() > limit or any(worker.poll() is not None for worker in workers):
                raise NotInstalled(f"it did not do its {peer.count:,} jobs: {_last_line(log)}")
            time.sleep(LOOK_SECONDS)
    finally:
        for worker in workers:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
    return [int(line) for line in starts.read_text().split()]


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "it said nothing"
