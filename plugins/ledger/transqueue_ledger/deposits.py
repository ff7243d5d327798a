"""`deposit`: add a value to an account."""

from __future__ import annotations

from marshmallow import Schema

from transqueue import Context, Transaction, handler

from .account import username
from .book import Book
from .money import Money


class Deposit(Schema):
    """An account and what to add to it; 0 and negative values are corrections."""

    username = username("ann")
    value = Money(required=True, metadata={"example": 150.0})


@handler("deposit", schema=Deposit, transactional=True)
def deposit(transaction: Transaction, context: Context) -> None:
    """Add a value to an account, which is opened by its first deposit."""
    Book(context.db, transaction).credit(transaction.data["username"], transaction.data["value"])
