"""How much waits, by type, told from the index of what is due and nothing else.

Counts stop early and the oldest is found by leaps, so the answer costs the same whether a thousand or ten million
transactions are stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain

from ..transaction import FREE_LANES, KEYED_LANES, State
from .connection import Connection, answering
from .counting import counted
from .documents import Document

COUNTED_STATES = (State.QUEUED, State.RUNNING, State.DEAD)
COUNTED = 30_000  # keys in all, shared by the types and states that there are
COUNTED_AT_LEAST = 1_000  # of one type in one state
PLAIN = 0  # the priority of nearly all
# One leap for each lane and priority: the server sorts instead when there are more than 200.
OTHER_LEAPS = (range(-10, PLAIN), range(PLAIN + 1, 11))


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """What is stored of one type.

    Attributes:
        limit: a count that has come to it may be more.
        oldest_due_at: the earliest time at which one of the queued is, or was, due.
    """

    queued: int = 0
    running: int = 0
    dead: int = 0
    limit: int = COUNTED
    oldest_due_at: datetime | None = None


class Backlog:
    """Looks how much waits."""

    def __init__(self, connection: Connection) -> None:
        self._q = connection.q

    def by_type(self) -> Mapping[str, Depth]:
        """Every type of which something is queued, running or dead.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        with answering("look how much waits"):
            found = {state: self._q.distinct("type", {"state": str(state)}) for state in COUNTED_STATES}
            pairs = [(state, type) for state, types in found.items() for type in types]
            limit = max(COUNTED_AT_LEAST, COUNTED // max(1, len(pairs)))
            counts: dict[str, dict[str, int]] = {type: {} for _, type in sorted(pairs)}
            for state, type in pairs:
                among: Document = {"state": str(state), "type": type}
                counts[type][state] = counted(self._q, among, hint="due", limit=limit)
            oldest = self._oldest(found[State.QUEUED])
            return {
                type: Depth(**of_type, limit=limit, oldest_due_at=oldest.get(type)) for type, of_type in counts.items()
            }

    def _oldest(self, types: Sequence[str]) -> Mapping[str, datetime]:
        """By type: when the first of the queued is due."""
        rows = list(self._united(_looks(types)))
        prioritised = [row["type"] for row in rows if row["priority"] != PLAIN]
        others = self._united([_first(type, FREE_LANES, leap) for type in prioritised for leap in OTHER_LEAPS])
        oldest: dict[str, datetime] = {}
        for row in chain(rows, others):
            oldest[row["type"]] = min(row["due_at"], oldest.get(row["type"], _LATEST))
        return oldest

    def _united(self, looks: Iterable[list[Document]]) -> Iterable[Document]:
        """The rows of many looks, asked for in one command."""
        first, *others = [*looks] or [[]]
        unions = [{"$unionWith": {"coll": self._q.name, "pipeline": look}} for look in others]
        return self._q.aggregate([*first, *unions], hint="due") if first else []


def _looks(types: Iterable[str]) -> Iterable[list[Document]]:
    """Of each type, the first of those without a priority, and any one that has some."""
    for type in types:
        yield _first(type, [*FREE_LANES, *KEYED_LANES], [PLAIN])
        among = {"state": str(State.QUEUED), "type": type, "lane": {"$in": [*FREE_LANES]}, "priority": {"$ne": PLAIN}}
        yield [{"$match": among}, {"$limit": 1}, _SHOWN]


def _first(type: str, lanes: Iterable[int], priorities: Iterable[int]) -> list[Document]:
    among = {
        "state": str(State.QUEUED),
        "type": type,
        "lane": {"$in": [*lanes]},
        "priority": {"$in": [*priorities]},
    }
    return [{"$match": among}, {"$sort": {"due_at": 1}}, {"$limit": 1}, _SHOWN]


_SHOWN = {"$project": {"_id": 0, "type": 1, "priority": 1, "due_at": 1}}
_LATEST = datetime.max.replace(tzinfo=UTC)
