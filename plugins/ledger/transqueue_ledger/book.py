"""Bank and Ledger: the balances, and the entries that explain them.

Both are written in the session of the handler, so a balance never changes without its entry.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from bson import Decimal128
from pymongo import ReturnDocument

from transqueue import Reject, Transaction

from .money import BALANCE_LIMIT, written


class Book:
    """The books as one transaction writes them; its entries are numbered from 0."""

    def __init__(self, db: Any, transaction: Transaction) -> None:
        self._db, self._transaction = db, transaction
        self._entries = 0

    def credit(self, username: str, amount: Decimal) -> None:
        """Add an amount, negative ones too, to an account that may not exist yet.

        Raises:
            Reject: the balance would not be exact any more.
        """
        account = self._db["Bank"].find_one_and_update(
            {"_id": username},
            {"$inc": {"value": Decimal128(amount)}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        if account["value"].to_decimal().copy_abs() >= BALANCE_LIMIT:
            raise Reject(f"the balance of {username} would reach {written(BALANCE_LIMIT)}")
        self._enter(username, amount)

    def debit(self, username: str, amount: Decimal) -> None:
        """Take an amount from an account that holds as much.

        Raises:
            Reject: it does not.
        """
        negative = amount.copy_negate()  # the minus sign would round to the context's 28 digits
        covered = {"_id": username, "value": {"$gte": Decimal128(amount)}}
        if not self._db["Bank"].update_one(covered, {"$inc": {"value": Decimal128(negative)}}).matched_count:
            raise Reject("insufficient funds")
        self._enter(username, negative)

    def _enter(self, username: str, amount: Decimal) -> None:
        self._db["Ledger"].insert_one(
            {
                "_id": f"{self._transaction.id}:{self._entries}",
                "username": username,
                "value": Decimal128(amount),
                "at": datetime.now(UTC),
            }
        )
        self._entries += 1
