"""What was leased together, worked off: executed, settled, and the rest given back.

Outcomes are settled within milliseconds of their making, alike ones in one write. Transactional handlers run inside the
session that settles them; those leased together share one session and one commit, and when one of them spoils it (it
raised after a write, or the database ended the session) that one runs again alone and the others together. What has not
been started when a lease has been held for long, or when the worker is to stop, goes back unharmed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from .errors import QueueUnavailable
from .events import Events
from .executor import Bound, Executor, is_completion
from .outcome import Verb
from .pace import Pace
from .queue import Effects, Settlement, TransactionQueue
from .transaction import Transaction

FLUSH_SECONDS = 0.01
HOLD_SECONDS = 1.0  # longer than this nothing waits in a worker's hands
SESSION_SECONDS = 0.5  # a session locks what it wrote: it takes no further member after this
SESSION_LIMIT_SECONDS = 8.0  # a server ends a session that stays open much longer

_PAST = {Verb.REJECT: "rejected", Verb.RETRY: "retried", Verb.BURY: "buried"}


class Batches:
    """Works off what one worker process leases, one batch at a time."""

    def __init__(
        self,
        queue: TransactionQueue,
        executor: Executor,
        *,
        events: Events,
        pace: Pace,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue, self._executor, self._events = queue, executor, events
        self._pace, self._monotonic = pace, monotonic

    def work_off(self, bound: Bound, leased: Sequence[Transaction], *, stopping: Callable[[], bool]) -> None:
        """Execute and settle transactions of one type, leased together.

        Raises:
            TrackLost: it is not known any more what this worker holds.
        """
        began = self._monotonic()
        waiting = deque(leased)
        batch = _Batch(bound, waiting, lambda: not stopping() and self._monotonic() - began < HOLD_SECONDS)
        self._steps(bound)(batch)
        self._executor.unmark()
        self._queue.release(list(waiting))
        self._pace.learn(leased[0].type, len(leased) - len(waiting), self._monotonic() - began)

    def _steps(self, bound: Bound) -> Callable[[_Batch], None]:
        if bound.handler.transactional:
            return self._in_sessions
        return self._as_group if bound.handler.batch else self._one_by_one

    def _one_by_one(self, batch: _Batch) -> None:
        pending: list[Settlement] = []
        oldest = 0.0
        while batch.waiting and batch.may_start():
            transaction = batch.waiting.popleft()
            if pending and self._monotonic() + self._pace.seconds(transaction.type) - oldest > FLUSH_SECONDS:
                self._settle(pending)
                pending = []
            pending.append(self._executor.attempt(batch.bound, transaction))
            oldest = self._monotonic() if len(pending) == 1 else oldest
        self._settle(pending)

    def _as_group(self, batch: _Batch) -> None:
        if batch.may_start():
            self._settle(self._executor.attempt_group(batch.bound, batch.take()))

    def _in_sessions(self, batch: _Batch) -> None:
        groups = deque([batch.take()])
        while groups and batch.may_start():
            groups.extend(group for group in self._one_session(batch.bound, groups.popleft()) if group)
        batch.waiting.extend(transaction for group in groups for transaction in group)

    def _one_session(self, bound: Bound, members: list[Transaction]) -> list[list[Transaction]]:
        """Run and settle `members` in one session; the groups that are still to run."""
        run = _SessionRun(self._executor, bound, members, self._monotonic)
        limit = min(bound.handler.timeout_seconds, SESSION_LIMIT_SECONDS)
        try:
            lost = self._queue.settle_in_session(run.perform, timeout_seconds=limit)
        except _Spoiled as spoiled:
            return self._after_spoiling(run, spoiled.settlements)
        except QueueUnavailable as error:
            return self._after_conflict(bound, members, error)
        self._tell([] if lost else run.inside, lost)
        self._settle(run.raised)
        again = [one.transaction for one in run.inside if lost and one.transaction.id not in lost]
        return [again, run.left]

    def _after_spoiling(self, run: _SessionRun, spoilers: Sequence[Settlement]) -> list[list[Transaction]]:
        """Everything was discarded. Who raised without having written is settled; the spoiler runs again alone."""
        self._settle(run.raised)
        if len(spoilers) == len(run.members):
            self._settle(spoilers)
            return []
        alone = [one.transaction for one in spoilers]
        settled = {one.transaction.id for one in run.raised} | {one.id for one in alone}
        return [alone, [one for one in run.members if one.id not in settled]]

    def _after_conflict(
        self, bound: Bound, members: list[Transaction], error: QueueUnavailable
    ) -> list[list[Transaction]]:
        """Nothing was committed until the deadline: each by itself, and then as a failed attempt."""
        if len(members) > 1:
            return [[member] for member in members]
        self._settle([Settlement(members[0], self._executor.decide(error, members[0], bound.handler))])
        return []

    def _settle(self, settlements: Sequence[Settlement]) -> None:
        if settlements:
            self._executor.mark([one.transaction for one in settlements])
            lost = self._queue.settle(settlements)
            self._executor.unmark()
            self._tell(settlements, lost)

    def _tell(self, settlements: Sequence[Settlement], lost: frozenset[str]) -> None:
        mine = [one for one in settlements if one.transaction.id not in lost]
        completed = sum(is_completion(one) for one in mine)
        if completed:
            self._events.emit("transactions.completed", type=mine[0].transaction.type, count=completed)
        for one in mine:
            if not is_completion(one):
                self._tell_one(one)
        for transaction_id in sorted(lost):
            self._events.emit("lease.lost", transaction=transaction_id)

    def _tell_one(self, one: Settlement) -> None:
        error = one.outcome.error or {}
        self._events.emit(
            f"transaction.{_PAST[one.outcome.verb]}",
            transaction=one.transaction.id,
            type=one.transaction.type,
            attempt=one.transaction.attempt,
            error=error.get("type"),
            message=error.get("message"),
        )


class _Batch:
    """The members not started yet, and whether more may be started."""

    def __init__(self, bound: Bound, waiting: deque[Transaction], may_start: Callable[[], bool]) -> None:
        self.bound, self.waiting, self.may_start = bound, waiting, may_start

    def take(self) -> list[Transaction]:
        """All of them."""
        taken = list(self.waiting)
        self.waiting.clear()
        return taken


class _Spoiled(Exception):
    """The session cannot be committed because of these members; their outcomes, had they been alone."""

    def __init__(self, settlements: Sequence[Settlement]) -> None:
        self.settlements = settlements
        super().__init__()


class _SessionRun:
    """The work of one shared session. It may be performed several times; the last time is what counts.

    Attributes:
        inside: settled by the session itself.
        raised: ended by an exception before any write; to be settled apart.
        left: not started, because the session had been open for long.
    """

    def __init__(
        self, executor: Executor, bound: Bound, members: Sequence[Transaction], monotonic: Callable[[], float]
    ) -> None:
        self.members = members
        self._executor, self._bound, self._monotonic = executor, bound, monotonic
        self.inside: list[Settlement] = []
        self.raised: list[Settlement] = []
        self.left: list[Transaction] = []

    def perform(self, effects: Effects) -> Sequence[Settlement]:
        """Run the members' handlers with `effects`; what the session is to settle."""
        self.inside, self.raised, self.left = [], [], list(self.members)
        if self._bound.handler.batch:
            self._group(effects)
        else:
            self._each(effects)
        self._executor.mark([one.transaction for one in self.inside])
        return self.inside

    def _each(self, effects: Effects) -> None:
        began = self._monotonic()
        while self.left and self._monotonic() - began < SESSION_SECONDS:
            before = effects.writes
            one = self._executor.attempt(self._bound, self.left.pop(0), effects)
            if is_completion(one):
                self.inside.append(one)
            elif effects.broken or effects.writes > before:
                raise _Spoiled([one])
            else:
                self.raised.append(one)

    def _group(self, effects: Effects) -> None:
        settlements = self._executor.attempt_group(self._bound, self.left, effects)
        self.left = []
        if effects.broken or not any(is_completion(one) for one in settlements):
            raise _Spoiled(settlements)
        self.inside = settlements
