"""One worker process: lease, execute, settle, repeat until told to stop.

It dies with its supervisor, and at the end of its lease, by the kernel's hand. What it holds is never in doubt: when an
answer of the database leaves it in doubt (`TrackLost`), it ends, and its supervisor puts everything back.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection as Link
from typing import Any, Protocol

from . import logs
from .batch import Batches
from .config import Config
from .errors import QueueUnavailable, TrackLost, TransQueueError
from .events import Events
from .executor import Bound, Executor, NewTransaction
from .lifeline import LeaseAlarm, boot_time, die_with_parent
from .marker import Marker
from .mongodb import connect
from .pace import Pace
from .plugins import HandlerTable, load_plugins
from .queue import TransactionQueue, WorkerRecord
from .signals import StopFlag
from .submission import Admission, read_envelope, read_json, write_json
from .transaction import KEYED_LANES, LANES, Transaction

EXIT_STOPPED, EXIT_BOOT_FAILED, EXIT_TRACK_LOST = 0, 70, 75
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, WAIT_GROWTH = 0.005, 0.1, 1.5
UNAVAILABLE_WAIT_SECONDS = 0.5
LOOK_AROUND = 8  # turns
FAMILY_SECONDS = 0.5  # how long the types found for a family are believed


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a supervisor hands to a worker that it spawns; everything else the worker makes itself."""

    config: Config
    uri: str
    worker: str
    slot: int
    supervisor: int
    marker: Marker
    link: Link
    log_json: bool


