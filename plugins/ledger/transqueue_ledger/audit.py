"""Is every balance the sum of its entries? Read at one moment, while transactions go on."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

from bson import Decimal128
from pymongo.errors import OperationFailure

DEFAULT_PAST, LONG_PAST = 300, 3600  # seconds that a server keeps, unless told otherwise, and that any audit takes
_PAST = "minSnapshotHistoryWindowInSeconds"


@dataclass(frozen=True, slots=True)
class Difference:
    """One account whose balance is not the sum of its entries; none: there is no such account, or no number in it."""

    username: str
    bank: Decimal | None
    ledger: Decimal


@dataclass(frozen=True, slots=True)
class Audit:
    """What was counted, the total of all balances, and every difference."""

    accounts: int
    entries: int
    total: Decimal
    differences: tuple[Difference, ...]


def audit(database: Any) -> Audit:
    """Compare Bank with Ledger as both were at one moment (a snapshot session); needs MongoDB 5 or newer.

    Raises:
        OperationFailure: among others `SnapshotTooOld`, when it took longer than the server keeps its past.
    """
    with _keeping_the_past(database.client), database.client.start_session(snapshot=True) as session:
        sums = _sums(database, session)
        balances = _balances(database, session)
    with localcontext(prec=60):
        total = sum((value for value in balances.values() if value is not None), Decimal(0))
    return Audit(
        accounts=len(balances),
        entries=sum(count for _, count in sums.values()),
        total=total,
        differences=tuple(_differences(balances, sums)),
    )


@contextmanager
def _keeping_the_past(client: Any) -> Generator[None]:
    """Have a server that forgets at once, as the private mongod does, remember meanwhile; not all users may."""
    kept = LONG_PAST
    with suppress(OperationFailure):
        kept = client.admin.command({"getParameter": 1, _PAST: 1})[_PAST]
        if kept < DEFAULT_PAST:
            client.admin.command({"setParameter": 1, _PAST: LONG_PAST})
    try:
        yield
    finally:
        if kept < DEFAULT_PAST:
            with suppress(OperationFailure):
                client.admin.command({"setParameter": 1, _PAST: kept})


def _sums(database: Any, session: Any) -> Mapping[str, tuple[Decimal, int]]:
    group = {"$group": {"_id": "$username", "value": {"$sum": "$value"}, "entries": {"$sum": 1}}}
    rows = database["Ledger"].aggregate([group], session=session, allowDiskUse=True)
    return {row["_id"]: (_decimal(row["value"]) or Decimal(0), row["entries"]) for row in rows}


def _balances(database: Any, session: Any) -> Mapping[str, Decimal | None]:
    rows = database["Bank"].aggregate([{"$project": {"value": 1}}], session=session)
    return {row["_id"]: _decimal(row.get("value")) for row in rows}


def _differences(balances: Mapping[str, Decimal | None], sums: Mapping[str, tuple[Decimal, int]]) -> list[Difference]:
    differences = []
    for username in sorted(balances.keys() | sums.keys(), key=str):
        bank, ledger = balances.get(username), sums.get(username, (Decimal(0), 0))[0]
        if bank is None or bank != ledger:
            differences.append(Difference(username, bank, ledger))
    return differences


def _decimal(value: Any) -> Decimal | None:
    """A stored amount; what is no Decimal128 was not written by this plugin."""
    return value.to_decimal() if isinstance(value, Decimal128) else None
