"""Signals become flags; loops do the work.

A handler only sets a flag and makes a socket readable, so that a loop which sleeps in `wait` is woken at once.
"""

from __future__ import annotations

import contextlib
import select
import signal
import socket
from collections.abc import Generator
from multiprocessing import resource_tracker
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopFlag:
    """Set by the first stop signal that this process gets. Make it in the main thread."""

    def __init__(self, *, ignore_interrupt: bool = False) -> None:
        self._set = False
        self._wakeup, self._woken = socket.socketpair()
        self._wakeup.setblocking(False)
        self._woken.setblocking(False)
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)
        if ignore_interrupt:  # Ctrl-C, and its end, reach every process of a terminal; only the parent decides
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)

    def is_set(self) -> bool:
        """Whether this process is to stop."""
        return self._set

    def set(self) -> None:
        """Stop as if a signal had come; safe from any thread."""
        self._set = True
        self.wake()

    def wake(self) -> None:
        """End a `wait` now; safe from any thread."""
        with contextlib.suppress(BlockingIOError):
            self._wakeup.send(b"w")

    def fileno(self) -> int:
        """Readable after a signal or `wake`, for loops that wait on several things; then call `clear`."""
        return self._woken.fileno()

    def wait(self, seconds: float) -> None:
        """Sleep, but not past a signal or a `wake`."""
        if not self._set:
            select.select([self._woken], [], [], max(0.0, seconds))
            self.clear()

    def clear(self) -> None:
        """Forget what made the flag readable."""
        with contextlib.suppress(BlockingIOError):
            while self._woken.recv(4096):
                pass

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._set = True


class ReloadFlag:
    """Set by SIGHUP, which also ends a `wait` on the `StopFlag` of this process. Make it in the main thread."""

    def __init__(self) -> None:
        self._set = False
        signal.signal(signal.SIGHUP, self._on_signal)

    def take(self) -> bool:
        """Whether a reload was asked for since this was last called."""
        taken, self._set = self._set, False
        return taken

    def set(self) -> None:
        """Ask as if a signal had come; safe from any thread."""
        self._set = True

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._set = True


@contextlib.contextmanager
def interrupts_held() -> Generator[None]:
    """What is spawned meanwhile never gets the Ctrl-C that a terminal sends to all; this process gets it afterwards."""
    resource_tracker.ensure_running()  # the first spawn would start it, and let signals through afterwards
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
