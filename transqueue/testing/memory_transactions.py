"""The transactions of a queue in memory: found by id and by idempotency key, listed, and in the order they are due.

The caller sees to it that one thread at a time is here. What is handed out are the stored values themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from heapq import nsmallest
from typing import Any

from ..order import Row, choose, leaves_key
from ..queue import Page, Receipt
from ..transaction import State, Transaction

Key = tuple[str, str]


class MemoryTransactions:
    """All transactions of one queue, one per id and one per submitter and key."""

    def __init__(self) -> None:
        self._by_id: dict[str, Transaction] = {}
        self._ids_by_key: dict[Key, str] = {}

    def __iter__(self) -> Iterator[Transaction]:
        return iter(self._by_id.values())

    def get(self, transaction_id: str) -> Transaction | None:
        """The transaction of this id."""
        return self._by_id.get(transaction_id)

    def put(self, transaction: Transaction) -> Transaction:
        """Replace the transaction of the same id."""
        self._by_id[transaction.id] = transaction
        return transaction

    def accept(self, new: Sequence[Transaction]) -> list[Receipt]:
        """Add new transactions in their order, each unless its key is known.

        Raises:
            RuntimeError: an id is taken; nothing was added.
        """
        self._refuse_known_ids(new)
        return [self._accept(transaction) for transaction in new]

    def page(self, wanted: Mapping[str, Any], *, after: str | None, limit: int) -> Page:
        """As `TransactionQueue.page` promises."""
        newest_first = (self._by_id[one] for one in sorted(self._by_id, reverse=True) if after is None or one < after)
        found = [one for one in newest_first if _matches(one, wanted)]
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    def due(self, now: datetime) -> Iterator[Transaction]:
        """Those that may run now, in no order."""
        return (one for one in self if one.state is State.QUEUED and one.due_at <= now)

    def next_group(
        self, type: str, now: datetime, *, limit: int, lanes: Collection[int], by_age: bool = False
    ) -> list[Transaction]:
        """Those due first that may run together: all up to one that must run alone, or that one by itself."""
        due = [one for one in self.due(now) if one.type == type and one.lane in lanes]
        first = nsmallest(limit, due, key=_age if by_age else _place)
        for index, transaction in enumerate(first):
            if transaction.alone:
                return first[: max(index, 1)]
        return first

    def next_in_order(
        self, plugin: str, types: Collection[str], now: datetime, *, limit: int, lanes: Collection[int]
    ) -> list[Transaction]:
        """Those of the plugin's keys that may go, in the order accepted, which is the order they are kept in."""
        rows = [_row(one) for one in self if _is_of(one, plugin, lanes)] if limit > 0 else []
        return [self._by_id[row.id] for row in choose(rows, now=now, types=types, limit=limit).taken]

    def _accept(self, new: Transaction) -> Receipt:
        first = self._first_copy(new)
        if first is not None:
            same = first.idempotency == new.idempotency
            return Receipt(first, replayed=same, key_reused=not same)
        if new.idempotency:
            self._ids_by_key[new.submitter, new.idempotency.key] = new.id
        return Receipt(self.put(new))

    def _first_copy(self, new: Transaction) -> Transaction | None:
        first = self._ids_by_key.get((new.submitter, new.idempotency.key)) if new.idempotency else None
        return self._by_id[first] if first else None

    def _refuse_known_ids(self, new: Sequence[Transaction]) -> None:
        fresh = [transaction.id for transaction in new if self._first_copy(transaction) is None]
        taken = {one for one, times in Counter(fresh).items() if times > 1 or one in self._by_id}
        if taken:
            raise RuntimeError(f"ids must be new: {', '.join(sorted(taken))}")


def _is_of(one: Transaction, plugin: str, lanes: Collection[int]) -> bool:
    """Whether it is in these lanes and has not left its key."""
    keyed = one.ordering_key is not None and one.plugin is not None and one.plugin.name == plugin
    return keyed and one.lane in lanes and not leaves_key(one.state, one.after_dead)


def _row(one: Transaction) -> Row:
    return Row(one.id, one.ordering_key or "", one.type, one.state, one.due_at, one.alone)


def _place(transaction: Transaction) -> tuple[Any, ...]:
    return -transaction.priority, transaction.due_at, transaction.id


def _age(transaction: Transaction) -> tuple[Any, ...]:
    return transaction.due_at, transaction.id


def _matches(transaction: Transaction, wanted: Mapping[str, Any]) -> bool:
    return all(value is None or getattr(transaction, name) == value for name, value in wanted.items())
