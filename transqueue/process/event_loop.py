"""The event loop of a process: what runs `async def` handlers for threads that wait.

asyncio is imported for the first such handler: it is slow, and most processes have none.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio


class EventLoop:
    """Made when it is first needed; it ends with the process, unless it is closed before."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def blocking(self, call: Callable[..., Awaitable[Any]], *, timeout_seconds: float) -> Callable[..., Any]:
        """A function that runs `call` in the loop and waits for its end, for any number of threads at once.

        The function raises what the coroutine raises, and TimeoutError after `timeout_seconds`.
        """
        from .coroutines import waited_for  # noqa: PLC0415

        def run(*arguments: Any) -> Any:
            return waited_for(self._running(), call, arguments, timeout_seconds)

        return run

    def close(self) -> None:
        """End it with its thread, once nothing runs in it."""
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._loop = None

    def _running(self) -> asyncio.AbstractEventLoop:
        from .coroutines import started_loop  # noqa: PLC0415

        with self._lock:
            if self._loop is None:
                self._loop = started_loop()
            return self._loop
