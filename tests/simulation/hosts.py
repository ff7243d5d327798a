"""A host: its supervisor and its workers, with the real code of both, started again whenever the supervisor ends."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from transqueue.config import Config
from transqueue.errors import QueueUnavailable, TrackLost
from transqueue.events import Events
from transqueue.executor import Executor
from transqueue.mongodb.queue import MongoQueue
from transqueue.queue import WorkerRecord
from transqueue.supervisor.child import Child
from transqueue.supervisor.keeper import LeaseKeeper
from transqueue.supervisor.supervisor import Supervisor
from transqueue.worker.batch import Batches
from transqueue.worker.pace import Pace
from transqueue.worker.process import EXIT_BOOT_FAILED, EXIT_TRACK_LOST, Assignment, alarm_moment
from transqueue.worker.worker import Worker, lanes_of

from .hub import Hub, Process, Thread
from .network import SimulatedNetwork
from .processes import Event, LivingMarker, Processes, Stop, WorkerProcess
from .queue_on_store import queue_on


class HostTime:
    """The server's clock as one process follows it: a little wrong."""

    def __init__(self, network: SimulatedNetwork, error: float) -> None:
        self._network, self._error = network, timedelta(milliseconds=int(error * 1000))

    def now(self) -> datetime:
        return self._network.server_time() + self._error

    def observe(self, server_time: datetime) -> None: ...


class Host:
    """One machine.

    Args:
        quiet: it neither reports on its workers nor asks what is paused.
    """

    def __init__(
        self, hub: Hub, network: SimulatedNetwork, name: str, config: Config, handlers: Any, *, quiet: bool = False
    ) -> None:
        self.hub, self._network, self.name, self._config, self._handlers = hub, network, name, config, handlers
        self._quiet = quiet
        self._starts = self._workers = 0
        self.workers: list[WorkerProcess] = []
        self.supervisor: Process
        self._main: Thread
        self.start()

    @property
    def processes(self) -> list[Process]:
        """Those that live: the supervisor's, and its workers'."""
        return [one for one in (self.supervisor, *(worker.inner for worker in self.workers)) if one.alive]

    def start(self) -> None:
        """Start the supervisor; when it ends its workers die with it, and it is started again."""
        self._starts += 1
        self.supervisor = Process(self.hub, f"{self.name}-supervisor-{self._starts}")
        self.supervisor.on_end.append(self._supervisor_ended)
        self._main = self.supervisor.start(self._supervise)

    def wake(self) -> None:
        """Something happened that the supervisor waits for."""
        self._main.wake()

    def is_quiet(self) -> bool:
        """Whether nothing is due, so that its workers would look in vain."""
        now, queue = self._network.server_time(), self._network.store.latest.get("Q", {})
        return not any(one["state"] == "queued" and one["due_at"] <= now for one in queue.values())

    def freeze(self, seconds: float) -> None:
        """The whole machine stands still, its kernel included."""
        for process in self.processes:
            process.pause(seconds)
            process.frozen_until = self.hub.time + seconds

    def started(self, process: WorkerProcess, assignment: Assignment) -> None:
        """A worker's process begins."""
        self.workers.append(process)
        process.inner.on_end.append(lambda: self.workers.remove(process))
        process.inner.start(lambda: self._work(process, assignment))

    # The supervisor's process

    def _supervise(self) -> None:
        hub, name = self.hub, self.supervisor.name
        supervisor = self.supervisor
        queue = self._queue_of(name)
        keeper = LeaseKeeper(
            queue,
            lease_seconds=self._config.workers.lease_seconds,
            events=Events(),
            now=hub.now,
            random=hub.random.random,
            wake=Event(hub),
        )
        Supervisor(
            self._config,
            "simulated",
            queue,
            events=Events(),
            now=hub.now,
            keeper=keeper,
            spawn=self._spawn,
            wait=lambda _, timeout: hub.sleep(timeout + hub.between(0.3, 1.6)),
            start=lambda run: _Joined(supervisor.start(run)),
            end_orphans=list,
        ).run(Stop(hub))  # type: ignore[arg-type]

    def _spawn(self, *arguments: Any, **options: Any) -> Child:
        self._workers += 1
        return Child(*arguments, **options, worker=f"{self.name}-worker-{self._workers}", processes=Processes(self))

    def _supervisor_ended(self) -> None:
        for worker in self.workers:
            self.hub.later(self.hub.between(0.001, 0.02), worker.kill)  # by the kernel: their death signal
        self.hub.later(self.hub.between(0.3, 2.5), self.start)

    # A worker's process: as `transqueue.worker.process.work`

    def _work(self, process: WorkerProcess, assignment: Assignment) -> None:
        hub, config = self.hub, self._config
        hub.sleep(hub.between(0.01, 0.5))
        queue = self._queue_of(assignment.worker)
        marker = LivingMarker(assignment.marker, process.inner)
        worker = self._assemble(process, assignment, queue, marker)
        try:
            began = hub.now()
            record = WorkerRecord(
                id=assignment.worker, host=self.name, pid=1, slot=assignment.slot, sessions=queue.sessions
            )
            queue.begin(record, lease_seconds=config.workers.lease_seconds)
        except QueueUnavailable:
            process.inner.end(EXIT_BOOT_FAILED)
            return
        assignment.marker.alarm_at = alarm_moment(began, config.workers.lease_seconds)
        process.inner.set_alarm(assignment.marker.alarm_at)
        assignment.link.send("ready")
        self.wake()
        try:
            worker.run()
        except TrackLost:
            marker.idle()
            process.inner.end(EXIT_TRACK_LOST)
        process.inner.end(0)

    def _assemble(self, process: WorkerProcess, assignment: Assignment, queue: Any, marker: LivingMarker) -> Worker:
        hub, pace, events = self.hub, Pace(), Events()
        executor = Executor(
            clock=queue.clock,
            marker=marker,
            new_transaction=self._handlers.follow_up,
            monotonic=hub.now,
            boot_time=hub.now,
            random=hub.random.random,
        )
        return Worker(
            queue,
            Batches(queue, executor, events=events, pace=pace, monotonic=hub.now),
            self._handlers.bounds,
            id=assignment.worker,
            lanes=lanes_of(assignment.slot, self._config.workers.processes),
            pace=pace,
            stop=process.stop,
            events=events,
            first=hub.random.randrange(1 << 16),
            monotonic=hub.now,
        )

    def _queue_of(self, name: str) -> MongoQueue:
        hub, time = self.hub, HostTime(self._network, self.hub.between(-0.05, 0.05))
        given = {"monotonic": hub.now, "sleep": hub.sleep, "chance": hub.random}
        return queue_on(self._network, time, name=name, quiet=self._quiet, **given)


class _Joined:
    """A thread that somebody waits for, for a while."""

    def __init__(self, thread: Thread) -> None:
        self._thread = thread

    def join(self, timeout: float) -> None:
        hub, until = self._thread.process.hub, self._thread.process.hub.time + timeout
        while not self._thread.dead and hub.time < until:
            hub.sleep(0.1)
