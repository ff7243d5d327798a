"""Bank and Ledger: the balances, and the entries that explain them.

Many transactions are posted at once: the balances are read, each posting is judged in its order on what the ones before
it left, and what is accepted goes out in one write per collection. All of it happens in the session of the handlers, so
a balance that somebody else changes meanwhile makes the database run the session again, and a balance never changes
without its entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from bson import Decimal128
from pymongo import UpdateOne

from transqueue import Reject

from .money import BALANCE_LIMIT, added, written


@dataclass(frozen=True, slots=True)
class Posting:
    """What one transaction adds to accounts, in order; with `covered`, none may go below 0 by a negative amount."""

    transaction_id: str
    amounts: Sequence[tuple[str, Decimal]]
    covered: bool = False


def post(db: Any, postings: Sequence[Posting]) -> list[Reject | None]:
    """Write what can be posted; one entry for each: none, or why it was rejected."""
    balances = _balances(db, {username for one in postings for username, _ in one.amounts})
    answers = [_judge(balances, one) for one in postings]
    accepted = [one for one, refusal in zip(postings, answers, strict=True) if refusal is None]
    if accepted:
        changed = {username for one in accepted for username, _ in one.amounts}
        _write(db, {username: balances[username] for username in changed}, accepted)
    return answers


def _balances(db: Any, usernames: set[str]) -> dict[str, Decimal]:
    found = db["Bank"].find({"_id": {"$in": list(usernames)}})
    return {account["_id"]: account["value"].to_decimal() for account in found}


def _judge(balances: dict[str, Decimal], posting: Posting) -> Reject | None:
    """Put a posting into the balances, unless one of them would not bear it."""
    after: dict[str, Decimal] = {}
    for username, amount in posting.amounts:
        after[username] = added(balances.get(username, Decimal(0)), amount)
        if posting.covered and amount < 0 and after[username] < 0:
            return Reject("insufficient funds")
        if after[username].copy_abs() >= BALANCE_LIMIT:
            return Reject(f"the balance of {username} would reach {written(BALANCE_LIMIT)}")
    balances.update(after)
    return None


def _write(db: Any, balances: dict[str, Decimal], accepted: Sequence[Posting]) -> None:
    now = datetime.now(UTC)
    db["Bank"].bulk_write(
        [
            UpdateOne({"_id": username}, {"$set": {"value": Decimal128(balance)}}, upsert=True)
            for username, balance in balances.items()
        ],
        ordered=False,
    )
    db["Ledger"].insert_many(
        [
            {"_id": f"{one.transaction_id}:{number}", "username": username, "value": Decimal128(amount), "at": now}
            for one in accepted
            for number, (username, amount) in enumerate(one.amounts)
        ],
        ordered=False,
    )
