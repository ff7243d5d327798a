"""A clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Lock

from ..clock import whole_milliseconds

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
