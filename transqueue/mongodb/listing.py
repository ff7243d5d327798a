"""Pages of transactions, newest first, for any filter, and never a scan of Q.

A filter that few match is answered whole from an index; one that many match is soon filled by walking back in time.
Which of the two it is, a count that stops early tells. What one page may look through is bounded either way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING

from ..admin.filter import Filter
from ..queue import Page
from ..transaction import State, Transaction
from .connection import Connection, answering
from .counting import counted
from .documents import Document, decode
from .failures import dead_of
from .indexes import INDEX_OF

LOOKED_THROUGH = 5_000  # documents that one page may look through, so that a rare filter never scans Q

_STORED = {
    "state": "state",
    "type": "type",
    "plugin": "plugin.name",
    "submitter": "submitter",
    "ordering_key": "ordering_key",
    "cause": "cause",
}


_NOT_SLIM: Document = {"state": {"$exists": True}}  # what has a state is more than a kept key


class Listing:
    """Lists Q."""

    def __init__(self, connection: Connection) -> None:
        self._q, self._follows = connection.q, connection.follows

    def page(self, filter: Filter, *, after: str | None, limit: int) -> Page:
        """Transactions that match, newest first, older than the cursor `after`.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        with answering("list transactions"):
            few = self._index_of_few(filter)
            ids = _ids(filter, after)
            floor = None if few else self._floor(ids)
            if floor:
                ids["$gte"] = max(floor, ids.get("$gte", ""))
            query = _NOT_SLIM | stored_filter(filter) | ({"_id": ids} if ids else {})
            rows = self._q.find(query, hint=few).sort("_id", DESCENDING).limit(limit + 1)
            found = [decode(document) for document in rows]
        if len(found) > limit:
            return Page(found[:limit], found[limit - 1].id)
        return Page(found, floor)

    def following(self, transaction_id: str, *, limit: int) -> Sequence[Transaction]:
        """What this transaction's handler, or its end, has enqueued: the first ones.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        with answering("list what follows"):
            query = _NOT_SLIM | {"_id": {"$in": self._follows.of(transaction_id, limit)}}
            return [decode(row) for row in self._q.find(query).sort("_id", ASCENDING)]

    def _index_of_few(self, filter: Filter) -> str | None:
        """The index that has all of a state or a cause, if these are so few that a page may look through them."""
        if filter.cause is not None:
            index, among = INDEX_OF[State.DEAD], dead_of(filter.cause)
        elif filter.state is not None:
            index, among = INDEX_OF[filter.state], {"state": str(filter.state)}
            among |= {"type": filter.type} if filter.type else {}
        else:
            return None
        count = counted(self._q, among, hint=index, limit=LOOKED_THROUGH + 1)
        return index if count <= LOOKED_THROUGH else None

    def _floor(self, ids: Mapping[str, str]) -> str | None:
        """The oldest id that this page looks at; none when the end of what may match is nearer."""
        among = {"_id": ids} if ids else {}
        row = next(self._q.find(among, {"_id": 1}).sort("_id", DESCENDING).skip(LOOKED_THROUGH).limit(1), None)
        return row["_id"] if row else None


def stored_filter(filter: Filter) -> Document:
    """The filter in the names of Q, but for its times, which ids tell."""
    given = {stored: getattr(filter, name) for name, stored in _STORED.items()}
    wanted: Document = {stored: {"$eq": str(value)} for stored, value in given.items() if value is not None}
    if filter.cause is not None:  # else the server would not see that the index has them all
        return dead_of(filter.cause) | wanted | {"state": str(State.DEAD)}
    return wanted


def first_id(moment: datetime) -> str:
    """No id that is made at this moment, or later, is less."""
    return f"{max(0, round(moment.timestamp() * 1000)):013d}"


def _ids(filter: Filter, after: str | None) -> dict[str, Any]:
    below = [id for id in (after, first_id(filter.until) if filter.until else None) if id]
    found = {"$lt": min(below)} if below else {}
    return found | ({"$gte": first_id(filter.since)} if filter.since else {})
