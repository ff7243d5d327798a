"""What the figures of `transqueue bench` mean: where the time goes, what limits the rate, and what would change that.

Pure: figures in, sentences out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

BUSY = 0.8  # of what there is: more than this is the limit
FAR_MS = 1.0  # a round trip longer than this is a network, not a machine
SLOW_SYNC_MS = 5.0
SLOW_RUN_SECONDS = 0.01
MOST_TYPES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured. Times are medians; rates are a second's; CPU is for each transaction.

    Attributes:
        runs: of the configured database: by type, the median run of its handler in seconds, over the last hour.
    """

    round_trip_ms: float
    durable_write_ms: float
    light_write_ms: float
    enqueued_rate: float
    drained_rate: float
    pick_up_ms: float
    workers: int
    cores: int
    same_machine: bool
    server_cores: int | None = None
    server_us: float | None = None
    worker_us: float | None = None
    runs: tuple[tuple[str, float], ...] = ()

    @property
    def server_load(self) -> float | None:
        """Cores that mongod used during the drain."""
        return None if self.server_us is None else self.server_us * self.drained_rate / 1e6

    @property
    def worker_load(self) -> float | None:
        """Cores that all workers used together during the drain."""
        return None if self.worker_us is None else self.worker_us * self.drained_rate / 1e6


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the figures say: a stable word for programs, a sentence, and what would change it."""

    code: str
    sentence: str
    change: str = ""


def findings(figures: Figures) -> list[Finding]:
    """What limits this installation, the most important first, then what single submissions and handlers cost."""
    return [bottleneck(figures), *_acceptance(figures), *_handlers(figures)]


def bottleneck(figures: Figures) -> Finding:
    """What bounds the rate of transactions that do nothing."""
    server, workers = figures.server_load, figures.worker_load
    if server is None or workers is None:
        return Finding(
            "unknown", "How busy MongoDB and the workers were is not known here.", "Look at `top` on both machines."
        )
    if figures.same_machine and server + workers >= BUSY * figures.cores:
        return _whole_machine(figures, server, workers)
    if figures.server_cores and server >= BUSY * figures.server_cores:
        sentence = f"MongoDB's CPU is the limit: it uses {server:.1f} of its {figures.server_cores} cores."
        return Finding("mongod_cpu", sentence, "A faster primary; more workers would only wait longer.")
    if workers >= BUSY * figures.workers:
        sentence = f"The workers' CPU is the limit: {figures.workers} processes use {workers:.1f} cores."
        return Finding("worker_cpu", sentence, f"More workers.processes: this machine has {figures.cores} cores.")
    return _waiting(figures, server, workers)


def _whole_machine(figures: Figures, server: float, workers: float) -> Finding:
    sentence = (
        f"This machine's CPU is the limit: of its {figures.cores} cores MongoDB uses {server:.1f} "
        f"and the workers {workers:.1f}."
    )
    return Finding("machine_cpu", sentence, "MongoDB on a machine of its own, or more cores; batch=True handlers.")


def _waiting(figures: Figures, server: float, workers: float) -> Finding:
    loads = f"MongoDB uses {server:.1f} cores, the workers {workers:.1f}"
    if figures.round_trip_ms >= FAR_MS and figures.round_trip_ms * 2 >= figures.durable_write_ms:
        sentence = f"The way to MongoDB is the limit: {figures.round_trip_ms:.1f} ms for each command; {loads}."
        return Finding("round_trip", sentence, "Workers near the primary, or more workers.processes.")
    sentence = f"Waiting for the journal of a majority is the limit: {figures.durable_write_ms:.1f} ms; {loads}."
    return Finding("durable_write", sentence, "A disk with faster syncs, members closer together, or more workers.")


def _acceptance(figures: Figures) -> Iterator[Finding]:
    waits = figures.durable_write_ms - figures.light_write_ms
    sentence = (
        f"One durable write takes {figures.durable_write_ms:.1f} ms: {figures.round_trip_ms:.1f} ms of it the way "
        f"there and back, {max(0.0, waits):.1f} ms the journal of a majority."
    )
    slow = waits >= SLOW_SYNC_MS
    yield Finding("acceptance", sentence, "The disks of the members, or the network between them." if slow else "")


def _handlers(figures: Figures) -> Iterator[Finding]:
    slowest = sorted(figures.runs, key=lambda run: run[1], reverse=True)[:MOST_TYPES]
    for type, seconds in slowest:
        if seconds >= SLOW_RUN_SECONDS and figures.workers / seconds < figures.drained_rate:
            sentence = (
                f"Handlers of {type} run for {seconds * 1000:.0f} ms: {figures.workers} workers end at most "
                f"{figures.workers / seconds:,.0f} a second of them, whatever the queue can do."
            )
            yield Finding(
                "handler", sentence, "A faster handler, `async def` where it waits, or more workers.processes."
            )
