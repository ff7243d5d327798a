"""The collection `Audit`: entries are inserted, read, and never changed or removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import ObjectId
from pymongo import DESCENDING

from ..admin.audit import TEXT_LENGTH, Audit, AuditEntry, AuditPage, bounded
from .connection import Connection, answering
from .documents import Document


class MongoAudit(Audit):
    """The audit of this database."""

    def __init__(self, connection: Connection) -> None:
        self._entries, self._clock = connection.database["Audit"], connection.clock

    def record(self, by: str, action: str, target: str, facts: Mapping[str, Any] | None = None) -> None:
        """As `Audit.record` promises.

        Raises:
            QueueUnavailable: unknown whether it was added.
        """
        entry: Document = {
            "at": self._clock.now(),
            "by": by[:TEXT_LENGTH],
            "action": action,
            "target": target[:TEXT_LENGTH],
            "facts": bounded(facts or {}),
        }
        with answering("add to the audit"):
            self._entries.insert_one(entry)

    def page(self, *, after: str | None = None, limit: int = 50) -> AuditPage:
        """As `Audit.page` promises; a cursor that is none starts at the newest.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        older = {"_id": {"$lt": ObjectId(after)}} if after and ObjectId.is_valid(after) else {}
        with answering("read the audit"):
            rows = list(self._entries.find(older).sort("_id", DESCENDING).limit(limit + 1))
        entries = [_entry(row) for row in rows[:limit]]
        return AuditPage(entries, entries[-1].id if len(rows) > limit else None)


def _entry(row: Mapping[str, Any]) -> AuditEntry:
    return AuditEntry(
        id=str(row["_id"]),
        at=row["at"],
        by=row["by"],
        action=row["action"],
        target=row["target"],
        facts=row.get("facts", {}),
    )
