"""How the database is: version, members, sizes. Read from what the server knows anyway; nothing is walked through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo.errors import OperationFailure

from .connection import Connection, answering


@dataclass(frozen=True, slots=True)
class Member:
    """One member of the replica set, as this one sees it."""

    name: str
    state: str
    healthy: bool


@dataclass(frozen=True, slots=True)
class Stored:
    """What one collection takes up, in bytes; the indexes by name."""

    name: str
    documents: int
    size: int
    on_disk: int
    indexes: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How the database is at one moment. `members` is empty where this user may not ask."""

    version: str
    set_name: str
    time: datetime
    members: Sequence[Member]
    stored: Sequence[Stored]


class Surveyor:
    """Looks how the database is."""

    def __init__(self, connection: Connection) -> None:
        self._client, self._database = connection.client, connection.database

    def look(self) -> Condition:
        """How the database is now.

        Raises:
            QueueUnavailable: it did not answer.
        """
        with answering("look how the database is"):
            hello = self._client.admin.command("hello")
            version = self._client.admin.command("buildInfo")["version"]
            names = sorted(self._database.list_collection_names())
            return Condition(
                version=version,
                set_name=hello.get("setName", ""),
                time=hello["localTime"],
                members=self._members(),
                stored=[self._stored(name) for name in names if not name.startswith("system.")],
            )

    def _members(self) -> list[Member]:
        try:
            status: Mapping[str, Any] = self._client.admin.command("replSetGetStatus")
        except OperationFailure:
            return []
        return [Member(row["name"], row["stateStr"].lower(), row["health"] == 1) for row in status["members"]]

    def _stored(self, name: str) -> Stored:
        try:
            facts = self._database.command("collStats", name)
        except OperationFailure:
            return Stored(name, 0, 0, 0, {})
        return Stored(name, facts["count"], facts["size"], facts["storageSize"], dict(facts["indexSizes"]))
