"""Keeps the wanted number of workers alive, and their leases renewed: spawn, watch, reap, replace, stop.

It touches neither plugins nor transactions. A worker that dies is replaced at once, one that keeps dying ever more
slowly. Once the processes that it left behind are ended, what it held goes back to the queue, charged to the
transaction it was running and to no other. Killed itself, it takes its workers along: they die by their death signal.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection as Link
from multiprocessing.connection import wait
from typing import Any, Protocol

from ..config import Config
from ..events import Events
from ..plugins.isolation import limit_seconds
from ..process.lifeline import boot_time
from ..process.offspring import end_orphans
from ..process.signals import StopFlag
from ..queue import TransactionQueue
from .child import Child
from .keeper import LeaseKeeper
from .starts import Starts
from .succession import Succession

HEALTHY_SECONDS = 10.0
BACKOFF_SECONDS = (0.1, 30.0)
CRASHED_SECONDS = 2.0  # at most, after a worker that was ready: what it ran has been charged, and waits by itself
TURN_SECONDS = 0.1
KEEPER_SECONDS = 10.0


class Neighbour(Protocol):
    """Another process that the supervisor's own process looks after, such as the door."""

    def watch(self) -> None:
        """See that it is well; called in every turn."""

    def close(self) -> None:
        """End it in good order; called before the workers drain."""


class Running(Protocol):
    """What runs beside the supervisor's loop."""

    def join(self, timeout: float) -> None:
        """Wait for its end."""


@dataclass(slots=True)
class Slot:
    """The place of one worker: who is in it, and when the next may be."""

    number: int
    child: Child | None = None
    failures: int = 0
    not_before: float = 0.0


@dataclass(frozen=True, slots=True)
class Leaver:
    """A worker that was told to end, and until when it may take."""

    child: Child
    until: float


def _in_thread(run: Callable[[], None]) -> Running:
    thread = threading.Thread(target=run, name="keeper", daemon=True)
    thread.start()
    return thread


