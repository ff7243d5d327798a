"""Troubles to put in a handler's way: failures, and the death or the hang of the worker that runs it.

Each is a function that takes anything, so it can stand in for whatever the handler calls:
`monkeypatch.setattr(acme, "charge", crash)`. The kit does after a death what a supervisor does after one.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, NoReturn

CRASH = "its worker died while running it (killed by SIGSEGV)"


class Death(BaseException):
    """The worker is dead. No handler may survive it: one that catches it has died all the same."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        super().__init__(reason)


class _Last:
    """Of all threads: an async handler dies in the one that runs its event loop."""

    death: Death | None = None


_last = _Last()


def crash(*_: Any, **__: Any) -> NoReturn:
    """The worker process dies here, as by a segmentation fault: the attempt is charged, and so is the crash."""
    _die(CRASH)


def hang(*_: Any, **__: Any) -> NoReturn:
    """The handler never comes back from here: when its `timeout_seconds` are over, its worker is killed. No waiting."""
    _die("")


def fail_times(
    times: int, error: BaseException | type[BaseException] = RuntimeError, then: Callable[..., Any] | None = None
) -> Callable[..., Any]:
    """A function that raises `error` the first `times` times, and afterwards calls `then` (or returns None)."""
    left = iter(range(times))

    def failing(*arguments: Any, **named: Any) -> Any:
        if next(left, None) is not None:
            raise error
        return then(*arguments, **named) if then else None

    return failing


def mortal(call: Callable[..., Any], timeout_seconds: float) -> Callable[..., Any]:
    """The handler as a worker runs it: it dies of a death inside, caught or not, and at the end of its time.

    Raises:
        Death: with what is written on the transaction.
    """
    late = f"its handler did not end within {timeout_seconds:g} s; the worker was killed"

    def run(*arguments: Any) -> Any:
        _last.death = None
        began = time.monotonic()
        try:
            with _limited(timeout_seconds):
                value = call(*arguments)
        finally:
            if _last.death:
                raise Death(_last.death.reason or late)
            if time.monotonic() - began > timeout_seconds:
                raise Death(late)
        return value

    return run


@contextmanager
def _limited(seconds: float) -> Generator[None]:
    """Interrupt the main thread after `seconds`, unless another alarm (pytest-timeout's, say) comes earlier."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    began = time.monotonic()
    before, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    ours = not before or seconds < before
    handler = signal.signal(signal.SIGALRM, hang) if ours else signal.getsignal(signal.SIGALRM)
    signal.setitimer(signal.ITIMER_REAL, seconds if ours else before)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if before:
            signal.setitimer(signal.ITIMER_REAL, max(before - (time.monotonic() - began), 0.001))


def _die(reason: str) -> NoReturn:
    _last.death = Death(reason)
    raise _last.death
