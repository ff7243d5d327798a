"""Dead transactions by what they died of, and given more attempts together.

Everything is read from the index of what has ended, which has the causes of the dead; the others cost it nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pymongo import ASCENDING, DESCENDING, UpdateOne

from ..admin.cause import parts_of
from ..transaction import HISTORY_KEPT, State
from .connection import Connection, answering
from .counting import counted
from .documents import Document
from .indexes import INDEX_OF
from .ordered import Ordered

CAUSES = 50  # that are told at once
COUNTED = 10_000  # of one cause; more is "more"
REDRIVEN = 10_000  # by one word of an operator
_BATCH = 500
_DEAD: Document = {"state": str(State.DEAD)}
_INDEX = INDEX_OF[State.DEAD]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """The dead transactions of one cause: how many, how many of late, and when the first and the last died.

    Attributes:
        count, recent: `COUNTED` may be more.
        sample: the id of the last.
    """

    cause: str
    count: int
    recent: int
    first_at: datetime
    last_at: datetime
    sample: str


class Failures:
    """Tells causes, and redrives what died of one."""

    def __init__(self, connection: Connection, ordered: Ordered) -> None:
        self._q, self._clock, self._ordered = connection.q, connection.clock, ordered

    def groups(self, *, recent: timedelta, most: int = CAUSES) -> Sequence[FailureGroup]:
        """The causes with the latest deaths, `most` of them at most. Of each, the `recent` ones are counted apart.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        since = self._clock.now() - recent
        with answering("group failures"):
            first, last = self._ends(ASCENDING), self._ends(DESCENDING)
            latest = sorted(last.values(), key=lambda row: (row["at"], row["_id"]), reverse=True)[:most]
            return [
                FailureGroup(
                    cause=row["_id"],
                    count=self._counted(row["_id"]),
                    recent=self._counted(row["_id"], {"$gte": since}) if row["at"] >= since else 0,
                    first_at=first.get(row["_id"], row)["at"],
                    last_at=row["at"],
                    sample=row["sample"],
                )
                for row in latest
            ]

    def _ends(self, direction: int) -> dict[str, Document]:
        """By cause, the first or the last death, by leaping from type to type and from cause to cause."""
        back = -direction
        order = {"state": back, "type": back, "cause": back, "finished_at": direction, "_id": direction}
        taken = {"at": {"$first": "$finished_at"}, "sample": {"$first": "$_id"}}
        found: dict[str, Document] = {}
        for type in self._q.distinct("type", _DEAD):
            among = _DEAD | {"type": {"$eq": type}}
            steps = [{"$match": among}, {"$sort": order}, {"$group": {"_id": "$cause", **taken}}]
            found |= {row["_id"]: row for row in self._q.aggregate(steps, hint=_INDEX) if row["_id"] is not None}
        return found

    def _counted(self, cause: str, finished_at: Document | None = None) -> int:
        among = dead_of(cause) | ({"finished_at": finished_at} if finished_at else {})
        return counted(self._q, among, hint=_INDEX, limit=COUNTED)

    def count(self, cause: str, *, until: datetime) -> int:
        """How many died of this cause until a moment; at most `REDRIVEN` are counted.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        with answering("count failures"):
            return counted(self._q, _died(cause, until), hint=_INDEX, limit=REDRIVEN)

    def redrive(self, cause: str, *, until: datetime, more_attempts: int, per_second: float | None) -> int:
        """`dead` → `queued` for those that died of this cause until a moment, the earliest first, `REDRIVEN` at most.

        They are due one after the other, so many per second, or all at once. How many were moved is returned; what
        somebody else moved meanwhile is left alone.

        Raises:
            QueueUnavailable: the database did not answer; some may have been moved, and the others can be again.
        """
        moved, now = 0, self._clock.now()
        with answering("redrive"):
            rows = self._q.find(_died(cause, until), {"_id": 1}, hint=_INDEX).sort("finished_at", ASCENDING)
            ids = [row["_id"] for row in rows.limit(REDRIVEN)]
            for start in range(0, len(ids), _BATCH):
                batch = ids[start : start + _BATCH]
                writes = [
                    self._redrive(id, cause, now + _delay(start + place, per_second), more_attempts)
                    for place, id in enumerate(batch)
                ]
                keys = self._keys(batch)
                moved += self._q.bulk_write(writes, ordered=False).modified_count
                for plugin, key in keys:
                    self._ordered.look_again(plugin, key)
        return moved

    def _redrive(self, id: str, cause: str, due_at: datetime, more_attempts: int) -> UpdateOne:
        return UpdateOne({"_id": id, **dead_of(cause)}, redriven(self._clock.now(), due_at, more_attempts))

    def _keys(self, ids: Sequence[str]) -> set[tuple[str, str]]:
        rows = self._q.find(
            {"_id": {"$in": list(ids)}, "ordering_key": {"$exists": True}}, {"ordering_key": 1, "plugin": 1}
        )
        return {(row["plugin"]["name"], row["ordering_key"]) for row in rows}


def redriven(now: datetime, due_at: datetime, more_attempts: int) -> list[Document]:
    """The update that gives a dead transaction more attempts, from `due_at` on, and forgives its crashes."""
    entry = {"at": now, "state": str(State.QUEUED), "attempt": "$attempts"}
    changes: Document = {
        "state": str(State.QUEUED),
        "history": {"$slice": [{"$concatArrays": ["$history", [entry]]}, -HISTORY_KEPT]},
        "due_at": due_at,
        "max_attempts": {"$add": ["$attempts", more_attempts]},
        "crashes": 0,
        "ordered": {"$cond": [{"$gt": ["$ordering_key", None]}, True, "$$REMOVE"]},
    }
    gone = ("finished_at", "ended_by", "deferred_since", "cause")
    return [{"$set": changes | dict.fromkeys(gone, "$$REMOVE")}]


def dead_of(cause: str) -> Document:
    """What died of it; a cause begins with the type, by which the index comes first."""
    type, _, _ = parts_of(cause)
    return {**_DEAD, "type": {"$eq": type}, "cause": {"$eq": cause}}


def _died(cause: str, until: datetime) -> Document:
    return dead_of(cause) | {"finished_at": {"$lte": until}}


def _delay(place: int, per_second: float | None) -> timedelta:
    return timedelta(milliseconds=int(1000 * place / per_second)) if per_second else timedelta()
