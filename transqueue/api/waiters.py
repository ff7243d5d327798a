"""Those who wait for a transaction to end, and the one thread that looks for all of them.

A request that waits holds its thread, so only a few may; the others are answered at once. The database is asked about
all awaited ids together: soon after someone came, then less and less often.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection

from ..queue import TransactionQueue

FIRST_SECONDS = 0.015
LONGEST_SECONDS = 0.1
GROWTH = 1.2


class Waiters:
    """Waits for ends on behalf of at most `limit` threads; its own thread starts with the first of them."""

    def __init__(self, queue: TransactionQueue, limit: int) -> None:
        self._queue, self._limit = queue, limit
        self._lock = threading.Lock()
        self._waiting: list[tuple[str, threading.Event]] = []
        self._interval = FIRST_SECONDS
        self._thread: threading.Thread | None = None

    def wait(self, transaction_id: str, seconds: float) -> None:
        """Return when the transaction has ended, after `seconds`, or at once when too many wait already."""
        place = (transaction_id, threading.Event())
        if not self._join(place):
            return
        try:
            place[1].wait(seconds)
        finally:
            self._leave(place)

    def _join(self, place: tuple[str, threading.Event]) -> bool:
        with self._lock:
            if len(self._waiting) >= self._limit:
                return False
            self._waiting.append(place)
            self._interval = FIRST_SECONDS
            self._start()
        return True

    def _leave(self, place: tuple[str, threading.Event]) -> None:
        with self._lock:
            self._waiting.remove(place)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._look, daemon=True, name="waiters")
            self._thread.start()

    def _look(self) -> None:
        while self._look_once():
            time.sleep(self._interval)

    def _look_once(self) -> bool:
        """Wake whose transactions have ended; false, and this thread is over, when nobody waits."""
        with self._lock:
            if not self._waiting:
                self._thread = None
                return False
            ids = {transaction_id for transaction_id, _ in self._waiting}
            self._interval = min(self._interval * GROWTH, LONGEST_SECONDS)
        self._wake(self._ended(ids))
        return True

    def _ended(self, ids: Collection[str]) -> frozenset[str]:
        try:
            return self._queue.ended(ids)
        except Exception:  # the next look may go well; those who wait are answered at their time at the latest
            return frozenset()

    def _wake(self, ids: frozenset[str]) -> None:
        with self._lock:
            for transaction_id, ended in self._waiting:
                if transaction_id in ids:
                    ended.set()
