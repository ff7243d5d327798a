"""Sweeps what has ended and whose time is over, beside a supervisor: a small step, then a much longer rest.

It takes a twentieth of the time, so that nobody notices, and a quarter when that has not been enough for an hour.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable

from ..admin.retention import Retention
from ..config import Config
from ..errors import TransQueueError
from ..events import Events
from ..mongodb import MongoQueue
from ..transaction import State

FIRST_SECONDS = 2.0
IDLE_SECONDS = 30.0  # when nothing is left, or another host has the turn
RESTS, HURRIED_RESTS, SHORTEST_REST = 19.0, 3.0, 0.05  # after a step: so many times as long as it took
PATIENCE_SECONDS = 3600.0
JOIN_SECONDS = 5.0


def retention_of(config: Config) -> Retention:
    """The retention that a configuration asks for."""
    given = config.retention
    days = {
        State.DONE: given.done_days,
        State.REJECTED: given.rejected_days,
        State.CANCELLED: given.cancelled_days,
        State.DEAD: given.dead_days,
    }
    return Retention(days=days, key_days=given.idempotency_days)


class Sweeper:
    """Takes steps in a thread of its own until it is closed; `config` gives the configuration in use."""

    def __init__(
        self,
        queue: MongoQueue,
        config: Callable[[], Config],
        *,
        events: Events,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue, self._config, self._events, self._monotonic = queue, config, events, monotonic
        self._caught_up_at = monotonic()
        self._holder, self._closing = uuid.uuid4().hex, threading.Event()
        self._removed = self._slimmed = 0
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End after the step under way."""
        self._closing.set()
        self._thread.join(JOIN_SECONDS)

    def turn(self) -> float:
        """One step; how long to rest after it."""
        began = self._monotonic()
        try:
            swept = self._queue.sweep.step(retention_of(self._config()), self._holder)
        except TransQueueError:  # the database is away: whoever needs it says so
            return IDLE_SECONDS
        self._removed, self._slimmed = self._removed + swept.removed, self._slimmed + swept.slimmed
        if not swept.over:
            rests = RESTS if began - self._caught_up_at < PATIENCE_SECONDS else HURRIED_RESTS
            return max(SHORTEST_REST, rests * (self._monotonic() - began))
        self._caught_up_at = began
        if self._removed or self._slimmed:
            self._events.emit("retention.swept", removed=self._removed, slimmed=self._slimmed)
            self._removed = self._slimmed = 0
        return IDLE_SECONDS

    def _run(self) -> None:
        rest = FIRST_SECONDS
        while not self._closing.wait(rest):
            try:
                rest = self.turn()
            except Exception as error:  # a defect here must not end the thread
                self._events.emit("ticker.failed", ticker="sweeper", error=repr(error))
                rest = IDLE_SECONDS
