"""The product, broken on purpose: what the simulation must find. One place each, as somebody might change it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from transqueue.mongodb import endings, leases, settlements
from transqueue.mongodb.settlements import Settlements
from transqueue.worker.holding import Holding

_AFTER = ContextVar("after", default=False)  # whether this thread settles what its session has only read


@contextmanager
def no_fence() -> Iterator[None]:
    """Settling and releasing match by id alone."""

    def anybodys(ids: Sequence[str], token: str) -> dict[str, Any]:
        return {"_id": {"$in": list(ids)}}

    with patch.object(settlements, "held", anybodys), patch.object(leases, "held", anybodys):
        yield


@contextmanager
def reading_fence() -> Iterator[None]:
    """A session only reads whether its transactions are still held, and they are settled after its commit."""
    write_groups = Settlements._write_groups
    settle_in_session = Settlements.settle_in_session

    def read_groups(self: Settlements, members: Sequence[Any], session: Any) -> int:
        if session is None or _AFTER.get():
            return write_groups(self, members, session)
        fence = settlements.held([one.transaction.id for one in members], members[0].transaction.lease.token)
        return len(list(self._q.find(fence, {"_id": 1}, session=session)))

    def settle_after(self: Settlements, perform: Callable[..., Any], timeout_seconds: float) -> frozenset[str]:
        if _AFTER.get():
            return settle_in_session(self, perform, timeout_seconds)
        performed: list[Any] = []

        def noting(effects: Any) -> Any:
            performed[:] = perform(effects)
            return [replace(one, transaction=one.transaction.altered(on_end=())) for one in performed]

        lost = settle_in_session(self, noting, timeout_seconds)
        settled = [replace(one, outcome=replace(one.outcome, follow_ups=())) for one in performed]
        after = _AFTER.set(True)
        try:
            return lost or (self.settle(settled) if settled else lost)
        finally:
            _AFTER.reset(after)

    with (
        patch.object(Settlements, "_write_groups", read_groups),
        patch.object(Settlements, "settle_in_session", settle_after),
    ):
        yield


@contextmanager
def nothing_held_back() -> Iterator[None]:
    """When one of a key is to be tried again, a worker goes on with the later ones that it holds."""
    with patch.object(Holding, "hold_back", lambda *_: None):
        yield


@contextmanager
def telling_beside() -> Iterator[None]:
    """What an end enqueues is written beside the session that ends it."""
    enqueue = endings._enqueue

    def beside(connection: Any, ended: Sequence[Any], session: Any) -> None:
        enqueue(connection, ended, None)

    with patch.object(endings, "_enqueue", beside):
        yield


MUTANTS = {
    "no fence": no_fence,
    "a fence that only reads": reading_fence,
    "nothing held back": nothing_held_back,
    "told beside its end": telling_beside,
}


@contextmanager
def unbroken() -> Iterator[None]:
    """The product as it is."""
    yield
