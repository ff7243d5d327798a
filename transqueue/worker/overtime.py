"""What must not wait until an attempt has ended, when that one takes long: done in a thread beside it.

The worker's own thread holds a lock, and lets go of it only while it is in an attempt. So whatever is done beside has
the worker's state for itself, and the worker goes on when that is done.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

LOOK_SECONDS = 0.01


class Overtime:
    """Made and entered in the worker's own thread: `with overtime:` is an attempt.

    Args:
        task: what is done, again and again while an attempt takes longer than a moment.
    """

    def __init__(self, task: Callable[[], None], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._task, self._monotonic = task, monotonic
        self._lock, self._at_work = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="overtime", daemon=True)
        self._closed = False
        self._began: float | None = None
        self._error: BaseException | None = None
        self._lock.acquire()

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._closed = True
        self._at_work.set()
        self._thread.join()

    def watch(self) -> None:
        """Attempts follow."""
        self._at_work.set()

    def rest(self) -> None:
        """None follow for now."""
        self._at_work.clear()

    def __enter__(self) -> None:
        self._began = self._monotonic()
        self._lock.release()

    def __exit__(self, *_: object) -> None:
        """
        Raises:
            TrackLost: what was done beside ended so.
        """
        self._lock.acquire()
        self._began = None
        error, self._error = self._error, None
        if error:
            raise error

    def turn(self) -> None:
        """Do what is to be done, if an attempt has taken long enough."""
        began = self._began
        if began is None or self._monotonic() - began < LOOK_SECONDS:
            return
        with self._lock:  # so an attempt is going on, that one or a later one, and ends only after this
            if self._error is None:
                try:
                    self._task()
                except BaseException as error:  # for the worker's own thread to raise
                    self._error = error

    def _run(self) -> None:
        while self._at_work.wait() and not self._closed:
            time.sleep(LOOK_SECONDS)
            self.turn()
