"""The checks of `doctor` that look at the database and at what runs against it: clocks, workers, what waits."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ..admin.part import Part
from ..admin.pause import Pause
from ..clock import HostClock
from ..errors import QueueUnavailable, TopologyRefused, TransQueueError
from ..mongodb import MongoQueue
from ..mongodb.embedded import attach
from .finding import Finding, ok, warning, wrong
from .screen import told_seconds, told_time
from .setup import Setup

CLOCK_SECONDS = 1.0
WAITED_SECONDS = 60.0

START = "Start it with `transqueue up`."


def check_deployment(setup: Setup, types: Collection[str] | None) -> Iterator[Finding]:
    """The database and what runs against it. `types` are those with a working handler; none when that is not known."""
    try:
        if not setup.config.mongodb.uri and not attach(setup.config.data_dir):
            yield warning("database", "the private MongoDB is not running", START)
            return
        queue = setup.queue
    except TransQueueError as error:
        yield _unusable(error)
        return
    try:
        yield ok("database", f"{setup.config.mongodb.uri_shown or 'the private MongoDB'} answers and is a replica set")
        yield check_clock(queue.clock.now(), HostClock().now())
        yield check_workers(queue)
        depths = queue.measures.counted().types
        oldest = {type: one.oldest_due_at for type, one in depths.items() if one.oldest_due_at}
        yield from check_waiting(oldest, queue.clock.now(), types)
        yield from check_dead({type: one.dead for type, one in depths.items()})
        yield from check_paused(queue.paused())
        yield from check_parts(queue.parts.here(), _changed_at(setup.path))
    except QueueUnavailable as error:
        yield wrong("database", str(error), "It stopped answering a moment ago: look again.")
    finally:
        queue.close()


def check_clock(theirs: datetime, ours: datetime) -> Finding:
    """Leases and due times go by the database's clock; a host's own only matters to those who read its logs."""
    ahead = (ours - theirs).total_seconds()
    told = f"this host's clock is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} the database's"
    if abs(ahead) > CLOCK_SECONDS:
        return warning("clock", told, "Let NTP set both clocks (timedatectl set-ntp true).")
    return ok("clock", told)


def check_workers(queue: MongoQueue) -> Finding:
    """Some worker's lease is held."""
    workers = queue.workers()
    if not workers:
        return warning("workers", "none is alive, so nothing is processed", "Start some: `transqueue up`, or `work`.")
    hosts = sorted({worker.host for worker in workers})
    return ok("workers", f"{len(workers)} alive on {', '.join(hosts)}")


def check_waiting(oldest: Mapping[str, datetime], now: datetime, types: Collection[str] | None) -> Iterator[Finding]:
    """Nothing has been due for long; types without a working handler are named."""
    for type, due_at in sorted(oldest.items()):
        age = max(0.0, (now - due_at).total_seconds())
        told = f"the oldest has been due for {told_seconds(age)}"
        if types is not None and not _has_handler(type, types):
            yield warning(f"type {type}", f"parked, no enabled plugin processes it; {told}", "`transqueue plugins`")
        elif age > WAITED_SECONDS:
            yield warning(
                f"type {type}", told, f"More workers.processes may help; this machine has {os.cpu_count()} CPUs."
            )
        else:
            yield ok(f"type {type}", told)
    if not oldest:
        yield ok("queue", "nothing is due")


def check_dead(dead: Mapping[str, int]) -> Iterator[Finding]:
    """Nothing is dead: that is an operator's case, and may hold back ordering keys."""
    for type, count in dead.items():
        if count:
            cure = (
                f"`transqueue ls --state dead --type {type}` shows why; mend it, then `transqueue retry` or `cancel`."
            )
            yield warning(f"type {type}", f"{count} are dead", cure)


def check_paused(paused: Mapping[str, Pause]) -> Iterator[Finding]:
    """What an operator paused is told, for it may have been forgotten."""
    for type, pause in paused.items():
        because = f": {pause.reason}" if pause.reason else ""
        told = f"paused by {pause.by} at {told_time(pause.at)}{because}"
        yield warning(f"type {type}", told, f"`transqueue resume '{type}'` lets it go on.")


def check_parts(parts: Sequence[Part], changed_at: datetime | None) -> Iterator[Finding]:
    """Each part took up the configuration as it is, and all are of one version."""
    for part in parts:
        name, where = f"{part.role} {part.pid}", f"{part.role} on {part.host} (pid {part.pid})"
        if part.reload and not part.reload.well:
            cure = "Correct it, then `transqueue reload`; until then what ran before goes on."
            yield warning(name, f"the last reload of {where} was refused: {part.reload.message}", cure)
        elif part.host == socket.gethostname() and _is_older(part, changed_at):
            yield warning(name, f"config.yaml was changed since {where} read it", "`transqueue reload`")
        else:
            yield ok(name, f"{where}, version {part.version}")
    if len({part.version for part in parts}) > 1:
        yield warning("versions", "parts of several versions run side by side", "Upgrade the older ones soon.")


def _is_older(part: Part, changed_at: datetime | None) -> bool:
    read_at = part.reload.at if part.reload and part.reload.at else part.started_at
    return bool(changed_at and read_at and changed_at > read_at)


def _changed_at(file: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(file.stat().st_mtime, UTC)
    except OSError:
        return None


def _has_handler(type: str, types: Collection[str]) -> bool:
    return type in types or any(one.endswith(".*") and type.startswith(one.removesuffix("*")) for one in types)


def _unusable(error: TransQueueError) -> Finding:
    if isinstance(error, TopologyRefused):
        return wrong("database", str(error), "TransQueue will not start on it as it is.")
    return wrong("database", str(error), "Start MongoDB, or correct mongodb.uri in config.yaml.")
