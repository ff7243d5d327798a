"""What `explain` needs to know of one transaction: a handful of reads by index, whatever the size of Q."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import ASCENDING

from ..admin.crew import LiveWorker, able
from ..admin.explain import POSITION_LIMIT, Ahead, Circumstances, Holder
from ..admin.pause import Pausing, pause_of
from ..transaction import FREE_LANES, VERSION, State, Transaction
from .connection import Connection, answering
from .documents import Document, decode
from .indexes import KEYED
from .lane_turn import lane_id
from .workers import Workers


class Gathering:
    """Gathers the circumstances of transactions."""

    def __init__(self, connection: Connection, workers: Workers, pauses: Pausing) -> None:
        self._q, self._lanes, self._clock = connection.q, connection.lanes, connection.clock
        self._workers, self._pauses = workers, pauses

    def circumstances(self, transaction_id: str) -> Circumstances | None:
        """As `TransactionQueue.circumstances` promises."""
        with answering("look at a transaction"):
            document = self._q.find_one({"_id": transaction_id})
            if document is None or "state" not in document:
                return None
            version = document.get("v", VERSION)
            if version > VERSION:
                return Circumstances(id=transaction_id, now=self._clock.now(), transaction=None, version=version)
            return self._of(document, decode(document))

    def _of(self, document: Document, one: Transaction) -> Circumstances:
        now, live = self._clock.now(), self._workers.live()
        waits = one.state is State.QUEUED
        paused = self._pauses.paused() if waits else {}
        return Circumstances(
            id=one.id,
            now=now,
            transaction=one,
            pause=pause_of(one.type, paused),
            workers=len(live),
            able=able(one.type, live),
            ahead=self._ahead(document, paused) if waits and one.ordering_key is not None else None,
            holder=_holder(one, live),
            position=self._position(document) if waits and one.due_at <= now else None,
        )

    def _ahead(self, document: Document, paused: Mapping[str, Any]) -> Ahead | None:
        """What runs of its key, even if it was accepted later; else the first that has not left it."""
        key = {"plugin.name": document["plugin"]["name"], "ordering_key": document["ordering_key"]}
        lane = self._lanes.find_one({"_id": lane_id(document["plugin"]["name"], document["lane"])}, {"leased": 1})
        running = {**key, "state": str(State.RUNNING), "_id": {"$in": lane.get("leased", []) if lane else []}}
        before = {**key, **KEYED, "accepted": {"$lt": document["accepted"]}}
        fields = {"type": 1, "state": 1, "due_at": 1}
        row = self._q.find_one(running, fields)
        row = row or self._q.find_one(before, fields, hint="order", sort=[("accepted", ASCENDING)])
        if row is None:
            return None
        pause = pause_of(row["type"], paused)
        return Ahead(id=row["_id"], type=row["type"], state=State(row["state"]), due_at=row["due_at"], pause=pause)

    def _position(self, document: Document) -> int:
        """How many due ones go before it; no more are counted than anybody wants to know."""
        if "ordering_key" in document:
            lane = {"plugin.name": document["plugin"]["name"], "lane": document["lane"]}
            return self._count({"ordered": True, **lane, "accepted": {"$lt": document["accepted"]}}, "front")
        due = {"state": str(State.QUEUED), "type": document["type"], "lane": {"$in": [*FREE_LANES]}}
        higher = {"priority": {"$gt": document["priority"]}, "due_at": {"$lte": self._clock.now()}}
        longer = {"priority": document["priority"], "due_at": {"$lt": document["due_at"]}}
        return min(POSITION_LIMIT, self._count({**due, **higher}, "due") + self._count({**due, **longer}, "due"))

    def _count(self, query: Document, index: str) -> int:
        return self._q.count_documents(query, limit=POSITION_LIMIT, hint=index)


def _holder(one: Transaction, live: Sequence[LiveWorker]) -> Holder | None:
    if one.lease is None:
        return None
    for worker in live:
        if worker.id == one.lease.worker:
            return Holder(id=worker.id, host=worker.host, pid=worker.pid, live=True)
    return Holder(id=one.lease.worker)
