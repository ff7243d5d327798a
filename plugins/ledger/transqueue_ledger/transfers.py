"""`transfer`: move a value from one account to another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, validates_schema

from transqueue import Context, Transaction, handler

from .account import username
from .book import Book
from .money import Money, positive


class Transfer(Schema):
    """Two different accounts and a value greater than 0."""

    payer = username("ann", data_key="from")
    payee = username("bob", data_key="to")
    value = Money(required=True, validate=positive, metadata={"example": 5})

    @validates_schema
    def between_two(self, data: Mapping[str, Any], **_options: Any) -> None:
        if data["payer"] == data["payee"]:
            raise ValidationError("Must differ from 'from'.", "to")


@handler("transfer", schema=Transfer, transactional=True)
def transfer(transaction: Transaction, context: Context) -> None:
    """Move a value from one account to another, which is opened by it; rejected when the balance is too small."""
    book, data = Book(context.db, transaction), transaction.data
    book.debit(data["payer"], data["value"])
    book.credit(data["payee"], data["value"])
