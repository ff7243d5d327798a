"""What a process does every few seconds beside its work, in a thread of its own: small, and never in its way."""

from __future__ import annotations

import threading
from collections.abc import Callable

from .errors import TransQueueError
from .events import Events

JOIN_SECONDS = 5.0


class Ticker:
    """Does each task every so many seconds, until it is closed. A task that fails is tried again the next time."""

    def __init__(self, name: str, seconds: float, *tasks: Callable[[], None], events: Events) -> None:
        self._seconds, self._tasks, self._events = seconds, tasks, events
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> Ticker:
        """Begin; itself."""
        self._thread.start()
        return self

    def turn(self) -> None:
        """Do each task once."""
        for task in self._tasks:
            try:
                task()
            except TransQueueError:  # the database is away: whoever needs it says so
                pass
            except Exception as error:
                self._events.emit("ticker.failed", ticker=self._thread.name, error=repr(error))

    def close(self) -> None:
        """End the thread, and do the tasks a last time."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_SECONDS)
        self.turn()

    def _run(self) -> None:
        while not self._closing.wait(self._seconds):
            self.turn()
