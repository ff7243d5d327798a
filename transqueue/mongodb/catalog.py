"""What is known of plugins beyond one process: which types each claims, and how it is in every process that lives.

The types are kept, so that those of a broken plugin are still known as its own. What a process tells is believed for a
while only, and told again and again while it lives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import UpdateOne

from ..admin.report import ProcessReport
from .connection import Connection, answering
from .documents import known

BELIEVED_SECONDS = 45.0


class Catalog:
    """The collection `Plugins`: one document per plugin that has ever worked here, and one per process."""

    def __init__(self, connection: Connection) -> None:
        self._plugins = connection.database["Plugins"]

    def known_types(self) -> Mapping[str, Sequence[str]]:
        """What each plugin claimed when it last worked.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        with answering("read the known types"):
            rows = self._plugins.find({"types": {"$exists": True}}, {"types": 1})
            return {row["_id"]: row["types"] for row in rows}

    def remember(self, types: Mapping[str, Sequence[str]]) -> None:
        """Keep what the working plugins claim.

        Raises:
            QueueUnavailable: the database did not answer; remembering again is safe.
        """
        writes = [
            UpdateOne({"_id": plugin}, {"$set": {"types": sorted(claimed)}}, upsert=True)
            for plugin, claimed in types.items()
        ]
        if writes:
            with answering("remember types"):
                self._plugins.bulk_write(writes, ordered=False)

    def tell(self, report: ProcessReport) -> None:
        """How each plugin is in a process, in place of what the one before it in that place told.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        fields: dict[str, Any] = {
            "role": report.role,
            "host": report.host,
            "slot": report.slot,
            "pid": report.pid,
            "plugins": [{"name": name, **told} for name, told in report.plugins.items()],
        }
        literal = {name: {"$literal": value} for name, value in fields.items()}
        with answering("tell how the plugins are"):
            self._plugins.update_one({"_id": _id(report)}, [{"$set": {**literal, "at": "$$NOW"}}], upsert=True)

    def withdraw(self, report: ProcessReport) -> None:
        """The process ends.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        with answering("withdraw a report"):
            self._plugins.delete_one({"_id": _id(report), "pid": report.pid})

    def reports(self) -> Sequence[ProcessReport]:
        """What the processes that live tell, by role, host and slot.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        fresh = {"$gt": ["$at", {"$subtract": ["$$NOW", int(BELIEVED_SECONDS * 1000)]}]}
        with answering("read how the plugins are"):
            rows = self._plugins.find({"role": {"$exists": True}, "$expr": fresh}, {"_id": 0})
            return [_report(row) for row in rows.sort(["role", "host", "slot"])]


def _id(report: ProcessReport) -> str:
    """No plugin can have this name."""
    return f"{report.role}@{report.host}:{report.slot}"


def _report(row: dict[str, Any]) -> ProcessReport:
    plugins = {told.pop("name"): told for told in row.pop("plugins")}
    return ProcessReport(**known(ProcessReport, row), plugins=plugins)
