"""Counts that stop early, so that none of them walks through all that is stored."""

from __future__ import annotations

from pymongo.collection import Collection

from .documents import Document


def counted(collection: Collection[Document], among: Document, *, hint: str, limit: int) -> int:
    """How many documents match, from the keys of one index; `limit` when there are as many or more."""
    # The command `count`, not the stage: it steps over keys and makes no documents of them.
    # A bare command carries no read concern of the collection's.
    majority = collection.read_concern.document
    answer = collection.database.command(
        "count", collection.name, query=among, hint=hint, limit=limit, readConcern=majority
    )
    return int(answer["n"])
