"""Turns: what any host may do, and one at a time does. Held by the server's clock, so a lost holder's turn ends."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from .connection import Connection, answering

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Turns:
    """The collection `Turns`: one document per thing that takes turns, with what its holder notes there."""

    def __init__(self, connection: Connection) -> None:
        self._turns = connection.database["Turns"]

    def take(self, name: str, holder: str, *, seconds: float) -> dict[str, Any] | None:
        """Take the turn, or keep it, for so long from now; what was noted there. None: somebody else has it.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        with answering("take a turn"):
            if not self._take(name, holder, seconds):
                self._turns.update_one({"_id": name}, {"$setOnInsert": {"until": LONG_AGO}}, upsert=True)
                self._take(name, holder, seconds)
            found = self._turns.find_one({"_id": name, "holder": holder})
        return dict(found.get("notes", {})) if found else None

    def _take(self, name: str, holder: str, seconds: float) -> bool:
        free = {"_id": name, "$or": [{"holder": holder}, {"$expr": {"$lt": ["$until", "$$NOW"]}}]}
        until = {"$add": ["$$NOW", int(seconds * 1000)]}
        taken = self._turns.update_one(free, [{"$set": {"holder": {"$literal": holder}, "until": until}}])
        return taken.matched_count == 1

    def note(self, name: str, holder: str, notes: dict[str, Any]) -> None:
        """Write down how far it is, for whoever has the next turn.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        with answering("note a turn"):
            self._turns.update_one({"_id": name, "holder": holder}, {"$set": {"notes": notes}})
