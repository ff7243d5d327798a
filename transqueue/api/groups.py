"""Group commit: submissions that come at the same time are stored by one write.

Whoever comes while nobody writes, writes: what has gathered, up to a bound, its own submission with it; then one of
those who came meanwhile writes the next group. So a submission alone waits for nobody, and hundreds at once cost the
database one command. Each is answered when its own document is durable, and with what became of its own. How many may
wait is bounded: whoever comes then is sent away at once, with nothing stored.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from ..errors import QueueUnavailable
from ..queue import Receipt, Sealed

LARGEST = 500  # in one write
WAITING = 900  # less than there are connections, so that the others are told at once
PATIENCE_SECONDS = 12.0  # two writes that take all the time they are given

Answer = Receipt | QueueUnavailable
Write = Callable[[Sequence[Sealed]], Sequence[Answer]]


class Crowded(Exception):
    """As many as may wait are waiting; nothing was stored."""


class Groups:
    """Stores the submissions of many threads. Used by all requests of a process."""

    def __init__(
        self,
        write: Write,
        *,
        largest: int = LARGEST,
        waiting: int = WAITING,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._write, self._largest, self._limit = write, largest, waiting
        self._patience_seconds = patience_seconds
        self._lock = threading.Lock()
        self._waiting: deque[_Place] = deque()
        self._is_writing = False

    def store(self, sealed: Sealed) -> Receipt:
        """Store one submission, together with whatever comes at the same time; returns when it is durable.

        Raises:
            Crowded: nothing was stored.
            QueueUnavailable: it is unknown whether it was.
        """
        place = _Place(sealed)
        with self._lock:
            if len(self._waiting) >= self._limit:
                raise Crowded
            self._waiting.append(place)
            place.leads = not self._is_writing
            self._is_writing = True
        if not place.leads and not place.called.acquire(timeout=self._patience_seconds):
            self._leave(place)
        if place.leads:
            self._write_group()
        return place.outcome()

    def _write_group(self) -> None:
        """Store what has gathered, answer each, and hand over to the first of those who wait then."""
        with self._lock:
            group = [self._waiting.popleft() for _ in range(min(self._largest, len(self._waiting)))]
        answers: Sequence[Answer] = ()
        try:
            answers = self._write([place.sealed for place in group])
        finally:
            self._hand_over()
            for number, place in enumerate(group):
                place.answer = answers[number] if answers else QueueUnavailable()
                place.called.release()

    def _hand_over(self) -> None:
        with self._lock:
            self._is_writing = bool(self._waiting)
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].called.release()

    def _leave(self, place: _Place) -> None:
        """Wait no longer, unless it is this one's turn in this very moment."""
        with self._lock:
            if place.leads or place.answer is not None:
                return
            if place in self._waiting:
                self._waiting.remove(place)
        raise QueueUnavailable


class _Place:
    """One submission on its way: `called` can be acquired when it is answered, or is to write the next group."""

    __slots__ = ("answer", "called", "leads", "sealed")

    def __init__(self, sealed: Sealed) -> None:
        self.sealed, self.answer = sealed, None
        self.called, self.leads = threading.Lock(), False
        self.called.acquire()

    answer: Answer | None

    def outcome(self) -> Receipt:
        if isinstance(self.answer, Receipt):
            return self.answer
        raise QueueUnavailable from self.answer
