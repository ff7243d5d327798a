"""Q through an application's own client: accepted as by the door, alone or in a session of the application's.

In a session nothing is durable before the application commits it; the writes are then as safe as its commit
(`w="majority"`, PyMongo's default on a replica set). Errors of PyMongo in a session come out as they are, because
`with_transaction` must see their labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo import MongoClient
from pymongo.client_session import ClientSession

from ..clock import Clock
from ..queue import Receipt
from ..transaction import Transaction
from .catalog import Catalog
from .connection import Connection, answering
from .documents import decode, encode
from .intake import Intake

CLOCK_SECONDS = 30.0  # how long the server's time is carried forward before it is asked again


class BorrowedQueue:
    """What an application may do with Q. It never closes the application's client.

    Raises:
        TopologyRefused: this deployment cannot keep the promises.
        QueueUnavailable: it did not answer.
    """

    def __init__(self, client: MongoClient[Any], database: str) -> None:
        self._connection = Connection("mongodb://borrowed", database, open_client=lambda *_, **__: client)
        self._connection.prepare()
        self._intake = Intake(self._connection)
        self._asked_at = self._connection.monotonic()

    @property
    def clock(self) -> Clock:
        """The server's time, followed."""
        return self._connection.clock

    def known_types(self) -> Mapping[str, Any]:
        """What each plugin claimed when it last worked."""
        return Catalog(self._connection).known_types()

    def follow_clock(self) -> None:
        """Ask for the server's time, when that was last done long ago: the client's heartbeats are not ours to hear.

        Raises:
            QueueUnavailable: the database did not answer.
        """
        now = self._connection.monotonic()
        if now - self._asked_at > CLOCK_SECONDS:
            with answering("ask for the time"):
                self._connection.clock.observe(self._connection.client.admin.command("hello")["localTime"])
            self._asked_at = now

    def enqueue(self, transaction: Transaction) -> Receipt:
        """As `TransactionQueue.enqueue` promises, for one."""
        return self._intake.enqueue([transaction])[0]

    def enqueue_in(self, session: ClientSession, transaction: Transaction) -> Receipt:
        """Write into a session's open transaction: stored when that is committed, and not otherwise.

        Raises:
            PyMongoError: with the label `TransientTransactionError` where the session is to be run again.
        """
        q = self._connection.in_session["Q"]
        if transaction.idempotency:
            key = {"submitter": transaction.submitter, "idempotency.key": transaction.idempotency.key}
            if first := q.find_one(key, session=session):
                known = decode(first)
                same = known.idempotency == transaction.idempotency
                return Receipt(known, replayed=same, key_reused=not same)
        q.insert_one(encode(transaction), session=session)
        return Receipt(transaction)
