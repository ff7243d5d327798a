"""The queue in one process: everything `TransactionQueue` promises but durability.

As strict as the real one: the same states, the same fence on every write, leases judged by the clock at the moment, and
values that come back as the database would give them back. One lock makes each verb atomic. It is forgotten with the
process, so it is for tests.
"""

from __future__ import annotations

import copy
import random as randomness
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from importlib import import_module
from threading import RLock
from typing import TYPE_CHECKING, Any

from ..clock import Clock, HostClock
from ..order import Due
from ..outcome import Verb
from ..queue import Casualty, LiveWorker, Page, Perform, Receipt, Rescue, Settlement, TransactionQueue, WorkerRecord
from ..transaction import ENDED, FREE_LANES, KEYED_LANES, Lease, State, Transaction, TransactionIds, enqueued_at_end
from .memory_measures import MemoryMeasures
from .memory_operations import MemoryAudit, MemoryPauses
from .memory_transactions import MemoryTransactions
from .memory_workers import MemoryWorkers
from .transitions import accepted, cancelled, crashed, leased, redriven, released, settled

if TYPE_CHECKING:
    from ..admin.explain import Circumstances
    from ..admin.report import WorkerReport

LAPSED = Casualty(group=True, reason="its worker's lease lapsed")


class MemoryQueue(MemoryPauses, TransactionQueue):
    """A queue in memory, safe to use from many threads.

    Args:
        clock: decides what is due and which leases lapsed; a `SettableClock` lets a test pass the time.
        new_token: returns a token that no lease had before.
        random: returns a float in [0, 1); spreads the wait after a crash.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        new_token: Callable[[], str] = lambda: uuid.uuid4().hex,
        random: Callable[[], float] = randomness.random,
    ) -> None:
        super().__init__()
        self.clock: Clock = clock or HostClock()
        self.audit = MemoryAudit(self.clock)
        self._new_token, self._random = new_token, random
        self._transactions, self._ids = MemoryTransactions(), TransactionIds()
        self._workers = MemoryWorkers(self.clock)
        self.measures = MemoryMeasures(self.clock, lambda: list(self._transactions))
        self._lock = RLock()
        self._session = RLock()  # sessions run one at a time; other verbs go on meanwhile, as they do in MongoDB

    @cached_property
    def database(self) -> Any:
        """The mongomock database with the effects of committed sessions."""
        return _late("effects").memory_database()

    # The door

    def enqueue(self, transactions: Sequence[Transaction]) -> list[Receipt]:
        new = [accepted(transaction) for transaction in transactions]
        with self._lock:
            return copy.deepcopy(self._transactions.accept(new))

    def get(self, transaction_id: str) -> Transaction | None:
        with self._lock:
            return copy.deepcopy(self._transactions.get(transaction_id))

    def page(
        self,
        *,
        state: State | None = None,
        type: str | None = None,
        submitter: str | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Page:
        wanted = {"state": state, "type": type, "submitter": submitter}
        with self._lock:
            return copy.deepcopy(self._transactions.page(wanted, after=after, limit=limit))

    def ended(self, ids: Collection[str]) -> frozenset[str]:
        with self._lock:
            return frozenset(one.id for one in self._transactions if one.id in ids and one.state in ENDED)

    def counts(self, *, at_most: int | None = None) -> Mapping[str, Mapping[State, int]]:
        counted: dict[str, Counter[State]] = {}
        with self._lock:
            for one in self._transactions:
                counted.setdefault(one.type, Counter())[one.state] += 1
        return {type: {one: min(n, at_most or n) for one, n in states.items()} for type, states in counted.items()}

    def circumstances(self, transaction_id: str) -> Circumstances | None:
        with self._lock:
            stored = list(self._transactions)
            found: Circumstances | None = _late("memory_circumstances").circumstances(transaction_id, stored, self)
        return found

    def cancel(self, transaction_id: str) -> bool:
        with self._lock:
            transaction = self._transactions.get(transaction_id)
            if transaction is None or transaction.state not in (State.QUEUED, State.DEAD):
                return False
            self._end(cancelled(transaction, self.clock.now()))
            return True

    def redrive(self, transaction_id: str, *, more_attempts: int) -> bool:
        with self._lock:
            transaction = self._transactions.get(transaction_id)
            if transaction is None or transaction.state is not State.DEAD:
                return False
            self._transactions.put(redriven(transaction, more_attempts, self.clock.now()))
            return True

    # A worker's life

    def begin(self, worker: WorkerRecord, *, lease_seconds: float) -> None:
        with self._lock:
            self._workers.begin(worker, timedelta(seconds=lease_seconds))

    def renew(self, workers: Collection[str], *, lease_seconds: float) -> frozenset[str]:
        with self._lock:
            return self._workers.renew(workers, timedelta(seconds=lease_seconds))

    def report(self, reports: Mapping[str, WorkerReport]) -> None:
        with self._lock:
            self._workers.report(reports)

    def end(self, worker: str, casualty: Casualty) -> Rescue:
        with self._lock:
            self._workers.end(worker)
            return self._put_back(worker, casualty)

    def workers(self) -> Sequence[LiveWorker]:
        with self._lock:
            return self._workers.live()

    def rescue(self) -> Sequence[Rescue]:
        with self._lock:
            self._workers.end_lapsed()
            holders = {one.lease.worker for one in self._transactions if one.lease}
            lost = sorted(worker for worker in holders if not self._workers.is_live(worker))
            return [self._put_back(worker, LAPSED) for worker in lost]

    # Leases

    def lease(
        self, worker: str, type: str, *, limit: int, lanes: Sequence[int] | None = None, by_age: bool = False
    ) -> Sequence[Transaction]:
        with self._lock:
            among = FREE_LANES if lanes is None else lanes
            group = self._transactions.next_group(type, self.clock.now(), limit=limit, lanes=among, by_age=by_age)
            if not group:
                return []
            lease = Lease(self._new_token(), worker, self.clock.now())
            return copy.deepcopy([self._transactions.put(leased(one, lease)) for one in group])

    def lease_in_order(
        self,
        worker: str,
        plugin: str,
        types: Collection[str],
        *,
        limit: int,
        lanes: Sequence[int] | None = None,
    ) -> Sequence[Transaction]:
        with self._lock:
            among = KEYED_LANES if lanes is None else lanes
            chosen = self._transactions.next_in_order(plugin, types, self.clock.now(), limit=limit, lanes=among)
            lease = Lease(self._new_token(), worker, self.clock.now())
            return copy.deepcopy([self._transactions.put(leased(one, lease)) for one in chosen])

    def due(self, types: Collection[str], *, with_key: Collection[str] | None = None) -> Due | None:
        with self._lock:
            keyed = types if with_key is None else with_key
            due = (Due(one.type, one.ordering_key is not None) for one in self._transactions.due(self.clock.now()))
            return next((one for one in due if one.type in (keyed if one.has_key else types)), None)

    def seconds_to_next(self, types: Collection[str]) -> float | None:
        with self._lock:
            now = self.clock.now()
            queued = [one for one in self._transactions if one.state is State.QUEUED and one.type in types]
        return min(((one.due_at - now).total_seconds() for one in queued if one.due_at > now), default=None)

    def queued_types(self, prefix: str) -> frozenset[str]:
        with self._lock:
            queued = {one.type for one in self._transactions if one.state is State.QUEUED}
        return frozenset(type for type in queued if type.startswith(prefix))

    def settle(self, settlements: Sequence[Settlement]) -> frozenset[str]:
        _refuse_mixed_leases([one.transaction for one in settlements])
        with self._lock:
            held = [one for one in settlements if self._holds(one.transaction)]
            gone = [one for one in settlements if not self._holds(one.transaction)]
            self._settle(held)
            return frozenset(one.transaction.id for one in gone if not self._wrote(one))

    def settle_in_session(self, perform: Perform, *, timeout_seconds: float) -> frozenset[str]:  # noqa: ARG002
        """As promised; `perform` is called once, and no time-out can be reached in memory."""
        with self._session:
            settlements = perform(effects := _late("effects").MemoryEffects(self.database))
            _refuse_mixed_leases([one.transaction for one in settlements])
            with self._lock:
                lost = frozenset(one.transaction.id for one in settlements if not self._holds(one.transaction))
                if not lost:
                    self._settle(settlements)
                    effects.commit()
                return lost

    def release(self, transactions: Sequence[Transaction]) -> None:
        _refuse_mixed_leases(transactions)
        with self._lock:
            held = [present for one in transactions if (present := self._held(one))]
            for transaction in held:
                self._transactions.put(released(transaction))

    # Below: the caller has the lock

    def _held(self, transaction: Transaction) -> Transaction | None:
        """The fence: what is stored, if it is running under the very lease that the caller's copy has."""
        present = self._transactions.get(transaction.id)
        if present is None or present.state is not State.RUNNING or _token(present) != _token(transaction):
            return None
        return present

    def _holds(self, transaction: Transaction) -> bool:
        return self._held(transaction) is not None

    def _wrote(self, settlement: Settlement) -> bool:
        """Whether this settlement was written before: the transaction is as this lease left it."""
        token = _token(settlement.transaction)
        present = self._transactions.get(settlement.transaction.id)
        if present is None:
            return False
        if settlement.outcome.verb is Verb.RETRY:
            return bool(present.history) and present.history[-1].get("lease") == token
        return present.ended_by == token

    def _settle(self, settlements: Sequence[Settlement]) -> None:
        """Write settlements of held transactions, and their follow-ups. Whatever raises, raises before any write."""
        now = self.clock.now()
        held = [(present, one.outcome) for one in settlements if (present := self._held(one.transaction))]
        changed = [settled(present, outcome, now) for present, outcome in held]
        self.enqueue([follow_up for _, outcome in held for follow_up in outcome.follow_ups])
        for transaction in changed:
            self._end(transaction)

    def _end(self, transaction: Transaction) -> Transaction:
        """Put one that may have ended, and enqueue what it wants to be enqueued when it ends."""
        if transaction.state in ENDED:
            self.enqueue(enqueued_at_end(transaction, self._ids.next, self.clock.now()))
        return self._transactions.put(transaction)

    def _put_back(self, worker: str, casualty: Casualty) -> Rescue:
        held = [one for one in self._transactions if one.lease and one.lease.worker == worker]
        guilty = [one for one in held if one.id == casualty.running or (casualty.group and one.alone)]
        others = [one for one in held if one not in guilty]
        now = self.clock.now()
        charged = [self._end(crashed(one, casualty.reason, now, self._random)) for one in guilty]
        for one in others:
            self._transactions.put(released(one, alone=casualty.group))
        return Rescue(
            worker=worker,
            released=tuple(one.id for one in others),
            charged=tuple(one.id for one in charged if one.state is State.QUEUED),
            buried=tuple(one.id for one in charged if one.state is State.DEAD),
        )


def _late(module: str) -> Any:
    """A neighbour that is slow to import, and that most tests do without."""
    return import_module(f"{__package__}.{module}")


def _token(transaction: Transaction) -> str | None:
    return transaction.lease.token if transaction.lease else None


def _refuse_mixed_leases(transactions: Sequence[Transaction]) -> None:
    tokens = {_token(transaction) for transaction in transactions}
    if len(tokens) > 1 or None in tokens:
        raise ValueError("all transactions must be of one lease")
