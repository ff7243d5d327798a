"""Coroutines in a thread of their own, for threads that wait.

A coroutine that overruns its limit is cancelled in the loop, and whatever it raises, `SystemExit` included, is raised
in the thread that waits for it and nowhere else. Context variables of that thread are the coroutine's too.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any


def started_loop() -> asyncio.AbstractEventLoop:
    """A loop that runs in a thread; it ends with the process, unless it is stopped before."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=_run, args=(loop,), name="event-loop", daemon=True).start()
    return loop


def waited_for(
    loop: asyncio.AbstractEventLoop, call: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...], seconds: float
) -> Any:
    """What `call` makes of the arguments in the loop; what it raises is raised, and TimeoutError after so long."""
    return asyncio.run_coroutine_threadsafe(_limited(call, arguments, seconds), loop).result().unpacked()


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
