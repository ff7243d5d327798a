"""Indexes that never hold up a start: on a large collection those that are missing are built while the work goes on.

An index is known by its name. One that is there is left as it is, so a host with the version before or after this one
never argues about its keys; one with other keys gets another name. What nobody may do without (the one that makes keys
unique) is waited for.

Each index of Q has only what is in some state, for two reasons: a transaction that moves on is written into few, and
the keys that it leaves behind stand in nobody's way. Removed keys stay for minutes, and mongod steps over every one
that follows what was asked for: with `running` behind `queued` in one index, looking for a type that has nothing due
led through everything leased lately.

There are as few as can be: for each document that a session updates, and each index, MongoDB 6 reads and parses the
whole list of them twice, so what a session costs grows with the square of their number (docs/performance.md).
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pymongo
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.collection import Collection as Documents
from pymongo.errors import PyMongoError

from ..transaction import ENDED, State

# What is due: one short scan, no sort in memory, and covered, so that choosing candidates touches no document.
_DUE = [
    ("state", ASCENDING),
    ("type", ASCENDING),
    ("lane", ASCENDING),
    ("priority", DESCENDING),
    ("due_at", ASCENDING),
    ("_id", ASCENDING),
    ("alone", ASCENDING),
]
# What is leased, by who holds it. (Of the keyed ones each lane's document knows which those are.)
_HELD = [("state", ASCENDING), ("lease.worker", ASCENDING), ("type", ASCENDING)]
# The keyed ones that have not left their key: by lane, without those set aside, and by key, with them.
_FRONT = [("ordered", ASCENDING), ("plugin.name", ASCENDING), ("lane", ASCENDING), ("accepted", ASCENDING)]
_ORDER = [("plugin.name", ASCENDING), ("ordering_key", ASCENDING), ("accepted", ASCENDING)]
# What has ended, by state and type; the dead also by what they died of, the latest first.
_ENDED = [
    ("state", ASCENDING),
    ("type", ASCENDING),
    ("cause", ASCENDING),
    ("finished_at", DESCENDING),
    ("_id", DESCENDING),
]
_KEY = [("submitter", ASCENDING), ("idempotency.key", ASCENDING)]
KEYED: Mapping[str, Any] = {"ordered": {"$exists": True}}
Q_INDEXES = [
    IndexModel(_DUE, name="due", partialFilterExpression={"state": "queued"}),
    IndexModel(_HELD, name="held", partialFilterExpression={"state": "running"}),
    IndexModel(_FRONT, name="front", partialFilterExpression={"ordered": True}),
    IndexModel(_ORDER, name="order", partialFilterExpression=KEYED),
    IndexModel(_ENDED, name="finished", partialFilterExpression={"state": {"$in": sorted(ENDED)}}),
    IndexModel(_KEY, name="idempotency", unique=True, partialFilterExpression={"idempotency.key": {"$exists": True}}),
]
INDEX_OF = {State.QUEUED: "due", State.RUNNING: "held", **dict.fromkeys(ENDED, "finished")}

SMALL = 10_000  # documents; with fewer an index is there in a moment


def ensure(collection: Documents[Any], models: Sequence[IndexModel], *, needed: Collection[str] = ()) -> None:
    """Make the indexes that are missing: those `needed`, and all of a small collection, before this returns."""
    present = set(collection.index_information())
    missing = [model for model in models if model.document["name"] not in present]
    if not missing:
        return
    is_small = collection.estimated_document_count() < SMALL
    now = [model for model in missing if is_small or model.document["name"] in needed]
    later = [model for model in missing if model not in now]
    if now:
        with pymongo.timeout(None):
            collection.create_indexes(now)
    if later:
        threading.Thread(target=_build, args=(collection, later), daemon=True, name="indexes").start()


def _build(collection: Documents[Any], models: Sequence[IndexModel]) -> None:
    """The server goes on with it when this process ends; whoever starts next looks again."""
    with suppress(PyMongoError), pymongo.timeout(None):
        collection.create_indexes(list(models))
