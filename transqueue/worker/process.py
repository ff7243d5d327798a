"""The life of a worker process: made by its supervisor's spawn, from booting to the last word.

It dies with its supervisor, and at the end of its lease, by the kernel's hand; what its plugins started and left behind
is ended with it. What it holds is never in doubt: when an answer of the database leaves it in doubt (`TrackLost`), it
ends, and its supervisor puts everything back.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection as Link
from typing import Any

from .. import logs
from ..admin.measures import FLUSH_SECONDS
from ..config import Config
from ..errors import PluginBroken, TrackLost, TransQueueError
from ..events import Events
from ..executor import Bound, Executor
from ..mongodb import connect
from ..plugins import HandlerTable, load_plugins
from ..plugins.reporting import Reporting
from ..process.collector import spare_the_collector
from ..process.event_loop import EventLoop
from ..process.lifeline import LeaseAlarm, boot_time, die_with_parent
from ..process.marker import Marker
from ..process.offspring import become_founder, end_offspring
from ..process.signals import StopFlag
from ..queue import WorkerRecord
from ..submission import Admission
from ..ticker import Ticker
from ..transaction import KEYED_LANES
from .batch import Batches
from .binding import bind, follow_ups, is_parked
from .pace import Pace
from .worker import Worker, lanes_of

EXIT_BOOT_FAILED, EXIT_TRACK_LOST = 70, 75
FIRST_TURNS = 1 << 16  # far more than there are types, so that each is the first one equally often


@dataclass(frozen=True, slots=True)
class Starting:
    """A worker's word before it runs a plugin's code at its start; without a plugin: that code has come back.

    Attributes:
        at: the moment, in `boot_time`.
    """

    plugin: str
    phase: str
    at: float


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


def work(assignment: Assignment) -> None:
    """The whole life of a worker process; the target of its supervisor's spawn."""
    die_with_parent(assignment.supervisor)
    become_founder()
    config = assignment.config
    logs.configure(as_json=assignment.log_json, level=config.logs.level.upper(), secrets=config.secrets)
    events = Events(logs.listener(role="worker", worker=assignment.worker[:8], slot=assignment.slot))
    try:
        _live(assignment, events)
    finally:
        if left := end_offspring(os.getpid()):
            events.emit("processes.left_behind", processes=left)


def _live(assignment: Assignment, events: Events) -> None:
    stop = StopFlag(ignore_interrupt=True)
    alarm = LeaseAlarm()

    def before(plugin: str, phase: str) -> None:
        assignment.link.send(Starting(plugin, phase, boot_time()))

    try:
        queue = connect(assignment.uri, assignment.config.mongodb.database)
        table = load_plugins(assignment.config, events=events, known_types=queue.catalog.known_types(), before=before)
        table.startup("worker", before)
        bounds = bind(table, events, EventLoop(), before)
        before("", "")
        queue.catalog.remember(table.working_types())
        worker = _assemble(assignment, queue, table, bounds, stop, events)
        spare_the_collector()
        _begin(assignment, queue, alarm, table, bounds)
    except TransQueueError as error:
        events.emit("worker.boot_failed", message=str(error))
        if isinstance(error, PluginBroken):
            assignment.link.send(error)
        sys.exit(EXIT_BOOT_FAILED)
    queue.measures.keep_days = assignment.config.retention.measures_days
    ticker = Ticker("measures", FLUSH_SECONDS, queue.measures.flush, events=events).start()
    reporting = Reporting(table, queue.catalog, "worker", assignment.slot, events)
    try:
        worker.run()
    except TrackLost as error:
        events.emit("worker.track_lost", message=str(error))
        assignment.marker.idle()  # it is the database's doing, so nothing is charged for it
        sys.exit(EXIT_TRACK_LOST)
    table.shutdown("worker")
    reporting.close()
    ticker.close()
    queue.close()


def _assemble(
    assignment: Assignment,
    queue: Any,
    table: HandlerTable,
    bounds: Mapping[str, Bound],
    stop: StopFlag,
    events: Events,
) -> Worker:
    config, pace = assignment.config, Pace()
    admission = Admission(table=table, default_type=config.default_type, clock=queue.clock, events=events)
    executor = Executor(
        clock=queue.clock,
        marker=assignment.marker,
        new_transaction=follow_ups(admission),
        ran=partial(queue.measures.tally.observe, histogram="run"),
    )
    lanes = lanes_of(assignment.slot, config.workers.processes)
    bell = queue.wakeup([*lanes, *(KEYED_LANES[lane] for lane in lanes)], stop.wake)
    bell.start()
    batches = Batches(queue, executor, events=events, pace=pace, wake=stop.wake)
    batches.overtime.start()
    return Worker(
        queue,
        batches,
        bounds,
        id=assignment.worker,
        lanes=lanes,
        bell=bell,
        pace=pace,
        stop=stop,
        events=events,
        first=secrets.randbelow(FIRST_TURNS),
        is_parked=partial(is_parked, table, bounds),
    )


def _begin(assignment: Assignment, queue: Any, alarm: LeaseAlarm, table: HandlerTable, claims: Collection[str]) -> None:
    """Start the lease, and from now on live only as long as the supervisor says that it is held."""
    lease_seconds = assignment.config.workers.lease_seconds
    began = boot_time()
    record = WorkerRecord(
        id=assignment.worker,
        host=socket.gethostname(),
        pid=os.getpid(),
        slot=assignment.slot,
        sessions=queue.sessions,
        types=tuple(claims),
        broken={state.name: state.reason for state in table.failures()},
    )
    queue.begin(record, lease_seconds=lease_seconds)
    set_alarm = partial(_set, alarm, assignment.marker)
    set_alarm(alarm_moment(began, lease_seconds))
    threading.Thread(target=_follow, args=(assignment.link, set_alarm), daemon=True, name="lease").start()
    assignment.link.send(record.broken)


def alarm_moment(renewal_began: float, lease_seconds: float) -> float:
    """When a worker must be dead, in `boot_time`: safely before a lease renewed after `renewal_began` lapses."""
    return renewal_began + lease_seconds * 0.9


def _set(alarm: LeaseAlarm, marker: Marker, moment: float) -> None:
    alarm.set(moment)
    marker.alarm_at = moment


def _follow(link: Link, set_alarm: Callable[[float], None]) -> None:
    """Set the alarm to each moment that the supervisor sends. Its silence ends in the alarm, its death in ours."""
    while True:
        try:
            set_alarm(link.recv())
        except (EOFError, OSError):
            os._exit(EXIT_TRACK_LOST)
