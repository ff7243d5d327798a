"""Which types each plugin claims, kept in the database, so that a broken plugin's types are still known as its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pymongo import UpdateOne

from .connection import Connection, answering


class Catalog:
    """The collection `Plugins`: one document per plugin that has ever worked here."""

    def __init__(self, connection: Connection) -> None:
        self._plugins = connection.database["Plugins"]

    def known_types(self) -> Mapping[str, Sequence[str]]:
        """What each plugin claimed when it last worked.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        with answering("read the known types"):
            return {row["_id"]: row["types"] for row in self._plugins.find({}, {"types": 1})}

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