class Waiting(Protocol):
    """What a worker sleeps on."""

    def is_set(self) -> bool: ...

    def wait(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Source:
    """One place that a worker leases from."""

    name: str
    lease: Callable[[], Sequence[Transaction]]
    in_order: bool = False


class Worker:
    """The loop of a worker process. One turn is a method, so tests take it turn by turn."""

    def __init__(
        self,
        queue: TransactionQueue,
        batches: Batches,
        bounds: Mapping[str, Bound],
        *,
        id: str,
        lanes: Sequence[int],
        pace: Pace,
        stop: Waiting,
        events: Events,
        is_parked: Callable[[str], bool] = lambda _: False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue, self._batches, self._bounds = queue, batches, bounds
        self._id, self._lanes, self._pace, self._stop, self._events = id, lanes, pace, stop, events
        self._is_parked, self._monotonic = is_parked, monotonic
        self._families = [type for type in bounds if type.endswith(".*")]
        self._found: tuple[float, list[str]] = (float("-inf"), [])
        self._next = self._turns = 0

    def run(self) -> None:
        """Take turns until told to stop."""
        wait = FIRST_WAIT_SECONDS
        while not self._stop.is_set():
            try:
                worked = self.turn()
            except QueueUnavailable as error:
                self._events.emit("queue.unavailable", message=str(error))
                self._stop.wait(UNAVAILABLE_WAIT_SECONDS)
                continue
            wait = FIRST_WAIT_SECONDS if worked else min(wait * WAIT_GROWTH, LONGEST_WAIT_SECONDS)
            if not worked:
                self._stop.wait(wait)

    def turn(self) -> bool:
        """Lease transactions of the next type that has any due, and work them off. Whether there were any.

        Raises:
            QueueUnavailable: the database did not answer; nothing is held.
            TrackLost: it is not known what is held.
        """
        types = self._types()
        if not types or not self._queue.due(types):
            return False
        sources = self._sources(types)
        for step in range(len(sources)):
            at = (self._next + step) % len(sources)
            if leased := sources[at].lease():
                self._next = at + 1
                self._work_off(sources[at], leased)
                return True
        return False

    def _work_off(self, source: Source, leased: Sequence[Transaction]) -> None:
        began = self._monotonic()
        self._batches.work_off(self._bound, leased, stopping=self._stop.is_set)
        if source.in_order:
            self._pace.learn(source.name, len(leased), self._monotonic() - began)
        self._turns += 1

    def _sources(self, types: Sequence[str]) -> list[Source]:
        """Each type by itself, and each plugin's types together where keys order them."""
        of_plugins: dict[str, list[str]] = {}
        for type in types:
            of_plugins.setdefault(self._bound(type).handler.plugin, []).append(type)
        ordered = [
            Source(f"{plugin}/", partial(self._lease_in_order, plugin, types), in_order=True)
            for plugin, types in of_plugins.items()
        ]
        return [*(Source(type, partial(self._lease, type)) for type in types), *ordered]

    def _lease(self, type: str) -> Sequence[Transaction]:
        """From this worker's own lanes first, so that workers keep out of each other's way."""
        limit = self._pace.limit(type)
        own = [] if self._looks_around() else self._queue.lease(self._id, type, limit=limit, lanes=self._lanes)
        return own or self._queue.lease(self._id, type, limit=limit)

    def _lease_in_order(self, plugin: str, types: Sequence[str]) -> Sequence[Transaction]:
        """As `_lease`, and each time from another lane on, so that no lane has to wait for the others."""
        own = _turned([KEYED_LANES[lane] for lane in self._lanes], self._turns)
        others = _turned([lane for lane in KEYED_LANES if lane not in own], self._turns)
        lanes = [*others, *own] if self._looks_around() else [*own, *others]
        return self._queue.lease_in_order(self._id, plugin, types, limit=self._pace.limit(f"{plugin}/"), lanes=lanes)

    def _looks_around(self) -> bool:
        """Now and then, so that the lanes of a worker that is busy for long do not wait for it."""
        return self._turns % LOOK_AROUND == LOOK_AROUND - 1

    def _types(self) -> list[str]:
        exact = [type for type in self._bounds if not type.endswith(".*")]
        return exact + (self._of_families(exact) if self._families else [])

    def _of_families(self, exact: Sequence[str]) -> list[str]:
        """The types in the queue that only a family claims; one whose own claim is parked waits for that."""
        looked, found = self._found
        if self._monotonic() - looked > FAMILY_SECONDS:
            prefixes = [family.removesuffix("*") for family in self._families]
            queued = {type for prefix in prefixes for type in self._queue.queued_types(prefix)} - set(exact)
            found = sorted(type for type in queued if not self._is_parked(type))
            self._found = (self._monotonic(), found)
        return found

    def _bound(self, type: str) -> Bound:
        if type in self._bounds:
            return self._bounds[type]
        families = [family for family in self._families if type.startswith(family.removesuffix("*"))]
        return self._bounds[max(families, key=len)]


def lanes_of(slot: int, processes: int) -> list[int]:
    """The lanes that the worker of a slot looks into first."""
    return [lane for lane in range(LANES) if lane % max(processes, 1) == slot % max(processes, 1)] or [slot % LANES]


def _turned(lanes: Sequence[int], by: int) -> list[int]:
    at = by % len(lanes) if lanes else 0
    return [*lanes[at:], *lanes[:at]]


def bind(table: HandlerTable, events: Events) -> dict[str, Bound]:
    """The handlers of the table, ready to be called here. One whose class cannot be made is told, and parks."""
    bounds: dict[str, Bound] = {}
    for type, handler in table.types().items():
        config = table.config_of(handler.plugin)
        try:
            bounds[type] = Bound(handler, handler.callable(config), config)
        except BaseException as error:
            events.emit("plugin.broken", plugin=handler.plugin, type=type, phase="handlers", reason=repr(error))
    return bounds


def is_parked(table: HandlerTable, bounds: Mapping[str, Bound], type: str) -> bool:
    """Whether the claim that a type falls under has no handler that works here."""
    handler = table.resolve(type)
    return handler is None or handler.type not in bounds


def follow_ups(admission: Admission) -> NewTransaction:
    """What makes follow-ups: read as strictly as if they came through the door."""

    def new(type: str, data: Mapping[str, Any], options: Mapping[str, Any]) -> Transaction:
        sent = {"type": type, "data": data} | ({"options": options} if options else {})
        return admission.admit(read_envelope(read_json(write_json(sent, nan_as_null=False).encode())))

    return new


def work(assignment: Assignment) -> None:
    """The whole life of a worker process; the target of its supervisor's spawn."""
    die_with_parent(assignment.supervisor)
    stop = StopFlag(ignore_interrupt=True)
    alarm = LeaseAlarm()
    logs.configure(as_json=assignment.log_json)
    events = Events(logs.listener(role="worker", worker=assignment.worker[:8], slot=assignment.slot))
    try:
        queue = connect(assignment.uri, assignment.config.mongodb.database)
        table = load_plugins(assignment.config, events=events, known_types=queue.catalog.known_types())
        table.startup("worker")
        worker = _assemble(assignment, queue, table, stop, events)
        _begin(assignment, queue, alarm)
    except TransQueueError as error:
        events.emit("worker.boot_failed", message=str(error))
        sys.exit(EXIT_BOOT_FAILED)
    try:
        worker.run()
    except TrackLost as error:
        events.emit("worker.track_lost", message=str(error))
        assignment.marker.idle()  # it is the database's doing, so nothing is charged for it
        sys.exit(EXIT_TRACK_LOST)
    table.shutdown("worker")
    queue.close()


def _assemble(assignment: Assignment, queue: Any, table: HandlerTable, stop: StopFlag, events: Events) -> Worker:
    config, pace = assignment.config, Pace()
    admission = Admission(table=table, default_type=config.default_type, clock=queue.clock, events=events)
    executor = Executor(clock=queue.clock, marker=assignment.marker, new_transaction=follow_ups(admission))
    bounds = bind(table, events)
    return Worker(
        queue,
        Batches(queue, executor, events=events, pace=pace),
        bounds,
        id=assignment.worker,
        lanes=lanes_of(assignment.slot, config.workers.processes),
        pace=pace,
        stop=stop,
        events=events,
        is_parked=partial(is_parked, table, bounds),
    )


def _begin(assignment: Assignment, queue: Any, alarm: LeaseAlarm) -> None:
    """Start the lease, and from now on live only as long as the supervisor says that it is held."""
    lease_seconds = assignment.config.workers.lease_seconds
    began = boot_time()
    record = WorkerRecord(
        id=assignment.worker, host=socket.gethostname(), pid=os.getpid(), slot=assignment.slot, sessions=queue.sessions
    )
    queue.begin(record, lease_seconds=lease_seconds)
    alarm.set(alarm_moment(began, lease_seconds))
    threading.Thread(target=_follow, args=(assignment.link, alarm), daemon=True, name="lease").start()
    assignment.link.send("ready")


def alarm_moment(renewal_began: float, lease_seconds: float) -> float:
    """When a worker must be dead, in `boot_time`: safely before a lease renewed after `renewal_began` lapses."""
    return renewal_began + lease_seconds * 0.9


def _follow(link: Link, alarm: LeaseAlarm) -> None:
    """Set the alarm to each moment that the supervisor sends. Its silence ends in the alarm, its death in ours."""
    while True:
        try:
            alarm.set(link.recv())
        except (EOFError, OSError):
            os._exit(EXIT_TRACK_LOST)
