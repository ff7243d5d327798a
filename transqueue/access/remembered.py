"""What was looked up, remembered for a moment, so that many who ask at once cost one look.

What was found counts for `FRESH_SECONDS`, and for `STALE_SECONDS` while somebody looks again. A look counts from when
it began, so what is given was true less than `STALE_SECONDS` ago.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")

FRESH_SECONDS = 2.0
STALE_SECONDS = 4.0


class Remembered(Generic[Value]):
    """One thing that is looked up. Safe for use by many threads."""

    def __init__(self, look: Callable[[], Value], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._look, self._monotonic = look, monotonic
        self._found: tuple[float, Value] | None = None
        self._looking, self._lock = False, threading.Lock()

    def __call__(self) -> Value:
        """What was found; whatever looking raises is raised."""
        began = self._monotonic()
        with self._lock:
            if self._found and began - self._found[0] < (STALE_SECONDS if self._looking else FRESH_SECONDS):
                return self._found[1]
            self._looking = True
        try:
            value = self._look()
            self._keep(began, value)
        finally:
            self._looking = False
        return value

    def _keep(self, began: float, value: Value) -> None:
        """An older look never replaces a newer one."""
        with self._lock:
            if self._found is None or self._found[0] <= began:
                self._found = (began, value)
