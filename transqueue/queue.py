"""What any queue promises.

`mongodb.MongoQueue` keeps the promises for real; `testing.MemoryQueue` keeps them in one process. The docstrings here
are the specification, and one contract suite (`tests/contract`) holds both to it.

One verb, one transition, one conditional write. A lost race is a return value: a write on a transaction that its worker
no longer holds changes nothing and says so. Only `QueueUnavailable` (the database did not answer in time, outcome
unknown) and `TrackLost` (the same, for what this worker holds) are raised.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from .admin.crew import Casualty, LiveWorker, Rescue, WorkerRecord
from .admin.pause import Pausing
from .errors import QueueUnavailable
from .order import Due
from .outcome import Outcome
from .transaction import State, Transaction

if TYPE_CHECKING:  # what only operators ask is not imported by each process that has a queue
    from .admin.audit import Audit
    from .admin.explain import Circumstances
    from .admin.measures import Measures
    from .admin.report import WorkerReport

__all__ = [
    "Casualty",
    "Effects",
    "LiveWorker",
    "Page",
    "Perform",
    "Receipt",
    "Rescue",
    "Sealed",
    "Settlement",
    "TransactionQueue",
    "WorkerRecord",
]


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to one enqueued transaction.

    Attributes:
        transaction: what is stored: the one given, or the first one accepted under its idempotency key.
        replayed: the key was known, with the same body.
        key_reused: the key was known, with another body; nothing was stored.
    """

    transaction: Transaction
    replayed: bool = False
    key_reused: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Some transactions, newest first, and the cursor to go on from; no cursor: there are no more.

    A page may be short, or empty, and still have a cursor: what one page may look through is bounded.
    """

    transactions: Sequence[Transaction]
    next: str | None


@dataclass(frozen=True, slots=True)
class Sealed:
    """A new transaction, and the form in which this queue stores it, made once: `content` is the queue's own."""

    transaction: Transaction
    content: Any = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """One leased transaction and how its attempt ended."""

    transaction: Transaction
    outcome: Outcome


class Effects(Protocol):
    """The database side of one session, handed to `perform`.

    Attributes:
        db: PyMongo's database; what is written through it commits with the settlements, or not at all.
        writes: how many write commands of this run of the session have changed anything.
        broken: the database has ended the session (an error in it does, even a caught one).
    """

    @property
    def db(self) -> Any: ...

    @property
    def writes(self) -> int: ...

    @property
    def broken(self) -> bool: ...

    def is_conflict(self, error: BaseException) -> bool:
        """Whether the database asks, with `error`, to run the whole session again."""
        ...


Perform = Callable[[Effects], Sequence[Settlement]]


