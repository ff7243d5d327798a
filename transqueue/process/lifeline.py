"""How a process is sure to end: with its parent, and at the end of its lease.

Both are the kernel's doing, so they hold when Python is stuck in C, stopped by a signal, or cannot reach the database.
Linux: `prctl(PR_SET_PDEATHSIG)` and a POSIX timer that sends SIGKILL (a timer of its own, so that a handler's
`signal.alarm` does not disturb it). Elsewhere only a thread that watches the parent is there; untested.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

ON_LINUX = sys.platform.startswith("linux")

_LIBC = ctypes.CDLL(None, use_errno=True)
_PRCTL = getattr(_LIBC, "prctl", None)  # found now: between fork and exec a look-up could wait for a lock for ever
_PR_SET_PDEATHSIG = 1
_CLOCK_BOOTTIME = 7
_TIMER_ABSTIME = 1
_SIGEV_SIGNAL = 0


class _SignalEvent(ctypes.Structure):  # struct sigevent, sigevent(7)
    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("padding", ctypes.c_char * 48),
    )


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


def boot_time() -> float:
    """Seconds on the clock that every process of this host shares and that runs on while the host is suspended."""
    return time.clock_gettime(_CLOCK_BOOTTIME) if ON_LINUX else time.monotonic()


def die_with_parent(parent: int) -> None:
    """Have this process killed when the thread that spawned it ends. `parent` is the pid expected as parent.

    Call it first thing in the child. A parent that died before the call is noticed too.
    """
    if _PRCTL is not None:
        _check(_PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    else:
        threading.Thread(target=_watch_parent, args=(parent,), daemon=True, name="parent-watch").start()
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


class LeaseAlarm:
    """Kills this process at a moment of `boot_time`, whatever it is doing then, unless it is set later in time."""

    def __init__(self) -> None:
        self._timer = ctypes.c_void_p()
        if ON_LINUX:
            event = _SignalEvent(signo=signal.SIGKILL, notify=_SIGEV_SIGNAL)
            made = _LIBC.timer_create(_CLOCK_BOOTTIME, ctypes.byref(event), ctypes.byref(self._timer))
            _check(made, "timer_create")

    def set(self, moment: float) -> None:
        """Move the end to `moment`, in seconds of `boot_time`. May be called from any thread."""
        if ON_LINUX:
            whole = int(moment)
            spec = _TimerSpec(value=_TimeSpec(whole, int((moment - whole) * 1e9)))
            _check(_LIBC.timer_settime(self._timer, _TIMER_ABSTIME, ctypes.byref(spec), None), "timer_settime")


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGKILL)


def _check(returned: int, call: str) -> None:
    if returned != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
