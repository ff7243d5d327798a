"""How many transactions of a type to lease at once: as many as its handler works off in a moment.

One while nothing is known, growing at most fourfold a time, hundreds for fast handlers, one for slow ones. Small enough
that what a worker holds back from its neighbours is a fifth of a second's work.
"""

from __future__ import annotations

TARGET_SECONDS = 0.2
MOST = 500
GROWTH = 4
WEIGHT = 0.3  # of the newest measurement


class Pace:
    """Learns how long transactions of each type take."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._last: dict[str, int] = {}

    def seconds(self, type: str) -> float:
        """What one transaction of the type is expected to take; long while nothing is known."""
        return self._seconds.get(type, TARGET_SECONDS)

    def limit(self, type: str) -> int:
        """How many to lease next."""
        fitting = TARGET_SECONDS / max(self.seconds(type), TARGET_SECONDS / MOST)
        return max(1, min(MOST, int(fitting), self._last.get(type, 0) * GROWTH or 1))

    def learn(self, type: str, count: int, seconds: float) -> None:
        """`count` transactions of the type took `seconds` together."""
        if count < 1:
            return
        each = seconds / count
        known = self._seconds.get(type, each)
        # A handler that turned slow is believed at once, one that turned fast bit by bit.
        self._seconds[type] = each if each > known else known + WEIGHT * (each - known)
        self._last[type] = count
