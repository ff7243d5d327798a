"""How many requests are worked on at once, so that a flood, or clients that send slowly, cannot stop the door.

The server has a thread for every connection that it accepts, because a thread that reads a slow body is lost until the
body ends. Work is done by those that hold one of a few slots; while a body is read the slot is lent. At most half of
the connections may be reading bodies, so `/healthz`, which takes no slot, always finds a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from queue import Empty, SimpleQueue
from typing import Any

from ..errors import SubmissionRefused
from .answers import refusal
from .balance import Share

SLOT_WAIT_SECONDS = 5.0
ALIVE = "/healthz"

Environ = dict[str, Any]
Application = Callable[[Environ, Any], Iterable[bytes]]

_SLOT = "transqueue.slot"


class Places:
    """So many places, each taken by one at a time: a queue of tokens, which costs less than a semaphore of Python's."""

    def __init__(self, count: int) -> None:
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(count):
            self._free.put(None)

    def take(self, wait_seconds: float = 0.0) -> bool:
        """Whether there was a place, or one became free in time."""
        try:
            self._free.get(wait_seconds > 0, wait_seconds)
        except Empty:
            return False
        return True

    def give_back(self) -> None:
        """Let another one have it."""
        self._free.put(None)


class Slot:
    """One request's right to work; it is given back once, whatever happens in between."""

    __slots__ = ("_held", "_readers", "_slots", "_wait_seconds")

    def __init__(self, slots: Places, readers: Places, wait_seconds: float) -> None:
        self._slots, self._readers, self._wait_seconds = slots, readers, wait_seconds
        self._held = False

    def take(self) -> None:
        """Wait for a slot.

        Raises:
            SubmissionRefused: 503 `busy`, none became free in time.
        """
        self._held = self._slots.take(self._wait_seconds)
        if not self._held:
            raise _busy()

    def give_back(self) -> None:
        """End the work."""
        if self._held:
            self._held = False
            self._slots.give_back()

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Let others work while this request reads its body.

        Raises:
            SubmissionRefused: 503 `busy`, too many are reading, or no slot became free in time.
        """
        if not self._readers.take():
            raise _busy()
        self.give_back()
        try:
            yield
        finally:
            self._readers.give_back()
        self.take()


class Gate:
    """Around the application: a slot for each request but those that ask whether the process is alive.

    Args:
        share: the part of the requests that this process has, if it is not the only one of its door.
    """

    def __init__(
        self,
        application: Application,
        *,
        slots: int,
        readers: int,
        wait_seconds: float = SLOT_WAIT_SECONDS,
        share: Share | None = None,
    ) -> None:
        self._application, self._wait_seconds, self._share = application, wait_seconds, share
        self._slots, self._readers = Places(slots), Places(readers)

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        if environ.get("PATH_INFO") == ALIVE:
            return self._application(environ, start_response)
        if self._share is None:
            return self._admitted(environ, start_response)
        self._share.began()
        try:
            return self._admitted(environ, self._share.answering(start_response))
        finally:
            self._share.ended()

    def _admitted(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        slot = Slot(self._slots, self._readers, self._wait_seconds)
        try:
            slot.take()
            environ[_SLOT] = slot
            return self._application(environ, start_response)
        except SubmissionRefused as error:
            body = refusal(error).sent(start_response)
            return [] if environ["REQUEST_METHOD"] == "HEAD" else body
        finally:
            slot.give_back()


def lent(environ: Environ) -> AbstractContextManager[None]:
    """Lend the slot of a request, if it came through a gate, as `Slot.lent` does."""
    slot = environ.get(_SLOT)
    return slot.lent() if isinstance(slot, Slot) else nullcontext()


def leave(environ: Environ) -> None:
    """Give the slot of a request back before its end: what is left to do is to wait, and to answer."""
    slot = environ.get(_SLOT)
    if isinstance(slot, Slot):
        slot.give_back()


def _busy() -> SubmissionRefused:
    return SubmissionRefused(503, "busy", "Too many requests at once; nothing was stored.", retry_after_seconds=1)
