"""The leases of workers, in memory: each is held until its time is over or it is ended, and then never again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ..clock import Clock
from ..queue import LiveWorker, WorkerRecord

if TYPE_CHECKING:
    from ..admin.report import WorkerReport


@dataclass(slots=True)
class _WorkerLease:
    record: WorkerRecord
    started_at: datetime
    until: datetime
    ended: bool = False
    report: WorkerReport | None = None

    def shown(self) -> LiveWorker:
        record = self.record
        return LiveWorker(
            id=record.id,
            host=record.host,
            pid=record.pid,
            slot=record.slot,
            started_at=self.started_at,
            until=self.until,
            report=self.report,
            types=record.types,
            broken=record.broken,
        )


class MemoryWorkers:
    """One lease per start of a worker. The caller sees to it that one thread at a time is here."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._leases: dict[str, _WorkerLease] = {}

    def begin(self, worker: WorkerRecord, length: timedelta) -> None:
        """As `TransactionQueue.begin` promises."""
        if worker.id in self._leases:
            raise RuntimeError(f"a worker's id must be new: {worker.id} has begun before")
        self._leases[worker.id] = _WorkerLease(worker, self._clock.now(), self._clock.now() + length)

    def renew(self, workers: Collection[str], length: timedelta) -> frozenset[str]:
        """As `TransactionQueue.renew` promises."""
        held = frozenset(worker for worker in workers if self.is_live(worker) and not self._is_lapsed(worker))
        for worker in held:
            self._leases[worker].until = self._clock.now() + length
        return held

    def report(self, reports: Mapping[str, WorkerReport]) -> None:
        """As `TransactionQueue.report` promises."""
        for worker, report in reports.items():
            if self.is_live(worker):
                self._leases[worker].report = replace(report, at=self._clock.now())

    def live(self) -> list[LiveWorker]:
        """As `TransactionQueue.workers` promises."""
        held = [one for name, one in self._leases.items() if self.is_live(name) and not self._is_lapsed(name)]
        return sorted((one.shown() for one in held), key=lambda worker: (worker.host, worker.slot))

    def end(self, worker: str) -> None:
        """End a lease for good; one that never began is no trouble."""
        if worker in self._leases:
            self._leases[worker].ended = True

    def end_lapsed(self) -> None:
        """End the leases whose time is over."""
        for worker in self._leases:
            if self._is_lapsed(worker):
                self.end(worker)

    def is_live(self, worker: str) -> bool:
        """Whether its lease began and was not ended."""
        return worker in self._leases and not self._leases[worker].ended

    def _is_lapsed(self, worker: str) -> bool:
        return self._leases[worker].until < self._clock.now()
