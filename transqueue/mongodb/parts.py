"""The collection `Parts`: which parts run where, how their last reload ended, and the word that asks for one.

Each part says every second or so that it is there, and reads in the same write whether it is to reload. A part that
was not seen for a while is gone; its last reload can be read for some days.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument

from ..admin.part import Part, Reload
from .connection import Connection, answering

GONE_SECONDS = 10
KEPT_SECONDS = 7 * 86_400
SHOWN = 200
_HERE = {"$expr": {"$gte": ["$seen_at", {"$subtract": ["$$NOW", GONE_SECONDS * 1000]}]}}


class Parts:
    """The parts on this database."""

    def __init__(self, connection: Connection) -> None:
        self._parts = connection.database["Parts"]

    def begin(self, part: Part) -> None:
        """A part has started.

        Raises:
            QueueUnavailable: the database did not answer; beginning again is safe.
        """
        later = ("id", "started_at", "seen_at", "asked")
        born = {name: value for name, value in asdict(part).items() if name not in later}
        stamped = {**{name: {"$literal": value} for name, value in born.items()}, "seen_at": "$$NOW"}
        with answering("tell that a part runs"):
            self._parts.create_indexes(
                [IndexModel([("seen_at", ASCENDING)], name="old", expireAfterSeconds=KEPT_SECONDS)]
            )
            self._parts.update_one({"_id": part.id}, [{"$set": {**stamped, "started_at": "$$NOW"}}], upsert=True)

    def beat(self, id: str) -> str:
        """The part is there; the request for a reload that it has not answered, empty without one.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        with answering("tell that a part runs"):
            found = self._parts.find_one_and_update(
                {"_id": id}, [{"$set": {"seen_at": "$$NOW"}}], return_document=ReturnDocument.AFTER
            )
        wanted = str((found or {}).get("wanted") or "")
        return wanted if wanted != ((found or {}).get("reload") or {}).get("request") else ""

    def tell(self, id: str, reload: Reload) -> None:
        """How a reload of the part ended.

        Raises:
            QueueUnavailable: the database did not answer; telling again is safe.
        """
        told = {"well": reload.well, "message": reload.message[:4000], "request": reload.request}
        stamped = {"$set": {"reload": {**{name: {"$literal": value} for name, value in told.items()}, "at": "$$NOW"}}}
        with answering("tell of a reload"):
            self._parts.update_one({"_id": id}, [stamped])

    def end(self, id: str) -> None:
        """The part ends in good order.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        with answering("tell that a part ended"):
            self._parts.update_one(
                {"_id": id}, [{"$set": {"seen_at": {"$subtract": ["$$NOW", GONE_SECONDS * 1000 + 1]}}}]
            )

    def ask(self, host: str | None) -> tuple[str, Sequence[Part]]:
        """Ask the parts of a host, or of all, to reload: the request's id, and who was asked.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        request = uuid.uuid4().hex
        among: dict[str, Any] = {**_HERE} | ({"host": host} if host else {})
        with answering("ask for a reload"):
            self._parts.update_many(among, {"$set": {"wanted": request}})
            return request, [_part(row) for row in self._parts.find({"wanted": request})]

    def here(self) -> Sequence[Part]:
        """The parts that run now, by host.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        with answering("look which parts run"):
            return [_part(row) for row in self._parts.find(_HERE).sort([("host", 1), ("started_at", 1)]).limit(SHOWN)]

    def answers(self, request: str) -> Mapping[str, Reload]:
        """The outcomes of one request so far, by part.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        with answering("look how reloads ended"):
            rows = self._parts.find({"reload.request": request}).sort("seen_at", DESCENDING)
            return {row["_id"]: Reload(**row["reload"]) for row in rows}


def _part(row: Mapping[str, Any]) -> Part:
    reload = row.get("reload")
    return Part(
        id=row["_id"],
        role=row["role"],
        host=row["host"],
        pid=row["pid"],
        version=row["version"],
        config_file=row.get("config_file", ""),
        started_at=row["started_at"],
        seen_at=row["seen_at"],
        reload=Reload(**reload) if reload else None,
        asked=row.get("wanted") or "",
    )
