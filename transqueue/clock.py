"""The time that TransQueue goes by: the database primary's, followed through this process's monotonic clock.

Due times and ids come from here, so a host with a wrong wall clock decides nothing. Lease times do not: they are
written and judged by the server itself, by `$$NOW`, inside each write. Times are aware UTC datetimes of millisecond
precision, as BSON keeps them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What tells the time; tests set it."""

    def now(self) -> datetime:
        """The present time, aware, UTC, whole milliseconds."""
        ...


def whole_milliseconds(moment: datetime) -> datetime:
    """The same moment without what BSON would drop."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


class HostClock:
    """The host's own clock, for processes that have not met the server yet and for tools."""

    def now(self) -> datetime:
        return whole_milliseconds(datetime.now(UTC))


class ServerClock:
    """The primary's clock as last observed, carried forward by the monotonic clock.

    Before the first observation it answers by the host's clock. `observe` may be called from any thread: the pair is
    replaced in one assignment.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._observed = (whole_milliseconds(datetime.now(UTC)), monotonic())

    def observe(self, server_time: datetime) -> None:
        """Take the primary's time as of this moment (a heartbeat's `localTime`, which has no zone and is UTC)."""
        self._observed = (whole_milliseconds(server_time.replace(tzinfo=UTC)), self._monotonic())

    def now(self) -> datetime:
        server_time, seen_at = self._observed
        return server_time + timedelta(milliseconds=int((self._monotonic() - seen_at) * 1000))
