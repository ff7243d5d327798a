"""Leases in the order accepted, per ordering key: which lane to look into, and one session for each lease.

A keyed transaction is `ordered` from its acceptance until it leaves its key: done, rejected, cancelled, or dead and
skipped. Nothing but a lease made here (see `lane_turn`) makes it run.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pymongo
from pymongo.errors import PyMongoError

from ..errors import QueueUnavailable, TrackLost
from ..order import choose
from ..transaction import State, Transaction
from .connection import CALL_SECONDS, Connection, answering, may_be_committed
from .documents import LEASED, Document, decode_leased
from .lane_turn import FRONT, SHORT, LaneTurn, key_id, row_of, standing
from .lane_walk import LaneWalk

LEASES_IN_A_ROW = 20  # while nothing may go and rows are being set aside


class Ordered:
    """Takes leases on keyed transactions for one worker process."""

    def __init__(self, connection: Connection, *, front: int = FRONT) -> None:
        self._connection, self._front = connection, front
        self._yielding: set[tuple[str, int]] = set()  # what the last lease found: there the next need not look first
        self._zoneless, self._keys, self._clock = connection.q_zoneless, connection.keys, connection.clock
        self._walk = LaneWalk(connection)

    def lease(
        self, worker: str, plugin: str, types: Collection[str], limit: int, lanes: Sequence[int]
    ) -> Sequence[Transaction]:
        """As `TransactionQueue.lease_in_order` promises."""
        for lane in self._walk.over(plugin, lanes) if limit > 0 else ():
            for _ in range(LEASES_IN_A_ROW):
                turn = LaneTurn(self._connection, worker, plugin, types, limit, lane, front=self._front)
                promising = (plugin, lane) in self._yielding or self._is_promising(turn)
                self._yielding.discard((plugin, lane))
                if taken := self._take(turn) if promising else []:
                    self._yielding.add((plugin, lane))
                    if len(taken) < limit:
                        self._walk.forget(plugin, lane)
                    return taken
                if not turn.set_aside:
                    break
        return []

    def look_again(self, plugin: str, key: str) -> None:
        """An operator moved something of this key: the next lease looks whether it may go on."""
        self._keys.update_one({"_id": key_id(plugin, key)}, {"$set": {"look_at": self._clock.now()}})

    def _is_promising(self, turn: LaneTurn) -> bool:
        """Whether a lease could do anything; asked without a session, so that lanes which wait stay cheap."""
        with answering("look at a lane"):
            now = self._clock.now()
            for size in sorted({min(SHORT, self._front), self._front}):
                rows = turn.front(None, size)
                if choose([row_of(row) for row in rows], now=now, types=turn.types, limit=1).taken:
                    return True
                if len(rows) < size:
                    break
            if len(rows) == self._front and standing(rows, rows, now):
                return True
            due = {"lane": turn.lane, "look_at": {"$lte": now}, "plugin": turn.plugin}
            return self._keys.find_one(due, {"_id": 1}) is not None

    def _take(self, turn: LaneTurn) -> Sequence[Transaction]:
        try:
            self._connection.transact(turn.take, timeout_seconds=CALL_SECONDS)
        except PyMongoError as error:
            if may_be_committed(error):
                raise TrackLost(f"unknown whether transactions were leased in order: {error}") from error
            raise QueueUnavailable(f"could not lease in order: {error}") from error
        try:
            return self._taken(turn)
        except PyMongoError as error:
            raise TrackLost(f"leased {len(turn.taken)} transactions in order, and could not read them") from error

    def _taken(self, turn: LaneTurn) -> Sequence[Transaction]:
        """What was leased. As the session saw it, for it wrote each of them, so nobody else did in between."""
        rows = [row | {"state": str(State.RUNNING)} for row in turn.seen] or self._read(turn)
        found = {row["_id"]: decode_leased(row, turn.lease) for row in rows}
        return [found[one] for one in turn.taken if one in found]

    def _read(self, turn: LaneTurn) -> Sequence[Document]:
        if not turn.taken:
            return []
        mine = {"_id": {"$in": turn.taken}, "lease.token": turn.lease.token}
        with pymongo.timeout(CALL_SECONDS):
            return self._zoneless.find(mine, LEASED).batch_size(len(turn.taken) + 1).to_list()
