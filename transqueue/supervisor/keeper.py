"""Keeps the leases of a supervisor's workers, and rescues those that others left behind.

A thread of its own, so that a database that does not answer never keeps the supervisor from watching its processes. If
it cannot renew a lease, it does nothing about it: the worker's own alarm, set at the last renewal, ends it in time.
"""

from __future__ import annotations

import random
import threading
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from ..errors import QueueUnavailable
from ..events import Events
from ..process.lifeline import boot_time
from ..queue import Casualty, Rescue, TransactionQueue
from ..worker.process import alarm_moment
from .child import Child

RENEWALS_PER_LEASE = 6
RESCUE_SECONDS = 5.0
AGAIN_SECONDS = 0.5


class Wake(Protocol):
    """What a keeper sleeps on: an event of `threading`, or one like it."""

    def set(self) -> None: ...

    def clear(self) -> None: ...

    def wait(self, timeout: float) -> bool: ...


class LeaseKeeper:
    """Renews, ends and rescues, one turn at a time."""

    def __init__(
        self,
        queue: TransactionQueue,
        *,
        lease_seconds: float,
        events: Events,
        now: Callable[[], float] = boot_time,
        random: Callable[[], float] = random.random,
        wake: Wake | None = None,
    ) -> None:
        self._queue, self._lease_seconds, self._events = queue, lease_seconds, events
        self._now, self._random = now, random
        self._kept: dict[str, Child] = {}
        self._untold: dict[str, Child] = {}  # renewed, and not reported since
        self._dead: deque[tuple[str, Casualty]] = deque()
        self._renew_at = self._rescue_at = 0.0
        self._lock, self._wake, self._closing = threading.Lock(), wake or threading.Event(), False
        self.lapsed: set[str] = set()

    def lengthen(self, lease_seconds: float) -> None:
        """From now on leases are as long as this."""
        with self._lock:
            self._lease_seconds, self._renew_at = lease_seconds, 0.0
        self._wake.set()

    def keep(self, child: Child) -> None:
        """Renew this worker's lease from now on."""
        with self._lock:
            self._kept[child.worker] = child
            self._renew_at = 0.0
        self._wake.set()

    def end(self, child: Child, casualty: Casualty) -> None:
        """This worker is dead: put back what it held, as soon as the database answers."""
        with self._lock:
            self._kept.pop(child.worker, None)
            self.lapsed.discard(child.worker)
            self._dead.append((child.worker, casualty))
        self._wake.set()

    def run(self) -> None:
        """Take turns until closed and nothing is left to put back."""
        while not self._closing or self._dead:
            self._wake.wait(self._wait_seconds())
            self._wake.clear()
            try:
                self.turn()
            except QueueUnavailable as error:
                self._events.emit("queue.unavailable", message=str(error))
            except Exception:  # a defect here must not let every lease lapse
                self._events.emit("keeper.failed", traceback=traceback.format_exc())
            else:
                continue
            if self._closing:
                return
            self._wake.wait(AGAIN_SECONDS)

    def close(self) -> None:
        """End `run` after what is to be put back; when the database is away, without it."""
        self._closing = True
        self._wake.set()

    def turn(self) -> None:
        """Renew when it is time, for lives depend on it; then end the dead, and rescue when it is time.

        Raises:
            QueueUnavailable: the database did not answer; the next turn goes on.
        """
        if self._now() >= self._renew_at:
            self._renew()
        self._end_dead()
        if self._now() >= self._rescue_at and not self._closing:
            self._rescue()
        self._report()

    def _end_dead(self) -> None:
        while self._dead:
            worker, casualty = self._dead[0]
            self._tell(self._queue.end(worker, casualty))
            self._dead.popleft()

    def _renew(self) -> None:
        began = self._now()
        with self._lock:
            kept = dict(self._kept)
        held = self._queue.renew(kept, lease_seconds=self._lease_seconds) if kept else frozenset()
        self._untold = {worker: child for worker, child in kept.items() if worker in held}
        for child in self._untold.values():
            child.renewed(alarm_moment(began, self._lease_seconds), now=self._now())
        with self._lock:
            self.lapsed |= (kept.keys() - held) & self._kept.keys()
            self._renew_at = began + self._lease_seconds / RENEWALS_PER_LEASE

    def _report(self) -> None:
        """Tell how the renewed ones are, after all that lives depend on; what cannot be told now is told next time."""
        children, self._untold = self._untold, {}
        if children:
            with suppress(QueueUnavailable):
                self._queue.report({worker: child.report(self._now()) for worker, child in children.items()})

    def _rescue(self) -> None:
        self._rescue_at = self._now() + RESCUE_SECONDS * (0.75 + 0.5 * self._random())
        for rescue in self._queue.rescue():
            self._tell(rescue)

    def _tell(self, rescue: Rescue) -> None:
        if rescue.released or rescue.charged or rescue.buried:
            self._events.emit(
                "transactions.rescued",
                worker=rescue.worker[:8],
                released=len(rescue.released),
                charged=list(rescue.charged),
                buried=list(rescue.buried),
            )

    def _wait_seconds(self) -> float:
        if self._dead:
            return 0.0
        return max(0.0, min(self._renew_at, self._rescue_at) - self._now())
