"""A queue that is too deep: who comes is told to come back when there will be room, by the rate at which it drains.

How deep it is was counted for all doors together some seconds ago (`Measures.depths`); what this door has taken since
is added. `look` reads that every few seconds, so that no request waits for it; while it cannot be read, what was last
known counts, and nobody is turned away before anything was.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from ..admin.measures import Measures
from ..clock import Clock
from ..errors import SubmissionRefused

ROOM = 0.1  # of the bound: those turned away come back when so much is free again
SHORTEST_SECONDS, LONGEST_SECONDS = 1, 300
DRAINED_MINUTES = 2  # whole ones, and the present one, by which the rate is measured
ENDED = ("done", "rejected", "dead", "cancelled")


@dataclass(frozen=True, slots=True)
class Load:
    """How deep the queue was, when that was counted, and how many ended a second lately."""

    counted_at: datetime
    depth: int
    drained: float


class Overload:
    """Turns submissions away while more than `bound` transactions wait or run. Safe for use by many threads."""

    def __init__(
        self,
        measures: Measures,
        clock: Clock,
        bound: int,
        *,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._measures, self._clock, self._bound, self._uniform = measures, clock, bound, uniform
        self._load: Load | None = None
        self._taken, self._lock = 0, Lock()

    def look(self) -> None:
        """Read how deep it is, and how fast it drains: to be called every few seconds.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        depths = self._measures.depths()
        depth = sum(depth.queued + depth.running for depth in depths.types.values())
        load = Load(depths.at, depth, self._drained() if depth > self._bound * (1 - ROOM) else 0.0)
        with self._lock:
            if self._load is None or self._load.counted_at != load.counted_at:
                self._taken = 0  # it is in the count
            self._load = load

    def check(self) -> None:
        """Whether there is room.

        Raises:
            SubmissionRefused: 503 `overloaded`; nothing was stored.
        """
        load = self._load
        if load is not None and (depth := load.depth + self._taken) > self._bound:
            raise _overloaded(depth, self._retry_after(depth, load.drained))

    def took(self, count: int) -> None:
        """So many were accepted."""
        with self._lock:
            self._taken += count

    def _retry_after(self, depth: int, drained: float) -> int:
        """When there will be room, spread over as long again, so that they do not all come at once."""
        over = depth - self._bound * (1 - ROOM)
        seconds = over / drained if drained else LONGEST_SECONDS
        spread = self._uniform(seconds, 2 * seconds)
        return min(LONGEST_SECONDS, max(SHORTEST_SECONDS, math.ceil(spread)))

    def _drained(self) -> float:
        now = self._clock.now()
        since = now.replace(second=0, microsecond=0) - timedelta(minutes=DRAINED_MINUTES)
        points = self._measures.series(None, since, now + timedelta(minutes=1), 60)
        ended = sum(point.count(outcome) for point in points for outcome in ENDED)
        began = min((point.at for point in points), default=since)
        return ended / max(1.0, (now - began).total_seconds())


def _overloaded(depth: int, seconds: int) -> SubmissionRefused:
    message = f"Too much waits already (about {depth:,} transactions); nothing was stored. Come back in {seconds} s."
    return SubmissionRefused(503, "overloaded", message, retry_after_seconds=seconds)
