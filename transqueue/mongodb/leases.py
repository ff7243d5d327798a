"""Leases on transactions: taken in batches under a random token, and the fence that every later write repeats.

A lease is three steps: choose candidates from the index alone, take those still queued under a new token, read what was
taken. When an answer is lost in between, the worker cannot know what it holds; it does not guess: `TrackLost` makes it
give up its own lease, and its supervisor puts everything back.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict

from pymongo import ReturnDocument
from pymongo.errors import PyMongoError

from ..errors import TrackLost
from ..order import Due
from ..transaction import FREE_LANES, KEYED_LANES, VERSION, Lease, State, Transaction
from .candidates import Candidates
from .connection import Connection, answering
from .documents import LEASED, READABLE, Document, decode_leased

ALL_LANES = (*FREE_LANES, *KEYED_LANES)


class Leases:
    """Takes and releases leases for one worker process."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._q, self._zoneless, self._clock = connection.q, connection.q_zoneless, connection.clock
        self._candidates = Candidates(connection)

    def hear(self, type: str, lane: int, id: str) -> None:
        """The bell told of this one."""
        self._candidates.hear(type, lane, id)

    def due(self, without_key: Collection[str], with_key: Collection[str]) -> Due | None:
        """As `TransactionQueue.due` promises."""
        with answering("look for due transactions"):
            return self._candidates.due(without_key, with_key)

    def seconds_to_next(self, types: Collection[str]) -> float | None:
        """As `TransactionQueue.seconds_to_next` promises."""
        with answering("look for what will be due"):
            at = self._candidates.next_due(types, ALL_LANES)
        return None if at is None else (at - self._clock.now()).total_seconds()

    def queued_types(self, prefix: str) -> frozenset[str]:
        """As `TransactionQueue.queued_types` promises."""
        query = {"state": str(State.QUEUED), "type": {"$gte": prefix, "$lt": prefix + chr(0x10FFFF)}}
        with answering("look for types"):
            return frozenset(self._q.distinct("type", query))

    def lease(
        self, worker: str, type: str, limit: int, lanes: Sequence[int], *, by_age: bool = False
    ) -> Sequence[Transaction]:
        """As `TransactionQueue.lease` promises."""
        with answering("look for due transactions"):
            ids = self._candidates.choose(type, limit, lanes, by_age=by_age) if limit > 0 else []
        if not ids:
            return []
        token = uuid.uuid4().hex
        try:
            return self._take(worker, ids, token)
        except PyMongoError as error:
            raise TrackLost(f"unknown whether {len(ids)} transactions were leased: {error}") from error

    def _take(self, worker: str, ids: list[str], token: str) -> list[Transaction]:
        lease = Lease(token, worker, self._clock.now())
        free = {"_id": {"$in": ids}, "state": str(State.QUEUED), "v": READABLE}
        taking = {"$set": {"state": str(State.RUNNING), "lease": asdict(lease)}}
        rows: Iterable[Document | None] = ()
        if len(ids) == 1:  # taken and read at once: of one that just came, each question lengthens the wait
            after = ReturnDocument.AFTER
            rows = [self._zoneless.find_one_and_update(free, taking, LEASED, return_document=after)]
        elif self._q.update_many(free, taking).modified_count:
            mine = {"_id": {"$in": ids}, "lease.token": token}
            rows = self._zoneless.find(mine, LEASED).batch_size(len(ids) + 1).to_list()
        taken = {row["_id"]: decode_leased(row, lease) for row in rows if row}
        if not taken:
            self._step_over_newer(ids)
        return [taken[one] for one in ids if one in taken]

    def _step_over_newer(self, ids: list[str]) -> None:
        """Nothing was taken: either others were faster, or all are of a newer format, and those behind them wait."""
        newer = self._q.find_one({"_id": {"$in": ids}, "v": {"$gt": VERSION}}, {"type": 1})
        if newer:
            self._candidates.beware(newer["type"])

    def release(self, transactions: Sequence[Transaction]) -> None:
        """As `TransactionQueue.release` promises."""
        if transactions:
            ids = [transaction.id for transaction in transactions]
            back = {"$set": {"state": str(State.QUEUED)}, "$unset": {"lease": 1}}
            self._connection.insist(lambda: self._q.update_many(held(ids, lease_of(transactions[0]).token), back))
            for type in {transaction.type for transaction in transactions}:
                self._candidates.forget(type)


def lease_of(transaction: Transaction) -> Lease:
    """The lease of a transaction that has one.

    Raises:
        ValueError: it has none.
    """
    if transaction.lease is None:
        raise ValueError(f"transaction {transaction.id} is not leased")
    return transaction.lease


def held(ids: Sequence[str], token: str) -> Document:
    """The fence: matches only what is still held under this token."""
    return {"_id": {"$in": list(ids)}, "state": str(State.RUNNING), "lease.token": token}
