"""Which transactions follow from which: kept beside Q, so that only those that enqueue others pay for its index."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pymongo import ASCENDING, IndexModel
from pymongo.client_session import ClientSession
from pymongo.collection import Collection as Documents

from .documents import Document

INDEX = IndexModel([("parent", ASCENDING), ("_id", ASCENDING)], name="parent")


class Follows:
    """By its id, the parent of each transaction that another has enqueued."""

    def __init__(self, documents: Documents[Document]) -> None:
        self.documents = documents

    def note(self, new: Sequence[Document], session: ClientSession) -> None:
        """These are being enqueued in this session."""
        if rows := [{"_id": one["_id"], "parent": one["parent"]} for one in new if "parent" in one]:
            self.documents.insert_many(rows, session=session)

    def of(self, parent: str, limit: int) -> list[str]:
        """Ids of the first ones that followed from it."""
        rows = self.documents.find({"parent": parent}, {"_id": 1}).sort("_id", ASCENDING).limit(limit)
        return [row["_id"] for row in rows]

    def forget(self, ids: Collection[str]) -> None:
        """These are no more."""
        self.documents.delete_many({"_id": {"$in": list(ids)}})
