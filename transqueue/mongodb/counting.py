"""Counts that stop early, so that none of them walks through all that is stored."""

from __future__ import annotations

from pymongo.collection import Collection

from .documents import Document

MAJORITY = {"level": "majority"}  # a bare command does not get the concern of its collection


def counted(collection: Collection[Document], among: Document, *, hint: str, limit: int) -> int:
    """How many documents match, from the keys of one index; `limit` when there are as many or more; 0 sets none."""
    # The command `count`, not the stage: it steps over keys and makes no documents of them.
    answer = collection.database.command(
        "count", collection.name, query=among, hint=hint, limit=limit, readConcern=MAJORITY
    )
    return int(answer["n"])
