"""A secret that all processes and hosts on this database share: made by the first that asks, kept in `Secrets`."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import cache

from pymongo import ReturnDocument

from .connection import Connection, answering


class Secrets:
    """The collection `Secrets`; nothing that operators see shows it."""

    def __init__(self, connection: Connection) -> None:
        self._secrets = connection.database["Secrets"]
        self.of: Callable[[str], str] = cache(self._of)

    def _of(self, name: str) -> str:
        """The secret of this name.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        made = {"$setOnInsert": {"secret": secrets.token_hex(32)}}
        with answering("read a secret"):
            kept = self._secrets.find_one_and_update(
                {"_id": name}, made, upsert=True, return_document=ReturnDocument.AFTER
            )
        return str(kept["secret"]) if kept else ""
