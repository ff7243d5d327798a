"""A worker in the test's own thread: the real loop, batches and executor, and a supervisor's part after a death."""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from ..clock import Clock
from ..events import Events
from ..executor import Bound, Executor, NewTransaction
from ..handlers import Handler
from ..outcome import Outcome
from ..plugins import HandlerTable
from ..process.event_loop import EventLoop
from ..process.marker import Fields, Marker
from ..queue import Casualty, TransactionQueue, WorkerRecord
from ..transaction import LANES, Transaction
from ..worker.batch import Batches, Steps
from ..worker.beside import GRACE_SECONDS
from ..worker.binding import bind, is_parked
from ..worker.pace import MOST, Pace
from ..worker.worker import Worker
from .deaths import Death, mortal

LEASE_SECONDS = 3600.0
MIDDLE = 0.5  # what is left to chance comes out the same each time: backoffs have their mean


class InlineWorker:
    """Works off what is due, one turn after the other, in the calling thread. One that dies is replaced at once."""

    def __init__(
        self,
        queue: TransactionQueue,
        table: HandlerTable,
        *,
        clock: Clock,
        new_transaction: NewTransaction,
        events: Events,
    ) -> None:
        self._queue, self._table, self._clock = queue, table, clock
        self._new, self._events = new_transaction, events
        self._loop = EventLoop()
        self._begin()

    def turn(self) -> bool:
        """One turn of the loop. Whether there was anything to do."""
        try:
            return self._worker.turn()
        except Death as death:
            self._bury(death)
            return True

    def work_off(self, leased: Sequence[Transaction]) -> None:
        """Execute and settle what was leased for `id`."""
        try:
            self._batches.work_off(self._bound, leased, stopping=lambda: False)
        except Death as death:
            self._bury(death)

    def close(self) -> None:
        """End its lease."""
        self._queue.end(self.id, Casualty())
        self._loop.close()

    def _begin(self) -> None:
        self.id, self._marker = uuid.uuid4().hex, _Marker()
        record = WorkerRecord(
            id=self.id, host="here", pid=os.getpid(), slot=0, sessions=getattr(self._queue, "sessions", ())
        )
        self._queue.begin(record, lease_seconds=LEASE_SECONDS)
        bounds = {type: _mortal(bound) for type, bound in bind(self._table, self._events, self._loop).items()}
        executor = _Executor(
            clock=self._clock,
            marker=self._marker,
            new_transaction=self._new,
            random=lambda: MIDDLE,
        )
        self._batches = _Batches(self._queue, executor, events=self._events, pace=_AtOnce())
        self._worker = Worker(
            self._queue,
            self._batches,
            bounds,
            id=self.id,
            lanes=range(LANES),
            pace=_AtOnce(),
            stop=_NeverStop(),
            events=self._events,
            is_parked=partial(is_parked, self._table, bounds),
            monotonic=partial(next, map(float, itertools.count())),  # nothing that it found is old news
        )
        self._bounds = bounds

    def _bound(self, type: str) -> Bound:
        handler = self._table.resolve(type)
        assert handler is not None
        return self._bounds[handler.type]

    def _bury(self, death: Death) -> None:
        """What a supervisor does: charge what was running, give the rest back, and start another one."""
        mark = self._marker.read()
        casualty = Casualty(running=mark.id, group=mark.doing == "group", reason=death.reason)
        self._events.emit("worker.died", worker=self.id[:8], ending=death.reason, ran=mark.id)
        self._queue.end(self.id, casualty)
        self._begin()


class _Marker(Marker):
    """In memory of its own: the supervisor's part is this process's too."""

    def _memory(self) -> Fields:
        return Fields()


class _Executor(Executor):
    """No outcome is decided after a death."""

    def decide(self, error: BaseException, transaction: Transaction, handler: Handler) -> Outcome:
        if isinstance(error, Death):
            raise error
        return super().decide(error, transaction, handler)


class _Batches(Batches):
    """Async handlers are run one after the other too: a test is to come out the same each time."""

    def _steps(self, bound: Bound) -> Steps:
        return self._one_by_one if bound.handler.is_async else super()._steps(bound)


class _NeverStop:
    def is_set(self) -> bool:
        return False

    def wait(self, seconds: float) -> None: ...


class _AtOnce(Pace):
    """All that is due comes together, as to a worker that has long been busy with fast handlers."""

    def limit(self, type: str) -> int:  # noqa: ARG002
        return MOST

    def learn(self, type: str, count: int, seconds: float) -> None: ...


def _mortal(bound: Bound) -> Bound:
    """An async handler is cancelled first, as everywhere; the worker dies a while after, when that did not help."""
    limit = bound.handler.timeout_seconds + (GRACE_SECONDS if bound.handler.is_async else 0)
    return replace(bound, call=mortal(bound.call, limit))
