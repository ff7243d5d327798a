"""Attempts of `async def` handlers, many in flight at once beside the worker's turns.

Each attempt has a thread that waits for it, in which all goes as for any other attempt, while the coroutines share the
event loop of the process. The worker's own thread starts them, and settles what has ended. While any is in flight, the
marker tells of all of them and of what the worker runs besides: a death is charged to one only when there was but one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from ..executor import Bound, Company, Executor
from ..process.lifeline import boot_time
from ..queue import Settlement
from ..transaction import Transaction

MOST = 200  # in flight in one worker
GRACE_SECONDS = (
    5.0  # after its cancellation an attempt that goes on all the same, or holds up the loop, ends its worker
)


class Beside:
    """What is in flight. Use it from the worker's own thread.

    Args:
        wake: called in another thread when an attempt has ended.
    """

    def __init__(self, executor: Executor, wake: Callable[[], None] = lambda: None) -> None:
        self._executor, self._wake = executor, wake
        self._deadlines: dict[str, tuple[float, float]] = {}
        self._ended: SimpleQueue[Settlement] = SimpleQueue()

    def __len__(self) -> int:
        return len(self._deadlines)

    @property
    def room(self) -> int:
        """How many more may be started."""
        return max(0, MOST - len(self))

    def start(self, bound: Bound, transaction: Transaction) -> None:
        """Begin an attempt."""
        seconds = bound.handler.timeout_seconds
        self._deadlines[transaction.id] = (boot_time() + seconds + GRACE_SECONDS, seconds)
        self._tell()
        threading.Thread(target=self._attempt, args=(bound, transaction), name="attempt", daemon=True).start()

    def ended(self, wait_seconds: float = 0.0) -> list[Settlement]:
        """What has ended since the last call; waits for the first one as long as told."""
        found: list[Settlement] = []
        try:
            while True:
                found.append(self._ended.get(timeout=0 if found else wait_seconds))
        except Empty:
            pass
        for one in found:
            del self._deadlines[one.transaction.id]
        if found:
            self._tell()
        return found

    def _attempt(self, bound: Bound, transaction: Transaction) -> None:
        self._ended.put(self._executor.run(bound, transaction))
        self._wake()

    def _tell(self) -> None:
        deadline, seconds = min(self._deadlines.values(), default=(float("inf"), 0.0))
        self._executor.accompany(Company(tuple(self._deadlines), deadline, seconds))
