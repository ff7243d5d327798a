"""Removes what has ended and whose time is over: in small batches by id, which begins with the time; one host at once.

Each step looks at the next ids in order, so it costs the same however much is stored, and touches nothing younger than
the shortest retention. No index is there for it, and no TTL: the head of the index of what is due stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ..admin.retention import Fate, Retention
from ..transaction import ENDED, ID_LENGTH, VERSION, State
from .connection import Connection, answering
from .documents import Document
from .turns import Turns

STEP = 500  # ids that one step looks at
TURN, TURN_SECONDS = "retention", 60.0
_LOOK = {"state": 1, "created_at": 1, "finished_at": 1, "idempotency.key": 1, "ordered": 1, "v": 1}
_KEPT = ("_id", "v", "type", "submitter", "idempotency", "created_at")


@dataclass(frozen=True, slots=True)
class Swept:
    """What one step did. `over`: nothing is left for now, or another host has the turn."""

    looked_at: int = 0
    removed: int = 0
    slimmed: int = 0
    over: bool = True


class Sweep:
    """Keeps Q to its retention, for one process."""

    def __init__(self, connection: Connection, turns: Turns, *, step: int = STEP) -> None:
        self._q, self._follows = connection.q, connection.follows
        self._clock, self._turns, self._step = connection.clock, turns, step

    def step(self, retention: Retention, holder: str) -> Swept:
        """Look at the next ids, and do with each what its retention says.

        Raises:
            QueueUnavailable: the database did not answer; the next step does it again.
        """
        days = retention.shortest_days
        notes = self._turns.take(TURN, holder, seconds=TURN_SECONDS) if days is not None else None
        if notes is None or days is None:
            return Swept()
        now = self._clock.now()
        with answering("sweep"):
            rows = self._next(str(notes.get("after", "")), now - timedelta(days=min(days, retention.key_days)))
            fates = {row["_id"]: _fate(row, retention, now) for row in rows}
            removed = self._remove([id for id, fate in fates.items() if fate is Fate.REMOVE], retention, now)
            slimmed = self._slim([id for id, fate in fates.items() if fate is Fate.SLIM], retention, now)
        over = len(rows) < self._step
        self._turns.note(TURN, holder, {} if over else {"after": rows[-1]["_id"]})
        return Swept(len(rows), removed, slimmed, over)

    def _next(self, after: str, before: datetime) -> list[Document]:
        ids = {"$gt": after, "$lt": f"{round(before.timestamp() * 1000):013d}".ljust(ID_LENGTH, "0")}
        return list(self._q.find({"_id": ids}, _LOOK, hint="_id_").sort("_id", 1).limit(self._step))

    def _remove(self, ids: list[str], retention: Retention, now: datetime) -> int:
        if not ids:
            return 0
        slim = {"_id": {"$in": ids}, "state": {"$exists": False}}
        removed = self._q.delete_many({"$or": [slim, _still(ids, retention, now)]}).deleted_count
        kept = [row["_id"] for row in self._q.find({"_id": {"$in": ids}}, {"_id": 1})] if removed < len(ids) else []
        self._follows.forget(set(ids).difference(kept))
        return removed

    def _slim(self, ids: list[str], retention: Retention, now: datetime) -> int:
        if not ids:
            return 0
        kept = {name: f"${name}" for name in _KEPT} | {"was": "$state"}
        return self._q.update_many(_still(ids, retention, now), [{"$replaceWith": kept}]).modified_count


def _fate(row: Mapping[str, Any], retention: Retention, now: datetime) -> Fate:
    if row.get("v", VERSION) > VERSION:
        return Fate.KEEP
    return retention.fate(
        state=State(row["state"]) if "state" in row else None,
        created_at=row["created_at"],
        finished_at=row.get("finished_at"),
        has_key="idempotency" in row,
        blocks="ordered" in row,
        now=now,
    )


def _still(ids: list[str], retention: Retention, now: datetime) -> Document:
    """Those that are as they were looked at: nobody has redriven them meanwhile."""
    cutoffs = {state: cutoff for state in ENDED if (cutoff := retention.cutoff(state, now))}
    either = [{"state": str(state), "finished_at": {"$lt": cutoff}} for state, cutoff in cutoffs.items()]
    return {"_id": {"$in": ids}, "ordered": {"$exists": False}, "$or": either}
