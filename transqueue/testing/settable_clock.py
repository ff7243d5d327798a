"""Clocks that a test moves: one that stands still in between, and one that goes with a real server and jumps ahead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Lock

from ..clock import ServerClock, whole_milliseconds

START = datetime(2026, 1, 1, tzinfo=UTC)


class SettableClock:
    """Tells the moment that it was set to. Starts at `moment`: the first day of 2026 unless told otherwise."""

    def __init__(self, moment: datetime = START) -> None:
        self._moment = moment
        self._lock = Lock()

    def now(self) -> datetime:
        return whole_milliseconds(self._moment)

    def set(self, moment: datetime) -> None:
        """Make it `moment`, an aware datetime, which may be earlier than before."""
        with self._lock:
            self._moment = moment

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        with self._lock:
            self._moment += timedelta(seconds=seconds)


class AdvancingClock(ServerClock):
    """The server's clock, and so many seconds more as it was advanced. Leases are the server's and stay with it."""

    def __init__(self) -> None:
        super().__init__()
        self._ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self._ahead

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self._ahead += timedelta(seconds=seconds)
