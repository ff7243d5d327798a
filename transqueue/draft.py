"""A transaction that is about to be enqueued, as `transqueue_before_enqueue` sees it."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from .transaction import Transaction

ON_END_MOST = 8  # transactions that one plugin may have enqueued at the end of another

Pair = tuple[str, Any]


class Draft:
    """Everything about it is decided, but for what is to be enqueued when it ends."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._on_end: tuple[Pair, ...] = ()

    @property
    def id(self) -> str:
        """The id that it will have."""
        return self._transaction.id

    @property
    def type(self) -> str:
        """Its transaction type."""
        return self._transaction.type

    @property
    def data(self) -> Any:
        """A copy of the JSON that was sent."""
        return copy.deepcopy(self._transaction.data)

    @property
    def submitter(self) -> str:
        """Who submitted it."""
        return self._transaction.submitter

    @property
    def plugin(self) -> str:
        """The plugin that claims its type."""
        return self._transaction.plugin.name if self._transaction.plugin else ""

    @property
    def ordering_key(self) -> str | None:
        """Those of one plugin that share it are processed one at a time, in order."""
        return self._transaction.ordering_key

    @property
    def created_at(self) -> datetime:
        """When it was accepted, by the server's clock."""
        return self._transaction.created_at

    @property
    def due_at(self) -> datetime:
        """Not before this time is it processed."""
        return self._transaction.due_at

    @property
    def on_end(self) -> list[Pair]:
        """Pairs of type and data, each enqueued together with every end that the transaction comes to."""
        return list(self._on_end)

    @on_end.setter
    def on_end(self, pairs: Iterable[Pair]) -> None:
        given = tuple(pairs)
        if any(not isinstance(pair, tuple | list) or len(pair) != 2 for pair in given):
            raise TypeError(f"on_end must be a list of (type, data), not {list(given)!r}")
        if len(given) > ON_END_MOST:
            raise ValueError(f"on_end may hold at most {ON_END_MOST} transactions, not {len(given)}")
        self._on_end = tuple((type, data) for type, data in given)
