"""Transactions looked up, listed and counted, and what an operator may do to one that is not running."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from pymongo import DESCENDING

from ..queue import Page
from ..transaction import ENDED, HISTORY_KEPT, State, Transaction
from .connection import Connection, answering
from .documents import Document, decode
from .ordered import Ordered

LOOKED_THROUGH = 20_000  # documents that one page may look through, so that a rare filter never scans Q


class Records:
    """Reads Q, and makes the transitions that need no lease."""

    def __init__(self, connection: Connection, ordered: Ordered) -> None:
        self._q, self._clock, self._ordered = connection.q, connection.clock, ordered

    def get(self, transaction_id: str) -> Transaction | None:
        """As `TransactionQueue.get` promises."""
        with answering("read a transaction"):
            document = self._q.find_one({"_id": transaction_id})
        return decode(document) if document else None

    def page(self, filters: Mapping[str, str | None], *, after: str | None, limit: int) -> Page:
        """As `TransactionQueue.page` promises."""
        older: Document = {"$lt": after} if after else {}
        with answering("list transactions"):
            floor = self._floor(older)
            wanted = {key: value for key, value in filters.items() if value is not None}
            ids = older | ({"$gte": floor} if floor else {})
            query = wanted | ({"_id": ids} if ids else {})
            found = [decode(document) for document in self._q.find(query).sort("_id", DESCENDING).limit(limit + 1)]
        if len(found) > limit:
            return Page(found[:limit], found[limit - 1].id)
        return Page(found, floor)

    def _floor(self, older: Document) -> str | None:
        """The oldest id that this page looks at; none when the end of Q is nearer."""
        among = {"_id": older} if older else {}
        row = next(self._q.find(among, {"_id": 1}).sort("_id", DESCENDING).skip(LOOKED_THROUGH).limit(1), None)
        return row["_id"] if row else None

    def ended(self, ids: Collection[str]) -> frozenset[str]:
        """As `TransactionQueue.ended` promises."""
        states = [str(state) for state in ENDED]
        with answering("look for ended transactions"):
            rows = self._q.find({"_id": {"$in": list(ids)}, "state": {"$in": states}}, {"_id": 1})
            return frozenset(row["_id"] for row in rows)

    def counts(self) -> Mapping[str, Mapping[State, int]]:
        """As `TransactionQueue.counts` promises."""
        counted: dict[str, dict[State, int]] = {}
        grouping = {"$group": {"_id": {"type": "$type", "state": "$state"}, "count": {"$sum": 1}}}
        with answering("count transactions"):
            # The sort makes the server walk the index of what is due, which has both fields, and touch no document.
            for row in self._q.aggregate([{"$sort": {"state": 1, "type": 1}}, grouping], hint="due"):
                counted.setdefault(row["_id"]["type"], {})[State(row["_id"]["state"])] = row["count"]
        return counted

    def oldest_due(self) -> Mapping[str, datetime]:
        """Since when the longest due transaction of each type has been due.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        due = {"$match": {"state": State.QUEUED, "due_at": {"$lte": self._clock.now()}}}
        oldest = {"$group": {"_id": "$type", "due_at": {"$min": "$due_at"}}}
        with answering("look for what is due"):
            return {row["_id"]: row["due_at"] for row in self._q.aggregate([due, oldest])}

    def cancel(self, transaction_id: str) -> bool:
        """As `TransactionQueue.cancel` promises."""
        changes = {"finished_at": {"$ifNull": ["$finished_at", self._clock.now()]}, "ordered": "$$REMOVE"}
        return self._move(transaction_id, [State.QUEUED, State.DEAD], State.CANCELLED, changes)

    def redrive(self, transaction_id: str, *, more_attempts: int) -> bool:
        """As `TransactionQueue.redrive` promises."""
        changes = {
            "due_at": self._clock.now(),
            "max_attempts": {"$add": ["$attempts", more_attempts]},
            "crashes": 0,
            "finished_at": "$$REMOVE",
            "ended_by": "$$REMOVE",
            "deferred_since": "$$REMOVE",
            "ordered": {"$cond": [{"$gt": ["$ordering_key", None]}, True, "$$REMOVE"]},
        }
        return self._move(transaction_id, [State.DEAD], State.QUEUED, changes)

    def _move(self, transaction_id: str, states: list[State], state: State, changes: Mapping[str, Any]) -> bool:
        entry = {"at": self._clock.now(), "state": str(state), "attempt": "$attempts"}
        history = {"$slice": [{"$concatArrays": ["$history", [entry]]}, -HISTORY_KEPT]}
        with answering(f"move a transaction to {state}"):
            moved = self._q.find_one_and_update(
                {"_id": transaction_id, "state": {"$in": [str(one) for one in states]}},
                [{"$set": {"state": str(state), "history": history, **changes}}],
                {"ordering_key": 1, "plugin": 1},
            )
            if moved and "ordering_key" in moved:
                self._ordered.look_again(moved["plugin"]["name"], moved["ordering_key"])
        return moved is not None
