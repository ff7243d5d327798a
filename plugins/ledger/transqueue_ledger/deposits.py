"""`deposit`: add a value to an account."""

from __future__ import annotations

from collections.abc import Sequence

from marshmallow import Schema

from transqueue import Context, Reject, Transaction, handler

from .account import username
from .book import Posting, post
from .money import Money


class Deposit(Schema):
    """An account and what to add to it; 0 and negative values are corrections."""

    username = username("ann")
    value = Money(required=True, metadata={"example": 150.0})


@handler("deposit", schema=Deposit, transactional=True, batch=True, ordering_key="username")
def deposit(transactions: Sequence[Transaction], context: Context) -> list[Reject | None]:
    """Add a value to an account, which is opened by its first deposit; those of one account in the order accepted."""
    postings = [Posting(one.id, [(one.data["username"], one.data["value"])]) for one in transactions]
    return post(context.db, postings)