class TransactionQueue(Pausing):
    """Where transactions wait, and the only place where their state changes."""

    audit: Audit
    measures: Measures

    # The door

    @abstractmethod
    def enqueue(self, transactions: Sequence[Transaction]) -> list[Receipt]:
        """Store new transactions durably, in the order given: one receipt each, in the same order.

        When this returns, each accepted one is journaled on a majority, and each replayed one was found by a majority
        read.

        Raises:
            QueueUnavailable: unknown which of them are stored; enqueueing those with a key again is safe.
        """

    def seal(self, transaction: Transaction) -> Sealed:
        """The transaction ready to be stored, so that one which cannot be stored is known before it meets others.

        Raises:
            Unstorable: this one cannot be stored, ever.
        """
        return Sealed(transaction)

    def enqueue_each(self, sealed: Sequence[Sealed]) -> Sequence[Receipt | QueueUnavailable]:
        """As `enqueue`, for transactions that have nothing to do with each other: one answer each, in the same order.

        What goes wrong with one of them is its own answer; what goes wrong with all of them is everybody's.
        """
        try:
            return self.enqueue([one.transaction for one in sealed])
        except QueueUnavailable as error:
            return [error] * len(sealed)

    @abstractmethod
    def get(self, transaction_id: str) -> Transaction | None:
        """The transaction as it is on a majority."""

    @abstractmethod
    def page(
        self,
        *,
        state: State | None = None,
        type: str | None = None,
        submitter: str | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Page:
        """Transactions that match, newest first, older than the cursor `after`."""

    @abstractmethod
    def ended(self, ids: Collection[str]) -> frozenset[str]:
        """Those of `ids` that have ended."""

    @abstractmethod
    def counts(self, *, at_most: int | None = None) -> Mapping[str, Mapping[State, int]]:
        """How many transactions are in which state, by type; `at_most` of each are counted, or else all of them."""

    @abstractmethod
    def circumstances(self, transaction_id: str) -> Circumstances | None:
        """What explains why a transaction runs or does not; none: there is no such transaction."""

    @abstractmethod
    def cancel(self, transaction_id: str) -> bool:
        """`queued` or `dead` → `cancelled`. False: it is in no such state, and nothing changed."""

    @abstractmethod
    def redrive(self, transaction_id: str, *, more_attempts: int) -> bool:
        """`dead` → `queued`, due now, with `more_attempts` more and its crashes forgiven. False: it is not dead."""

    # A worker's life

    @abstractmethod
    def begin(self, worker: WorkerRecord, *, lease_seconds: float) -> None:
        """Start a worker's lease. Its id must be new."""

    @abstractmethod
    def renew(self, workers: Collection[str], *, lease_seconds: float) -> frozenset[str]:
        """Lengthen the leases of `workers` to `lease_seconds` from now: those that are still held.

        A lease that ended or lapsed is final: it is never renewed.
        """

    @abstractmethod
    def report(self, reports: Mapping[str, WorkerReport]) -> None:
        """Keep, by live worker, what its supervisor knows of it, for those who look on."""

    @abstractmethod
    def end(self, worker: str, casualty: Casualty) -> Rescue:
        """A supervisor saw its own worker dead: end its lease, end its sessions, put back what it held.

        May be repeated after an error; charges nothing twice.
        """

    @abstractmethod
    def rescue(self) -> Sequence[Rescue]:
        """Do as `end` does for every worker whose lease lapsed, and for ended ones that still hold something.

        What such a worker ran is not known: what was leased to it next runs alone, uncharged; one that was
        already alone is charged the crash.
        """

    @abstractmethod
    def workers(self) -> Sequence[LiveWorker]:
        """The workers whose lease is held now, by host and slot."""

    # Leases

    @abstractmethod
    def lease(
        self, worker: str, type: str, *, limit: int, lanes: Sequence[int] | None = None, by_age: bool = False
    ) -> Sequence[Transaction]:
        """Up to `limit` due transactions of one type, without ordering key, for `worker`, running, under one new token.

        Higher priority first, then the longer due; with `by_age` the longer due first, whatever the priority. One that
        must run alone comes alone. `lanes` narrows the search. A queue may leave lanes for the next lease, and what
        became due earlier than others that were leased before for a second.

        Raises:
            TrackLost: unknown what was leased; the worker must end its lease and start again.
        """

    @abstractmethod
    def lease_in_order(
        self,
        worker: str,
        plugin: str,
        types: Collection[str],
        *,
        limit: int,
        lanes: Sequence[int] | None = None,
    ) -> Sequence[Transaction]:
        """As `lease`, for those of one plugin that have an ordering key: in the order they were accepted.

        A key stands still behind its first transaction that cannot go: one that runs, waits for its time, is dead and
        blocks, or is of another type than `types`. Several of one key may come together: the worker runs them in order,
        and gives back the later ones when an earlier one is lost, retried, released, or dead and blocking.

        Raises:
            TrackLost: as `lease`.
        """

    @abstractmethod
    def due(self, types: Collection[str], *, with_key: Collection[str] | None = None) -> Due | None:
        """Where any of these types is due now; `with_key`: the types of those with a key, where they are others."""

    @abstractmethod
    def seconds_to_next(self, types: Collection[str]) -> float | None:
        """In how many seconds the first transaction of these types that is not due yet will be; none: there is none."""

    @abstractmethod
    def queued_types(self, prefix: str) -> frozenset[str]:
        """The types of queued transactions that begin with `prefix`."""

    @abstractmethod
    def settle(self, settlements: Sequence[Settlement]) -> frozenset[str]:
        """End attempts: the ids of those that the worker no longer held, for which nothing was written.

        All settlements are of transactions of one lease.

        Raises:
            TrackLost: unknown, for longer than the lease can last.
        """

    @abstractmethod
    def settle_in_session(self, perform: Perform, *, timeout_seconds: float) -> frozenset[str]:
        """Run `perform` and write its settlements in the same session: all of it commits, or nothing.

        `perform` may be called several times, each time in a fresh session; an exception from it discards everything
        and is raised on. If a transaction to settle is no longer held, nothing at all is written and its id is
        returned: the caller decides what to do with the others.

        Raises:
            QueueUnavailable: nothing was committed (conflicts until the timeout, or the database is away).
            TrackLost: unknown whether it was committed.
        """

    @abstractmethod
    def release(self, transactions: Sequence[Transaction]) -> None:
        """Give leased transactions back unharmed: `queued`, at their place, no attempt charged.

        Raises:
            TrackLost: unknown whether they are back.
        """
