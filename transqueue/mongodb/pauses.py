"""The collection `Paused`: one document per paused type or family. Workers read it a few times a second, whole."""

from __future__ import annotations

from collections.abc import Mapping

from pymongo.errors import DuplicateKeyError

from ..admin.pause import REASON_LENGTH, Pause, Pausing
from .connection import Connection, answering


class Pauses(Pausing):
    """What is paused on this database."""

    def __init__(self, connection: Connection) -> None:
        self._paused, self._clock = connection.database["Paused"], connection.clock

    def pause(self, type: str, *, by: str, reason: str = "") -> bool:
        """As `Pausing.pause` promises."""
        with answering("pause a type"):
            try:
                self._paused.insert_one(
                    {"_id": type, "by": by, "at": self._clock.now(), "reason": reason[:REASON_LENGTH]}
                )
            except DuplicateKeyError:
                return False
        return True

    def resume(self, type: str) -> bool:
        """As `Pausing.resume` promises."""
        with answering("resume a type"):
            return self._paused.delete_one({"_id": type}).deleted_count == 1

    def paused(self) -> Mapping[str, Pause]:
        """As `Pausing.paused` promises."""
        with answering("read what is paused"):
            return {row["_id"]: Pause(row["by"], row["at"], row["reason"]) for row in self._paused.find().sort("_id")}
