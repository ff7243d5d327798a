"""The trial of `transqueue bench`: real workers and the real queue on a database of its own, for a bounded time."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from ..config import Config
from ..errors import TransQueueError
from ..mongodb import MongoQueue
from ..mongodb.gauge import Gauge
from ..transaction import State, Transaction, TransactionIds, free_lane
from .verdict import Figures

TYPE = "bench.nothing"
MODULE = f"{__package__}.nothing"
AT_ONCE = 500
MOST = 50_000  # transactions
PICK_UPS = 20
READY_SECONDS = 60.0
STOP_SECONDS = 15.0
LOOK_SECONDS = 0.1
FIND_SECONDS = 0.002
TICKS = os.sysconf("SC_CLK_TCK")
DATA: Mapping[str, Any] = {"username": "user123", "value": 150}

Tell = Callable[[str, float], None]


class Trial:
    """Measures, step by step; `tell` hears what is being done and how much of the whole is done, from 0 to 1."""

    def __init__(self, config: Config, uri: str, database: str, queue: MongoQueue, gauge: Gauge, tell: Tell) -> None:
        self._config, self._uri, self._database = config, uri, database
        self._queue, self._gauge, self._tell = queue, gauge, tell
        self._ids = TransactionIds()

    def run(self, seconds: float) -> Figures:
        """About as many seconds, and those that starting the workers takes.

        Raises:
            TransQueueError: the workers did not start, or did not keep up within the time.
        """
        self._tell("writing one by one", 0.05)
        gauge = self._gauge
        kinds = (gauge.round_trips, gauge.durable_writes, gauge.light_writes)
        round_trip, durable, light = (median(kind()) * 1000 for kind in kinds)
        self._tell(f"enqueueing {AT_ONCE} at a time", 0.2)
        count, enqueued_rate = self._enqueue(seconds / 4)
        self._tell("starting the workers", 0.35)
        with self._workers() as pids:
            self._tell(f"draining {count:,}", 0.5)
            drained = self._drain(pids, seconds / 2)
            self._gauge.discard_waiting()  # what was too much for the time
            self._tell("picking up one by one", 0.85)
            pick_up = median([self._pick_up() for _ in range(PICK_UPS)]) * 1000
        return Figures(
            round_trip_ms=round_trip,
            durable_write_ms=durable,
            light_write_ms=light,
            **drained,
            enqueued_rate=enqueued_rate,
            pick_up_ms=pick_up,
            workers=self._config.workers.processes,
            cores=os.cpu_count() or 1,
            same_machine=_is_here(self._uri),
            server_cores=self._gauge.server_cores(),
        )

    def _enqueue(self, seconds: float) -> tuple[int, float]:
        """As many as fit into the time: how many, and how many a second."""
        began, count = time.perf_counter(), 0
        while count < MOST and time.perf_counter() - began < seconds:
            self._queue.enqueue([self._new() for _ in range(AT_ONCE)])
            count += AT_ONCE
        return count, count / (time.perf_counter() - began)

    def _new(self) -> Transaction:
        now = self._queue.clock.now()
        id = self._ids.next(now)
        return Transaction(
            id=id,
            type=TYPE,
            data=DATA,
            created_at=now,
            due_at=now,
            max_attempts=1,
            lane=free_lane(id),
            submitter="bench",
        )

    def _drain(self, pids: list[int], seconds: float) -> dict[str, Any]:
        """From a moment when all workers are at work until the end, or until the time is over."""
        before, began = self._measured(pids), time.perf_counter()
        while self._is_left() and time.perf_counter() - began < seconds:
            time.sleep(LOOK_SECONDS)
        after, took = self._measured(pids), time.perf_counter() - began
        done = after["done"] - before["done"]
        if not done:
            raise TransQueueError(f"within {took:.0f} s the workers ended nothing")
        used = {
            f"{name}_us": (after[name] - before[name]) / done * 1e6 if before[name] is not None else None
            for name in ("server", "worker")
        }
        return {"drained_rate": done / took, **used}

    def _is_left(self) -> bool:
        if self._queue.due([TYPE]):
            return True
        counts = self._queue.counts().get(TYPE, {})  # looks at all of them, so only at the end
        return counts.get(State.QUEUED, 0) + counts.get(State.RUNNING, 0) > 0

    def _measured(self, pids: list[int]) -> dict[str, Any]:
        done = self._queue.counts().get(TYPE, {}).get(State.DONE, 0)
        return {"done": done, "server": self._gauge.server_seconds(), "worker": _cpu_seconds(pids)}

    def _pick_up(self) -> float:
        """Seconds from the acceptance of one, with nothing else to do, until it is seen to have ended."""
        (receipt,) = self._queue.enqueue([self._new()])
        began = time.perf_counter()
        while not self._queue.ended([receipt.transaction.id]):
            if time.perf_counter() - began > READY_SECONDS:
                raise TransQueueError("the workers do not pick up what is submitted")
            time.sleep(FIND_SECONDS)
        return time.perf_counter() - began

    @contextmanager
    def _workers(self) -> Iterator[list[int]]:
        """As many workers as are configured, with a handler that does nothing; their process ids."""
        with tempfile.TemporaryDirectory(prefix="transqueue-bench-") as folder:
            file = Path(folder) / "config.yaml"
            file.touch(mode=0o600)  # the URI may hold a password
            file.write_text(json.dumps(self._configuration()).replace("${", "$${"))
            command = [sys.executable, "-c", "from transqueue.cli import main; main()", "--config", str(file), "work"]
            log = Path(folder) / "log"
            with log.open("wb") as output:
                process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)  # noqa: S603
            try:
                yield self._ready(process, log)
            finally:
                _stop(process)

    def _configuration(self) -> dict[str, Any]:
        return {
            "mongodb": {"uri": self._uri, "database": self._database},
            "workers": {"processes": self._config.workers.processes, "stop_seconds": 2},
            "default_type": TYPE,
            "transaction_module": MODULE,
        }

    def _ready(self, process: subprocess.Popen[bytes], log: Path) -> list[int]:
        limit = time.monotonic() + READY_SECONDS
        while len(live := self._queue.workers()) < self._config.workers.processes:
            if process.poll() is not None or time.monotonic() > limit:
                raise TransQueueError(f"the workers did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(LOOK_SECONDS)
        return [worker.pid for worker in live]


def handler_runs(queue: MongoQueue, now: datetime) -> tuple[tuple[str, float], ...]:
    """The median run of each type's handler in the last hour, in seconds, where there was any."""
    found = []
    for type in queue.counts(at_most=1):
        points = queue.measures.series(type, now - timedelta(hours=1), now, 3600)
        runs = [run for point in points if (run := point.quantile("run", 0.5)) is not None]
        found += [(type, runs[-1])] if runs else []
    return tuple(found)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _cpu_seconds(pids: list[int]) -> float | None:
    """What these processes have used; none where the system does not tell."""
    try:
        fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    except OSError:
        return None
    return sum(int(one[11]) + int(one[12]) for one in fields) / TICKS


def _is_here(uri: str) -> bool:
    """Whether a MongoDB runs on this machine, going by its address alone."""
    host = uri.partition("://")[2].rpartition("@")[2].partition("/")[0].partition(",")[0].partition(":")[0]
    return host in ("127.0.0.1", "localhost", "[", socket.gethostname())
