"""How long what has ended is kept, and what becomes of one transaction when its time is over.

The promise that one key means one transaction lasts for its own window: what has a key and is younger than that is
slimmed to what the promise needs, and removed when the window is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from ..transaction import State


class Fate(StrEnum):
    """What is to be done with one that has ended."""

    KEEP = "keep"
    SLIM = "slim"  # only its key is kept
    REMOVE = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Days by the state in which a transaction ended; none: for ever. `key_days`: the window of idempotency keys."""

    days: Mapping[State, float | None]
    key_days: float

    def cutoff(self, state: State, now: datetime) -> datetime | None:
        """What ended in this state before the moment is to go; none: nothing is."""
        days = self.days.get(state)
        return None if days is None else now - timedelta(days=days)

    def fate(
        self,
        *,
        state: State | None,
        created_at: datetime,
        finished_at: datetime | None,
        has_key: bool,
        blocks: bool,
        now: datetime,
    ) -> Fate:
        """What becomes of a transaction; without a state it was slimmed before.

        One that is dead and blocks its ordering key is an operator's case, and stays, whatever its age.
        """
        key_is_needed = has_key and created_at >= now - timedelta(days=self.key_days)
        if state is None:
            return Fate.KEEP if key_is_needed else Fate.REMOVE
        cutoff = self.cutoff(state, now)
        if cutoff is None or finished_at is None or finished_at >= cutoff or blocks:
            return Fate.KEEP
        return Fate.SLIM if key_is_needed else Fate.REMOVE

    @property
    def shortest_days(self) -> float | None:
        """Nothing younger than this goes; none: nothing goes at all."""
        return min((days for days in self.days.values() if days is not None), default=None)
