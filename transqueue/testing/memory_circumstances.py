"""What explains a transaction, in memory: the same circumstances as the real queue's, found by looking at all."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from ..admin.crew import LiveWorker, able
from ..admin.explain import POSITION_LIMIT, Ahead, Circumstances, Holder
from ..admin.pause import Pause, pause_of
from ..clock import Clock
from ..order import leaves_key
from ..transaction import State, Transaction


class Around(Protocol):
    """The queue around a transaction."""

    clock: Clock

    def paused(self) -> Mapping[str, Pause]: ...

    def workers(self) -> Sequence[LiveWorker]: ...


def circumstances(transaction_id: str, all: Collection[Transaction], around: Around) -> Circumstances | None:
    """As `TransactionQueue.circumstances` promises, a copy; `all` are in the order accepted."""
    one = next((one for one in all if one.id == transaction_id), None)
    return None if one is None else copy.deepcopy(_around(one, all, around))


def _around(one: Transaction, all: Collection[Transaction], around: Around) -> Circumstances:
    now, live, waits = around.clock.now(), around.workers(), one.state is State.QUEUED
    paused = around.paused() if waits else {}
    return Circumstances(
        id=one.id,
        now=now,
        transaction=one,
        pause=pause_of(one.type, paused),
        workers=len(live),
        able=able(one.type, live),
        ahead=_ahead(one, all, paused) if waits and one.ordering_key is not None else None,
        holder=_holder(one, live),
        position=_position(one, all, lambda other: other.due_at <= now) if waits and one.due_at <= now else None,
    )


def _ahead(one: Transaction, all: Iterable[Transaction], paused: Mapping[str, Pause]) -> Ahead | None:
    of_key = [other for other in all if _key(other) == _key(one) and not leaves_key(other.state, other.after_dead)]
    before = of_key[: of_key.index(one)]
    running = [other for other in of_key if other.state is State.RUNNING]
    for other in [*running, *before]:
        pause = pause_of(other.type, paused)
        return Ahead(id=other.id, type=other.type, state=other.state, due_at=other.due_at, pause=pause)
    return None


def _key(one: Transaction) -> Any:
    return one.plugin.name if one.plugin else None, one.ordering_key


def _position(one: Transaction, all: Iterable[Transaction], is_due: Callable[[Transaction], bool]) -> int:
    if one.ordering_key is not None:
        in_lane = [other for other in all if other.ordering_key is not None and other.lane == one.lane]
        left = [other for other in in_lane if not leaves_key(other.state, other.after_dead)]
        return min(POSITION_LIMIT, left.index(one))
    rivals = [other for other in all if other.type == one.type and other.state is State.QUEUED and is_due(other)]
    place = -one.priority, one.due_at
    return min(POSITION_LIMIT, sum((-other.priority, other.due_at) < place for other in rivals))


def _holder(one: Transaction, live: Sequence[LiveWorker]) -> Holder | None:
    if one.lease is None:
        return None
    for worker in live:
        if worker.id == one.lease.worker:
            return Holder(id=worker.id, host=worker.host, pid=worker.pid, live=True)
    return Holder(id=one.lease.worker)
