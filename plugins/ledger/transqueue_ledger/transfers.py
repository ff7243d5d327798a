"""`transfer`: move a value from one account to another.

It has two accounts, and an ordering key is one: so transfers have none, and run in no promised order, neither among
themselves nor beside the deposits of their accounts. That is safe, because each is judged on the balance it finds, in a
session that commits only while that balance stands; and it stands still nowhere, because nothing waits for it. What is
to be paid out of a deposit is sent when that deposit is done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import Schema, ValidationError, validates_schema

from transqueue import Context, Reject, Transaction, handler

from .account import username
from .book import Posting, post
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


@handler("transfer", schema=Transfer, transactional=True, batch=True)
def transfer(transactions: Sequence[Transaction], context: Context) -> list[Reject | None]:
    """Move a value from one account to another, which is opened by it; rejected when the balance is too small."""
    return post(context.db, [_posting(one) for one in transactions])


def _posting(transaction: Transaction) -> Posting:
    data = transaction.data
    # The minus operator would round to the context's 28 digits.
    amounts = [(data["payer"], data["value"].copy_negate()), (data["payee"], data["value"])]
    return Posting(transaction.id, amounts, covered=True)
