"""Enqueue: transactions into Q, durably and once per idempotency key.

The unique index on submitter and key decides who was first. A duplicate-key error alone does not prove that the first
copy is durable (the server hides a write-concern time-out behind it), so a replay is answered only after a majority
read has found that copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pymongo
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo.errors import BulkWriteError

from ..errors import QueueUnavailable, Unstorable
from ..queue import Receipt, Sealed
from ..transaction import Transaction
from .connection import CALL_SECONDS, Connection, answering
from .documents import decode_first
from .encoder import Encoder

DUPLICATE_KEY = 11000
LOOK_AGAIN_SECONDS = 0.02
MOST_BYTES = 16 * 2**20

Key = tuple[str, str]


class Intake:
    """Writes new transactions into Q."""

    def __init__(self, connection: Connection) -> None:
        self._q, self._sleep = connection.q, connection.sleep
        self._encoded = Encoder(connection.q.codec_options)

    def enqueue(self, transactions: Sequence[Transaction]) -> list[Receipt]:
        """As `TransactionQueue.enqueue` promises."""
        return [_well(answer) for answer in self.enqueue_each([self.seal(one) for one in transactions])]

    def seal(self, transaction: Transaction) -> Sealed:
        """As `TransactionQueue.seal` promises."""
        try:
            content = RawBSONDocument(self._encoded(transaction))
        except (BSONError, OverflowError, TypeError, ValueError) as error:
            raise Unstorable(f"transaction {transaction.id} cannot be stored: {error}") from error
        if len(content.raw) > MOST_BYTES:
            raise Unstorable(f"transaction {transaction.id} is larger than a document of MongoDB may be")
        return Sealed(transaction, content)

    def enqueue_each(self, sealed: Sequence[Sealed]) -> Sequence[Receipt | QueueUnavailable]:
        """As `TransactionQueue.enqueue_each` promises."""
        if not sealed:
            return []
        try:
            with answering("enqueue"), pymongo.timeout(CALL_SECONDS):
                met = self._insert(sealed)
                answers: dict[int, Receipt | QueueUnavailable] = {
                    index: QueueUnavailable(f"could not enqueue: {reason}") for index, reason in met.items()
                }
                answers |= self._replays(
                    {index: sealed[index].transaction for index, reason in met.items() if not reason}
                )
        except QueueUnavailable as error:
            return [error] * len(sealed)
        return [answers.get(index) or Receipt(one.transaction) for index, one in enumerate(sealed)]

    def _insert(self, sealed: Sequence[Sealed]) -> Mapping[int, str]:
        """Insert all; by index, why some were not stored: nothing where only their key is known already."""
        try:
            self._q.insert_many([one.content for one in sealed], ordered=False)
        except BulkWriteError as error:
            return _troubles(error.details, sealed)
        return {}

    def _replays(self, known: Mapping[int, Transaction]) -> Mapping[int, Receipt | QueueUnavailable]:
        """The answers to those whose key is known; what else was in the write is stored, whatever becomes of these."""
        if not known:
            return {}
        try:
            with answering("find the first of a key"):
                firsts = self._first_copies(known.values())
        except QueueUnavailable as error:
            return dict.fromkeys(known, error)
        return {index: _replay(one, firsts[_key(one)]) for index, one in known.items()}

    def _first_copies(self, transactions: Iterable[Transaction]) -> Mapping[Key, Transaction]:
        """The first accepted transaction of each key, once a majority has it. The caller's deadline ends the wait."""
        wanted = {_key(transaction) for transaction in transactions}
        found: dict[Key, Transaction] = {}
        while wanted - found.keys():
            found |= {_key(first): first for first in self._by_keys(wanted - found.keys())}
            if wanted - found.keys():
                self._sleep(LOOK_AGAIN_SECONDS)
        return found

    def _by_keys(self, keys: Iterable[Key]) -> list[Transaction]:
        either = [{"submitter": submitter, "idempotency.key": key} for submitter, key in keys]
        return [decode_first(document) for document in self._q.find({"$or": either})]


def _troubles(details: Mapping[str, Any], sealed: Sequence[Sealed]) -> Mapping[int, str]:
    """What went wrong, by index: nothing where a key was met that is known.

    Raises:
        QueueUnavailable: it is unknown what a majority has of any of them.
    """
    if details.get("writeConcernErrors"):
        raise QueueUnavailable(f"could not enqueue: {details['writeConcernErrors'][0].get('errmsg', 'unknown')}")
    return {error["index"]: _reason(error, sealed[error["index"]]) for error in details.get("writeErrors", [])}


def _reason(error: Mapping[str, Any], one: Sealed) -> str:
    known_key = error.get("code") == DUPLICATE_KEY and one.transaction.idempotency is not None
    return "" if known_key else error.get("errmsg") or "unknown"


def _well(answer: Receipt | QueueUnavailable) -> Receipt:
    if isinstance(answer, QueueUnavailable):
        raise answer
    return answer


def _key(transaction: Transaction) -> Key:
    return transaction.submitter, transaction.idempotency.key if transaction.idempotency else ""


def _replay(given: Transaction, first: Transaction) -> Receipt:
    same = given.idempotency == first.idempotency
    return Receipt(first, replayed=same, key_reused=not same)
