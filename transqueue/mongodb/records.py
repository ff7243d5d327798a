"""Transactions looked up and counted, and what an operator may do to one that is not running."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ..transaction import ENDED, HISTORY_KEPT, State, Transaction
from .connection import Connection, answering
from .counting import counted
from .documents import READABLE, decode
from .endings import end_with_more
from .indexes import INDEX_OF
from .ordered import Ordered


class Records:
    """Reads Q, and makes the transitions that need no lease."""

    def __init__(self, connection: Connection, ordered: Ordered) -> None:
        self._connection, self._ordered = connection, ordered
        self._q, self._clock = connection.q, connection.clock

    def get(self, transaction_id: str) -> Transaction | None:
        """As `TransactionQueue.get` promises."""
        with answering("read a transaction"):
            document = self._q.find_one({"_id": transaction_id})
        return decode(document) if document and "state" in document else None

    def ended(self, ids: Collection[str]) -> frozenset[str]:
        """As `TransactionQueue.ended` promises."""
        states = [str(state) for state in ENDED]
        with answering("look for ended transactions"):
            rows = self._q.find({"_id": {"$in": list(ids)}, "state": {"$in": states}}, {"_id": 1})
            return frozenset(row["_id"] for row in rows)

    def counts(self, at_most: int | None) -> Mapping[str, Mapping[State, int]]:
        """As `TransactionQueue.counts` promises."""
        found: dict[str, dict[State, int]] = {}
        with answering("count transactions"):
            for state in State:
                for type in self._q.distinct("type", {"state": str(state)}):  # leaps from type to type
                    count = counted(
                        self._q, {"state": str(state), "type": type}, hint=INDEX_OF[state], limit=at_most or 0
                    )
                    if count:
                        found.setdefault(type, {})[state] = count
        return found

    def types_of(self, ids: Collection[str]) -> list[str]:
        """The type of each of `ids`."""
        if not ids:
            return []
        with answering("look up types"):
            return [row["type"] for row in self._q.find({"_id": {"$in": list(ids)}}, {"type": 1})]

    def cancel(self, transaction_id: str) -> str | None:
        """As `TransactionQueue.cancel` promises; the type of what was cancelled."""
        changes = {"finished_at": {"$ifNull": ["$finished_at", self._clock.now()]}, "ordered": "$$REMOVE"}
        return self._move(transaction_id, [State.QUEUED, State.DEAD], State.CANCELLED, changes)

    def redrive(self, transaction_id: str, *, more_attempts: int) -> str | None:
        """As `TransactionQueue.redrive` promises; the type of what is queued again."""
        changes = {
            "due_at": self._clock.now(),
            "max_attempts": {"$add": ["$attempts", more_attempts]},
            "crashes": 0,
            "finished_at": "$$REMOVE",
            "ended_by": "$$REMOVE",
            "cause": "$$REMOVE",
            "deferred_since": "$$REMOVE",
            "ordered": {"$cond": [{"$gt": ["$ordering_key", None]}, True, "$$REMOVE"]},
        }
        return self._move(transaction_id, [State.DEAD], State.QUEUED, changes)

    def _move(self, transaction_id: str, states: list[State], state: State, changes: Mapping[str, Any]) -> str | None:
        entry = {"at": self._clock.now(), "state": str(state), "attempt": "$attempts"}
        history = {"$slice": [{"$concatArrays": ["$history", [entry]]}, -HISTORY_KEPT]}
        with answering(f"move a transaction to {state}"):
            present = {"_id": transaction_id, "state": {"$in": [str(one) for one in states]}, "v": READABLE}
            update = [{"$set": {"state": str(state), "history": history, **changes}}]
            if state in ENDED and self._q.find_one({"_id": transaction_id, "on_end": {"$exists": True}}, {"_id": 1}):
                moved = end_with_more(self._connection, present, update)
            else:
                moved = self._q.find_one_and_update(present, update, {"ordering_key": 1, "plugin": 1, "type": 1})
            if moved and "ordering_key" in moved:
                self._ordered.look_again(moved["plugin"]["name"], moved["ordering_key"])
        return str(moved["type"]) if moved else None
