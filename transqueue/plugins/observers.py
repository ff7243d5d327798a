"""Plugins that look on: each is told what happened in a thread of its own, and can hold up or break nothing.

A bounded number of events waits for each; what comes beyond that is left out. Whatever an observer raises is told, now
and then, and never to observers.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from types import MappingProxyType

from ..events import Event, Events
from .isolation import told

WAITING_MOST = 1000
TOLD_EVERY_SECONDS = 60.0
OWN = "observer."  # events about observers, which no observer is told


class Observer:
    """Tells one plugin what happens. A listener of `Events`.

    Args:
        tell: called with each event, one after the other.
    """

    def __init__(self, plugin: str, tell: Callable[[Event], object], events: Events) -> None:
        self._plugin, self._tell, self._events = plugin, tell, events
        self._waiting: queue.Queue[Event | None] = queue.Queue(WAITING_MOST)
        self._told_at, self._left_out = float("-inf"), 0
        self._thread = threading.Thread(target=self._follow, daemon=True, name=f"observer {plugin}")
        self._thread.start()

    def __call__(self, event: Event) -> None:
        if event.name.startswith(OWN):
            return
        try:
            self._waiting.put_nowait(Event(event.name, MappingProxyType(dict(event.facts))))
        except queue.Full:
            self._left_out += 1

    def close(self, seconds: float) -> None:
        """Let it hear what already happened, for at most so long."""
        self._events.ignore(self)
        limit = time.monotonic() + seconds
        try:
            self._waiting.put(None, timeout=seconds)
        except queue.Full:
            return
        self._thread.join(max(0.0, limit - time.monotonic()))

    def _follow(self) -> None:
        while (event := self._waiting.get()) is not None:
            try:
                self._tell(event)
            except BaseException as error:
                self._complain(told(error))
            if self._left_out:
                self._complain(f"it is too slow: {self._left_out} events were left out")

    def _complain(self, reason: str) -> None:
        now = time.monotonic()
        if now - self._told_at >= TOLD_EVERY_SECONDS:
            self._told_at = now
            self._left_out = 0
            self._events.emit(f"{OWN}failed", plugin=self._plugin, reason=reason)
