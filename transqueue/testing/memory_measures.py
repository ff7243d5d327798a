"""Measures in memory: how much waits is counted when asked, and what is added to the tally is kept by the minute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from ..admin.measures import ALL, Depth, Depths, Figures, Measures, Point, Tally, added, steps
from ..clock import Clock
from ..transaction import State, Transaction


class MemoryMeasures(Measures):
    """The measures of one queue in memory."""

    def __init__(self, clock: Clock, transactions: Callable[[], Iterable[Transaction]]) -> None:
        self.tally = Tally()
        self._clock, self._transactions = clock, transactions
        self._rows: list[tuple[datetime, Mapping[str, Figures]]] = []

    def totals(self) -> Mapping[str, Figures]:
        """As `Measures.totals` promises."""
        self._keep()
        types = {type for _, row in self._rows for type in row}
        found = {type: added(row[type] for _, row in self._rows if type in row) for type in types}
        return found | ({ALL: added(found.values())} if found else {})

    def series(self, type: str | None, since: datetime, until: datetime, step_seconds: int) -> Sequence[Point]:
        """As `Measures.series` promises."""
        self._keep()
        rows = [
            (at, added(row.values()) if type is None else row.get(type, {}))
            for at, row in self._rows
            if since <= at < until and (type is None or type in row)
        ]
        return steps(rows, since, step_seconds)

    def depths(self) -> Depths:
        """As `Measures.depths` promises."""
        now, found = self._clock.now(), dict[str, list[Transaction]]()
        for one in self._transactions():
            found.setdefault(one.type, []).append(one)
        waiting = {type: _depth(members, now) for type, members in sorted(found.items())}
        return Depths(now, {type: depth for type, depth in waiting.items() if depth != Depth()})

    def _keep(self) -> None:
        taken = self.tally.take()
        if taken:
            self._rows.append((self._clock.now().replace(second=0, microsecond=0), taken))


def _depth(members: Sequence[Transaction], now: datetime) -> Depth:
    states = Counter(one.state for one in members)
    due = [one.due_at for one in members if one.state is State.QUEUED and one.due_at <= now]
    return Depth(
        queued=states[State.QUEUED],
        due=len(due),
        running=states[State.RUNNING],
        dead=states[State.DEAD],
        oldest_due_at=min(due, default=None),
    )
