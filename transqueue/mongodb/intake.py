"""Enqueue: transactions into Q, durably and once per idempotency key.

The unique index on submitter and key decides who was first. A duplicate-key error alone does not prove that the first
copy is durable (the server hides a write-concern time-out behind it), so a replay is answered only after a majority
read has found that copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pymongo
from pymongo.errors import BulkWriteError

from ..errors import QueueUnavailable
from ..queue import Receipt
from ..transaction import Transaction
from .connection import CALL_SECONDS, Connection, answering
from .documents import decode, encode

DUPLICATE_KEY = 11000
LOOK_AGAIN_SECONDS = 0.02

Key = tuple[str, str]


class Intake:
    """Writes new transactions into Q."""

    def __init__(self, connection: Connection) -> None:
        self._q, self._sleep = connection.q, connection.sleep

    def enqueue(self, transactions: Sequence[Transaction]) -> list[Receipt]:
        """As `TransactionQueue.enqueue` promises."""
        if not transactions:
            return []
        with answering("enqueue"), pymongo.timeout(CALL_SECONDS):
            known = self._insert(transactions)
            firsts = self._first_copies([transactions[index] for index in known]) if known else {}
        return [
            _replay(transaction, firsts[_key(transaction)]) if index in known else Receipt(transaction)
            for index, transaction in enumerate(transactions)
        ]

    def _insert(self, transactions: Sequence[Transaction]) -> set[int]:
        """Insert all; the indexes of those whose key is known already."""
        try:
            self._q.insert_many([encode(transaction) for transaction in transactions], ordered=False)
        except BulkWriteError as error:
            return _duplicates(error.details, transactions)
        return set()

    def _first_copies(self, transactions: Sequence[Transaction]) -> Mapping[Key, Transaction]:
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
        return [decode(document) for document in self._q.find({"$or": either})]


def _duplicates(details: Mapping[str, Any], transactions: Sequence[Transaction]) -> set[int]:
    """The indexes that met a known key.

    Raises:
        QueueUnavailable: something else went wrong with any of them.
    """
    errors = details.get("writeErrors", [])
    others = [error for error in errors if error.get("code") != DUPLICATE_KEY]
    unkeyed = [error for error in errors if transactions[error["index"]].idempotency is None]
    if others or unkeyed or details.get("writeConcernErrors"):
        reason = (others or unkeyed or details["writeConcernErrors"])[0].get("errmsg", "unknown")
        raise QueueUnavailable(f"could not enqueue: {reason}")
    return {error["index"] for error in errors}


def _key(transaction: Transaction) -> Key:
    return transaction.submitter, transaction.idempotency.key if transaction.idempotency else ""


def _replay(given: Transaction, first: Transaction) -> Receipt:
    same = given.idempotency == first.idempotency
    return Receipt(first, replayed=same, key_reused=not same)
