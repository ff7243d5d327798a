"""Those who show keys that open nothing: how often each address may, and how it is told.

A key cannot be guessed, so this keeps logs, audit and answers within bounds: whoever shows a good key passes at any
time, also behind the same proxy.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ..errors import QueueUnavailable
from ..events import Events

BURST = 10  # wrong keys at once from one address, at one door
REFILL_SECONDS = 6.0  # until one more is answered as usual
TOLD_AGAIN_SECONDS = 60.0  # how often the audit is told of one address, by each process
ADDRESSES = 10_000  # remembered at most


class Audit(Protocol):
    """Where it is kept who did what."""

    def record(self, by: str, action: str, target: str, facts: Mapping[str, Any], /) -> None:
        """Keep one thing that was done, or tried."""
        ...


class Strangers:
    """Counts wrong keys by address. Safe for use by many threads.

    Args:
        processes: how many answer at this door. They do not tell each other, so each allows its part only: all together
            allow no more than one would, but for one wrong key in each.
    """

    def __init__(
        self,
        events: Events,
        audit: Audit | None,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        processes: int = 1,
    ) -> None:
        self._events, self._audit, self._monotonic = events, audit, monotonic
        self._burst, self._refill_seconds = max(1, BURST // processes), REFILL_SECONDS * processes
        self._debts: dict[str, tuple[float, float]] = {}  # by address: how many count against it, and as of when
        self._told: dict[str, float] = {}
        self._lock = threading.Lock()

    def wait_seconds(self, address: str) -> int:
        """Count one more wrong key. How long this address shall wait; 0 when it is not one of many."""
        now = self._monotonic()
        with self._lock:
            debt = self._debt(address, now) + 1
            self._debts.pop(address, None)
            self._debts[address] = (min(debt, self._burst + 1.0), now)
            self._forget(self._debts)
            tells = now - self._told.get(address, -TOLD_AGAIN_SECONDS) >= TOLD_AGAIN_SECONDS
            if tells:
                self._told.pop(address, None)
                self._told[address] = now
                self._forget(self._told)
        if tells:
            self._tell(address)
        return math.ceil((debt - self._burst) * self._refill_seconds) if debt > self._burst else 0

    def _debt(self, address: str, now: float) -> float:
        debt, since = self._debts.get(address, (0.0, now))
        return max(0.0, debt - (now - since) / self._refill_seconds)

    def _forget(self, known: dict[str, Any]) -> None:
        while len(known) > ADDRESSES:
            del known[next(iter(known))]

    def _tell(self, address: str) -> None:
        self._events.emit("key.refused", address=address)
        if self._audit:
            try:
                self._audit.record("nobody", "key.refused", address, {"told_again_after_seconds": TOLD_AGAIN_SECONDS})
            except QueueUnavailable as error:
                self._events.emit("audit.failed", action="key.refused", target=address, error=str(error))
