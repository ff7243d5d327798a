"""What was leased together, worked off: executed, settled, and the rest given back.

Outcomes are settled within milliseconds of their making, alike ones in one write. Transactional handlers run inside the
session that settles them; those leased together share one session and one commit, and when one of them spoils it (it
raised after a write, or the database ended the session) that one runs again alone and the others together. Attempts of
`async def` handlers are only started; they go on beside what follows, and `collect` settles those that have ended. What
has not been started when a lease has been held for long, or when the worker is to stop, goes back unharmed; so do the
later ones of an ordering key when an earlier one of it is lost, retried, in flight, or dead and blocking. Neither that
nor settling waits for an attempt that takes long: see `overtime`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from ..errors import QueueUnavailable
from ..events import Events
from ..executor import Bound, Executor, is_completion
from ..outcome import Verb
from ..process.collector import collect_the_young
from ..queue import Settlement, TransactionQueue
from ..transaction import Transaction
from .beside import Beside
from .holding import Holding
from .overtime import Overtime
from .pace import Pace
from .session_run import SessionRun, Spoiled, has_failed

FLUSH_SECONDS = 0.01
SESSION_GROUP = 100  # at most so many of a group die, and run alone afterwards, together; more are hardly faster
HOLD_SECONDS = 1.0  # longer than this nothing waits in a worker's hands
FINISH_TURN_SECONDS = 0.1
COLLECTED_SECONDS = 0.002  # an attempt that takes as long has the time to make garbage of weight
SESSION_LIMIT_SECONDS = 8.0  # a server ends a session that stays open much longer

Steps = Callable[[Bound, Holding], None]

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
        wake: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue, self._executor, self._events = queue, executor, events
        self._beside = Beside(executor, wake)
        self._pace, self._monotonic = pace, monotonic
        self.overtime = Overtime(self._in_overtime, monotonic)
        self._holds: Sequence[Holding] = ()
        self._unsettled: list[Settlement] = []
        self._unsettled_since = 0.0
        self._settled_for = 0.0  # how long the present run has been settling: the handler's pace has no part in it

    def work_off(
        self, bound_of: Callable[[str], Bound], leased: Sequence[Transaction], *, stopping: Callable[[], bool]
    ) -> float:
        """Execute and settle transactions leased together, in their order; how many seconds their handlers took.

        Raises:
            TrackLost: it is not known any more what this worker holds.
        """
        alone = leased[0].alone
        if alone:
            self.finish()
        until = self._monotonic() + HOLD_SECONDS
        held_back: set[str] = set()
        runs = [
            (type, Holding(members, held_back, lambda: not stopping() and self._monotonic() < until))
            for type, members in groupby(leased, key=lambda transaction: transaction.type)
        ]
        self._holds, self._unsettled = [hold for _, hold in runs], []
        self.overtime.watch()
        seconds = sum(self._run(bound_of(type), type, hold) for type, hold in runs)
        self.overtime.rest()
        self._executor.unmark()
        self._give_back()
        if alone:
            self.finish()
        return seconds

    def _run(self, bound: Bound, type: str, hold: Holding) -> float:
        began, self._settled_for = self._monotonic(), 0.0
        self._steps(bound)(bound, hold)
        took = self._monotonic() - began - self._settled_for
        self._pace.learn(type, hold.started, took)
        if self._pace.seconds(type) > COLLECTED_SECONDS:
            collect_the_young()
        return took

    def _give_back(self) -> None:
        self._queue.release([one for hold in self._holds for one in hold.take_rest()])

    def _in_overtime(self) -> None:
        """An attempt takes long: what has ended before it is settled, and what may not be started goes back."""
        if self._unsettled:
            self._write(self._take_unsettled(), self._holds[0])
        if not self._holds[0].may_start():
            self._give_back()

    @property
    def room(self) -> int:
        """How many more attempts of async handlers may be started."""
        return self._beside.room

    def collect(self, *, wait_seconds: float = 0.0) -> bool:
        """Settle the attempts beside that have ended; whether there were any.

        Raises:
            TrackLost: as `work_off`.
        """
        ended = sorted(self._beside.ended(wait_seconds), key=_token)
        for _, settlements in groupby(ended, key=_token):
            self._settle(list(settlements), Holding((), set(), lambda: False))
        return bool(ended)

    def finish(self) -> None:
        """Wait for every attempt beside to end, and settle it.

        Raises:
            TrackLost: as `work_off`.
        """
        while self._beside:
            self.collect(wait_seconds=FINISH_TURN_SECONDS)

    def _steps(self, bound: Bound) -> Steps:
        if bound.handler.is_async:
            return self._start_beside
        if bound.handler.transactional:
            return self._in_sessions
        return self._as_groups if bound.handler.batch else self._one_by_one

    def _start_beside(self, bound: Bound, hold: Holding) -> None:
        """Start what may run now: of an ordering key the first one, the others go back until it has ended."""
        while self._beside.room and (transaction := hold.next()):
            self._beside.start(bound, transaction)
            hold.hold_back(transaction)

    def _one_by_one(self, bound: Bound, hold: Holding) -> None:
        while transaction := hold.next():
            if self._is_time(transaction):
                self._settle(self._take_unsettled(), hold)
                if not hold.without_held_back([transaction]):
                    continue
            with self.overtime:
                settlement = self._executor.attempt(bound, transaction)
            hold.note(settlement)
            if not self._unsettled:
                self._unsettled_since = self._monotonic()
            self._unsettled.append(settlement)
        self._settle(self._take_unsettled(), hold)

    def _is_time(self, following: Transaction) -> bool:
        """Whether what has ended is settled before the next one runs.

        Always before the next of its key: settled together, the later one could be written and the earlier one lost.
        """
        key, pending = following.ordering_key, self._unsettled
        if key is not None and key in {one.transaction.ordering_key for one in pending}:
            return True
        expected = self._monotonic() + self._pace.seconds(following.type)
        return bool(pending) and expected - self._unsettled_since > FLUSH_SECONDS

    def _take_unsettled(self) -> list[Settlement]:
        taken, self._unsettled = self._unsettled, []
        return taken

    def _as_groups(self, bound: Bound, hold: Holding) -> None:
        while group := hold.next_group(one_per_key=True):
            with self.overtime:
                settlements = self._executor.attempt_group(bound, group)
            self._settle(settlements, hold)

    def _in_sessions(self, bound: Bound, hold: Holding) -> None:
        most = SESSION_GROUP if bound.handler.batch else None
        while members := hold.next_group(one_per_key=False, most=most):
            groups = deque([members])
            while groups:
                if not hold.may_start():
                    hold.put_back(transaction for group in groups for transaction in group)
                    return
                again = self._one_session(bound, hold.without_held_back(groups.popleft()), hold)
                groups.extendleft(group for group in reversed(again) if group)

    def _one_session(self, bound: Bound, members: list[Transaction], hold: Holding) -> list[list[Transaction]]:
        """Run and settle `members` in one session; the groups that are still to run, in order."""
        run = SessionRun(self._executor, bound, members, self._monotonic)
        limit = min(bound.handler.timeout_seconds, SESSION_LIMIT_SECONDS)
        try:
            with self.overtime:
                lost = self._queue.settle_in_session(run.perform, timeout_seconds=limit) if members else frozenset()
        except Spoiled as spoiled:
            return self._after_spoiling(run, spoiled.settlements, hold)
        except QueueUnavailable as error:
            return self._after_conflict(bound, members, error, hold)
        hold.note_lost(run.inside, lost)
        self._tell([] if lost else run.inside, lost)
        if lost:
            return [[member for member in members if member.id not in lost]]
        for one in run.inside:
            hold.note(one)
        self._settle(run.raised, hold)
        return [run.left]

    def _after_spoiling(
        self, run: SessionRun, spoilers: Sequence[Settlement], hold: Holding
    ) -> list[list[Transaction]]:
        """Everything was discarded, so whoever raised may have done so on what never was: only the spoiler is known.

        It runs again alone, and the others together, those after it of its key later. A group that failed runs again
        in halves.
        """
        if len(spoilers) == len(run.members):
            if len(spoilers) > 1 and has_failed(spoilers):
                half = len(run.members) // 2  # a group does not tell which of them it was
                return [list(run.members[:half]), list(run.members[half:])]
            self._settle(spoilers, hold)
            return []
        alone = [one.transaction for one in spoilers]
        before, after = run.around(alone)
        return [before, alone, after] if alone[0].ordering_key is not None else [alone, before]

    def _after_conflict(
        self, bound: Bound, members: list[Transaction], error: QueueUnavailable, hold: Holding
    ) -> list[list[Transaction]]:
        """Nothing was committed until the deadline: each by itself, and then as a failed attempt."""
        if len(members) > 1:
            return [[member] for member in members]
        self._settle([Settlement(members[0], self._executor.decide(error, members[0], bound.handler))], hold)
        return []

    def _settle(self, settlements: Sequence[Settlement], hold: Holding) -> None:
        if settlements:
            self._executor.mark([one.transaction for one in settlements])
            began = self._monotonic()
            self._write(settlements, hold)
            self._settled_for += self._monotonic() - began
            self._executor.unmark()

    def _write(self, settlements: Sequence[Settlement], hold: Holding) -> None:
        lost = self._queue.settle(settlements)
        for one in settlements:
            hold.note(one)
        hold.note_lost(settlements, lost)
        self._tell(settlements, lost)

    def _tell(self, settlements: Sequence[Settlement], lost: Iterable[str]) -> None:
        mine = [one for one in settlements if one.transaction.id not in lost]
        others = [one for one in mine if not is_completion(one)]
        if len(mine) > len(others):
            count = len(mine) - len(others)
            self._events.emit("transactions.completed", type=mine[0].transaction.type, count=count)
        for one in others:
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
            request_id=one.transaction.request_id,
            error=error.get("type"),
            message=error.get("message"),  # for who listens; the logs leave it out
        )


def _token(one: Settlement) -> str:
    return one.transaction.lease.token if one.transaction.lease else ""
