"""What operators said and did, in memory: paused types, and the audit."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from ..admin.audit import Audit, AuditEntry, AuditPage, bounded
from ..admin.pause import REASON_LENGTH, Pause, Pausing
from ..clock import Clock


class MemoryPauses(Pausing):
    """What is paused, for a queue with a clock."""

    clock: Clock

    def __init__(self) -> None:
        self._paused: dict[str, Pause] = {}

    def pause(self, type: str, *, by: str, reason: str = "") -> bool:
        """As `Pausing.pause` promises."""
        new = Pause(by, self.clock.now(), reason[:REASON_LENGTH])
        return self._paused.setdefault(type, new) is new

    def resume(self, type: str) -> bool:
        """As `Pausing.resume` promises."""
        return self._paused.pop(type, None) is not None

    def paused(self) -> Mapping[str, Pause]:
        """As `Pausing.paused` promises."""
        return dict(sorted(self._paused.items()))


class MemoryAudit(Audit):
    """The audit, as long as the process lives."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._numbers = clock, itertools.count(1)
        self._entries: list[AuditEntry] = []

    def record(self, by: str, action: str, target: str, facts: Mapping[str, Any] | None = None) -> None:
        """As `Audit.record` promises."""
        id = f"{next(self._numbers):024d}"
        self._entries.append(AuditEntry(id, self._clock.now(), by, action, target, bounded(facts or {})))

    def page(self, *, after: str | None = None, limit: int = 50) -> AuditPage:
        """As `Audit.page` promises."""
        found = [one for one in reversed(self._entries) if after is None or one.id < after]
        return AuditPage(found[:limit], found[limit - 1].id if len(found) > limit else None)
