"""A network without faults, for many threads: the store as a queue's contract meets it.

Threads take turns between the documents of a command, and a write that has to wait for a session waits.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from pymongo.errors import ExecutionTimeout, NetworkTimeout

from .command import Command
from .store import BLOCKED, Store


class DirectNetwork:
    """Carries out each command at once, in the thread that calls."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._lock = threading.Condition()

    def call(self, caller: str, command: Command) -> Any:
        """The answer of the server, as the contract of `Network` says."""
        until = time.monotonic() + command.timeout
        if command.timeout <= 0:
            raise NetworkTimeout("timed out before it was sent")
        with self._lock:
            steps = command.steps()
            while True:
                try:
                    reached = next(steps)
                except StopIteration as end:
                    self._lock.notify_all()
                    return end.value
                except BaseException:
                    self._lock.notify_all()
                    raise
                if reached == BLOCKED and time.monotonic() > until:
                    raise ExecutionTimeout("operation exceeded time limit", 50)
                self._lock.notify_all()
                self._lock.wait(0.05 if reached == BLOCKED else 0.0)