class Supervisor:
    """The parent of the worker processes of one host. Use it from the main thread.

    Args:
        keeper, spawn, wait, start: its keeper of leases, and what it makes children with, waits on them with, and runs
            its keeper beside itself with, where they are not the usual ones.
        end_orphans: ends what dead workers left behind, and returns what it was.
    """

    def __init__(
        self,
        config: Config,
        uri: str,
        queue: TransactionQueue,
        *,
        events: Events,
        log_json: bool = True,
        on_ready: Callable[[], None] | None = None,
        now: Callable[[], float] = boot_time,
        keeper: LeaseKeeper | None = None,
        spawn: Callable[..., Child] | None = None,
        wait: Callable[..., Any] = wait,
        start: Callable[[Callable[[], None]], Running] = _in_thread,
        end_orphans: Callable[[], Sequence[str]] = end_orphans,
    ) -> None:
        self._config, self._uri, self._events, self._now = config, uri, events, now
        self._spawn_child, self._wait, self._start = spawn or Child, wait, start
        self._log_json, self._on_ready, self._end_orphans = log_json, on_ready, end_orphans
        self._next = config
        self._starts = Starts(events, limit_seconds())
        self._slots = [Slot(number) for number in range(config.workers.processes)]
        self._leaving: list[Leaver] = []
        self.succession: Succession | None = None
        self.keeper = keeper or LeaseKeeper(queue, lease_seconds=config.workers.lease_seconds, events=events)

    @property
    def children(self) -> list[Child]:
        """The worker processes that have not been reaped, newcomers and those that leave included."""
        present = [slot.child for slot in self._slots if slot.child]
        return [*present, *(self.succession.children if self.succession else ()), *(one.child for one in self._leaving)]

    def run(self, stop: StopFlag, *, beside: Sequence[Neighbour] = ()) -> None:
        """Supervise until told to stop, then close the neighbours and let the workers drain."""
        keeping = self._start(self.keeper.run)
        self._clear_up()  # after one that was killed
        try:
            while not stop.is_set():
                self.turn()
                for neighbour in beside:
                    neighbour.watch()
                self._wait([stop.fileno(), *self._signs()], timeout=TURN_SECONDS)
                stop.clear()
        finally:
            for neighbour in beside:
                neighbour.close()
            self.stop()
            self.keeper.close()
            keeping.join(KEEPER_SECONDS)
            self._clear_up()

    def turn(self) -> None:
        """Look after every slot once."""
        for slot in self._slots:
            if slot.child:
                self._watch(slot, slot.child)
            elif self._now() >= slot.not_before:
                self._spawn(slot)
        if self.succession:
            self._watch_succession(self.succession)
        self._see_off()

    # A change of the whole set

    def bring_up(self, config: Config, *, tolerated: Collection[str]) -> None:
        """Start a new set of workers beside the present one; `succession` tells how it is.

        Args:
            tolerated: plugins that are broken already: they are no reason to keep the old set.
        """
        children = [self._start_child(config, number) for number in range(config.workers.processes)]
        self.succession = Succession(
            children,
            keeper=self.keeper,
            events=self._events,
            now=self._now,
            tolerated={*tolerated, *self._starts.left_out},
            starts=self._starts,
        )
        self._next = config

    def _watch_succession(self, succession: Succession) -> None:
        """A turn; a plugin that the newcomers do not survive either is no reason to keep the old set."""
        succession.turn()
        if succession.stuck and succession.stuck.name in self._starts.left_out:
            self.dismiss()
            self.bring_up(self._starts.without(self._next, succession.stuck.name), tolerated=succession.tolerated)

    def adopt(self) -> None:
        """The new set takes the place of the old one, which drains."""
        if self.succession:
            newcomers, self.succession = self.succession.children, None
            self._part([slot.child for slot in self._slots if slot.child])
            self._config = self._next
            self._starts.renew(self._config)
            self._slots = [Slot(child.slot, child) for child in newcomers]
            self.keeper.lengthen(self._config.workers.lease_seconds)

    def dismiss(self) -> None:
        """The old set stays, and the new one drains."""
        if self.succession:
            newcomers, self.succession = self.succession.children, None
            self._part(newcomers)

    def _part(self, children: Sequence[Child]) -> None:
        until = self._now() + self._config.workers.stop_seconds
        for child in children:
            child.stop()
            self._leaving.append(Leaver(child, until))

    def _see_off(self) -> None:
        for one in list(self._leaving):
            one.child.listen()  # what it says is of no use any more, and would keep waking this loop
            if one.child.process.exitcode is not None:
                self._bury(one.child)
                self._leaving.remove(one)
            elif self._now() > one.until or one.child.worker in self.keeper.lapsed:
                one.child.kill()
            else:
                one.child.check_deadline(self._now())

    def stop(self) -> None:
        """Drain: running handlers may end, for a while; what is cut off then is given back uncharged."""
        self.dismiss()
        for child in self.children:
            child.stop()
        limit = self._now() + self._config.workers.stop_seconds
        while self.children and self._now() < limit:
            self._wait([child.process.sentinel for child in self.children], timeout=TURN_SECONDS)
            self._reap_dead()
        for child in self.children:
            child.kill()
            child.process.join()
        self._reap_dead()

    def _signs(self) -> list[Link | int]:
        children = self.children
        links = [child.link for child in children if not child.is_ready]
        return [*(child.process.sentinel for child in children), *links]

    def _spawn(self, slot: Slot) -> None:
        slot.child = self._start_child(self._starts.usable(self._config), slot.number)

    def _start_child(self, config: Config, number: int) -> Child:
        child = self._spawn_child(config, self._uri, number, now=self._now(), log_json=self._log_json)
        self._events.emit("worker.spawned", worker=child.worker[:8], slot=number, pid=child.process.pid)
        return child

    def _watch(self, slot: Slot, child: Child) -> None:
        if child.listen():
            self._events.emit("worker.ready", worker=child.worker[:8], slot=slot.number)
            self.keeper.keep(child)
            self._tell_ready()
        if child.process.exitcode is not None:
            if self._starts.judge(child):
                slot.failures = 0  # another start than the last ones
            self._reap(slot, child)
        elif child.worker in self.keeper.lapsed:
            self._events.emit("worker.lapsed", worker=child.worker[:8])
            child.kill()
        elif not child.is_ready and self._starts.check_boot(child, self._now()):
            child.kill()
        elif child.check_deadline(self._now()):
            self._events.emit("worker.timed_out", worker=child.worker[:8], transaction=child.running)
        elif child.check_memory(self._config.workers.memory_mib):
            self._events.emit("worker.too_big", worker=child.worker[:8], transaction=child.running)

    def _tell_ready(self) -> None:
        self._starts.ready()
        if self._on_ready and all(slot.child and slot.child.is_ready for slot in self._slots):
            self._on_ready()
            self._on_ready = None

    def _reap_dead(self) -> None:
        for slot in self._slots:
            if slot.child and slot.child.process.exitcode is not None:
                self._reap(slot, slot.child)
        self._see_off()

    def _reap(self, slot: Slot, child: Child) -> None:
        self._bury(child)
        self._replace_later(slot, child)

    def _bury(self, child: Child) -> None:
        casualty = child.casualty(self._now())
        self._clear_up()
        self.keeper.end(child, casualty)
        if child.process.exitcode != 0:
            self._events.emit(
                "worker.died", worker=child.worker[:8], slot=child.slot, ending=child.ending, ran=casualty.running
            )
        child.close()

    def _clear_up(self) -> None:
        if left := self._end_orphans():
            self._events.emit("processes.left_behind", processes=list(left))

    def _replace_later(self, slot: Slot, child: Child) -> None:
        lived = self._now() - child.spawned_at
        slot.failures = 0 if child.is_ready and lived > HEALTHY_SECONDS else slot.failures + 1
        first, longest = BACKOFF_SECONDS
        longest = CRASHED_SECONDS if child.is_ready else longest
        pause = min(longest, first * 2.0 ** min(slot.failures - 1, 60)) if slot.failures else 0.0
        slot.not_before = self._now() + pause
        slot.child = None
