"""The collection `ApiKeys`: one document per key, without its secret."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING

from ..access import ApiKey, NewKey, Scope, new_key
from .connection import Connection, answering

VERSION = 1


class ApiKeys:
    """Keeps API keys. Every call may raise `QueueUnavailable`; a changing one may be repeated."""

    def __init__(self, connection: Connection) -> None:
        self._keys, self._clock = connection.database["ApiKeys"], connection.clock

    def create(
        self,
        submitter: str,
        scopes: Collection[Scope],
        *,
        types: Collection[str] | None = None,
        lasts: timedelta | None = None,
        note: str = "",
    ) -> NewKey:
        """A new key, kept; its text is nowhere but in the answer."""
        now = self._clock.now()
        made = new_key(submitter, scopes, now, types=types, expires_at=now + lasts if lasts else None, note=note)
        with answering("keep an API key"):
            self._keys.insert_one(_encode(made.key))
        return made

    def all(self) -> Sequence[ApiKey]:
        """Every key, the oldest first."""
        with answering("list API keys"):
            return [_decode(row) for row in self._keys.find().sort([("created_at", ASCENDING), ("_id", ASCENDING)])]

    def revoke(self, id: str) -> bool:
        """From now on the key opens nothing. False: there is no such key, or it was revoked before."""
        with answering("revoke an API key"):
            changed = self._keys.update_one(
                {"_id": id, "revoked_at": {"$exists": False}}, {"$set": {"revoked_at": self._clock.now()}}
            )
        return changed.modified_count == 1

    def expire(self, id: str, at: datetime) -> bool:
        """Let the key end at a time. False: there is no such key, or it was revoked."""
        with answering("expire an API key"):
            changed = self._keys.update_one({"_id": id, "revoked_at": {"$exists": False}}, {"$set": {"expires_at": at}})
        return changed.matched_count == 1

    def delete(self, id: str) -> bool:
        """Forget a key that opens nothing any more. False: there is none, or it still works."""
        over = [{"revoked_at": {"$exists": True}}, {"expires_at": {"$lte": self._clock.now()}}]
        with answering("delete an API key"):
            return self._keys.delete_one({"_id": id, "$or": over}).deleted_count == 1

    def used(self, id: str) -> None:
        """The key was used now."""
        with answering("keep the last use of an API key"):
            self._keys.update_one({"_id": id}, {"$max": {"last_used_at": self._clock.now()}})


def _encode(key: ApiKey) -> dict[str, Any]:
    document: dict[str, Any] = {
        "_id": key.id,
        "v": VERSION,
        "submitter": key.submitter,
        "scopes": sorted(key.scopes),
        "hash": key.hash,
        "created_at": key.created_at,
        "note": key.note,
    }
    more = {"types": sorted(key.types) if key.types else None, "expires_at": key.expires_at}
    return document | {name: value for name, value in more.items() if value is not None}


def _decode(row: Mapping[str, Any]) -> ApiKey:
    types = row.get("types")
    return ApiKey(
        id=row["_id"],
        submitter=row["submitter"],
        scopes=frozenset(Scope(scope) for scope in row["scopes"]),
        hash=row["hash"],
        created_at=row["created_at"],
        types=frozenset(types) if types else None,
        expires_at=row.get("expires_at"),
        revoked_at=row.get("revoked_at"),
        last_used_at=row.get("last_used_at"),
        note=row["note"],
    )
