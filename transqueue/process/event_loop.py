"""The event loop of a process, in a thread of its own: what runs `async def` handlers for threads that wait.

A coroutine that overruns its limit is cancelled in the loop, and whatever it raises, `SystemExit` included, is raised
in the thread that waits for it and nowhere else. Context variables of that thread are the coroutine's too.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any


class EventLoop:
    """Made when it is first needed; it ends with the process, unless it is closed before."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def blocking(self, call: Callable[..., Awaitable[Any]], *, timeout_seconds: float) -> Callable[..., Any]:
        """A function that runs `call` in the loop and waits for its end, for any number of threads at once.

        The function raises what the coroutine raises, and TimeoutError after `timeout_seconds`.
        """

        def run(*arguments: Any) -> Any:
            coroutine = _limited(call, arguments, timeout_seconds)
            return asyncio.run_coroutine_threadsafe(coroutine, self._running()).result().unpacked()

        return run

    def close(self) -> None:
        """End it with its thread, once nothing runs in it."""
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._loop = None

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_run, args=(self._loop,), name="event-loop", daemon=True).start()
            return self._loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


@dataclass(frozen=True, slots=True)
class _Ended:
    """How a coroutine ended. As a value: the loop itself would end of a `SystemExit`."""

    value: Any = None
    error: BaseException | None = None

    def unpacked(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


async def _limited(call: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...], seconds: float) -> _Ended:
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return _Ended(await call(*arguments))
    except BaseException as error:
        if limit.expired():
            return _Ended(error=TimeoutError(f"the handler did not end within {seconds:g} s and was cancelled"))
        return _Ended(error=error)
