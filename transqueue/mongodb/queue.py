"""Q on MongoDB: the promises of `TransactionQueue`, each verb in the file of its noun."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ..admin.explain import Circumstances
from ..admin.filter import Filter
from ..admin.pause import Pause
from ..admin.report import EndedWorker, WorkerReport
from ..clock import ServerClock
from ..errors import QueueUnavailable
from ..order import Due
from ..queue import (
    Casualty,
    LiveWorker,
    Page,
    Perform,
    Receipt,
    Rescue,
    Sealed,
    Settlement,
    TransactionQueue,
    WorkerRecord,
)
from ..transaction import FREE_LANES, KEYED_LANES, State, Transaction
from .api_keys import ApiKeys
from .audit import MongoAudit
from .catalog import Catalog
from .circumstances import Gathering
from .condition import Condition, Surveyor
from .connection import Connection
from .failures import Failures
from .intake import Intake
from .leases import Leases
from .listing import Listing
from .measured import Measured
from .measures import MongoMeasures
from .ordered import Ordered
from .parts import Parts
from .pauses import Pauses
from .records import Records
from .secret import Secrets
from .settlements import Settlements
from .sweep import Sweep
from .turns import Turns
from .wakeup import Wakeup
from .workers import Workers


class MongoQueue(TransactionQueue):
    """The queue in the collection `Q`; made once per process by `connect`."""

    measures: MongoMeasures

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ordered = Ordered(connection)
        self._intake, self._records = Intake(connection), Records(connection, self._ordered)
        self.measures = MongoMeasures(connection)
        self._measured = Measured(self.measures.tally, connection.clock)
        self._workers, self._leases = Workers(connection, on_lapse=self._measured.lapsed), Leases(connection)
        self._settlements, self._pauses = Settlements(connection), Pauses(connection)
        self._gathering, self.audit = Gathering(connection, self._workers, self._pauses), MongoAudit(connection)
        self.listing = Listing(connection)
        self.failures = Failures(connection, self._ordered)
        self.clock, self.database, self.catalog = connection.clock, connection.database, Catalog(connection)
        self.api_keys, self.parts = ApiKeys(connection), Parts(connection)
        self.sweep = Sweep(connection, Turns(connection))
        self.secrets, self._surveyor = Secrets(connection), Surveyor(connection)
        self._bells: list[Wakeup] = []

    def condition(self) -> Condition:
        """How the database is."""
        return self._surveyor.look()

    @property
    def sessions(self) -> tuple[Any, ...]:
        """The ids of the sessions that this process may leave open."""
        return (self._connection.session.session_id,)

    def close(self) -> None:
        """Close the connection."""
        for bell in self._bells:
            bell.stop()
        self._connection.close()

    def enqueue(self, transactions: Sequence[Transaction]) -> list[Receipt]:
        return self._measured.accepted(self._intake.enqueue(transactions))

    def seal(self, transaction: Transaction) -> Sealed:
        return self._intake.seal(transaction)

    def enqueue_each(self, sealed: Sequence[Sealed]) -> Sequence[Receipt | QueueUnavailable]:
        answers = self._intake.enqueue_each(sealed)
        self._measured.accepted([answer for answer in answers if isinstance(answer, Receipt)])
        return answers

    def get(self, transaction_id: str) -> Transaction | None:
        return self._records.get(transaction_id)

    def page(
        self,
        *,
        state: State | None = None,
        type: str | None = None,
        submitter: str | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Page:
        return self.listing.page(Filter(state=state, type=type, submitter=submitter), after=after, limit=limit)

    def ended(self, ids: Collection[str]) -> frozenset[str]:
        return self._records.ended(ids)

    def counts(self, *, at_most: int | None = None) -> Mapping[str, Mapping[State, int]]:
        return self._records.counts(at_most)

    def circumstances(self, transaction_id: str) -> Circumstances | None:
        return self._gathering.circumstances(transaction_id)

    def cancel(self, transaction_id: str) -> bool:
        type = self._records.cancel(transaction_id)
        if type is not None:
            self._measured.moved(type, "cancelled")
        return type is not None

    def redrive(self, transaction_id: str, *, more_attempts: int) -> bool:
        return self._records.redrive(transaction_id, more_attempts=more_attempts) is not None

    def pause(self, type: str, *, by: str, reason: str = "") -> bool:
        return self._pauses.pause(type, by=by, reason=reason)

    def resume(self, type: str) -> bool:
        return self._pauses.resume(type)

    def paused(self) -> Mapping[str, Pause]:
        return self._pauses.paused()

    def begin(self, worker: WorkerRecord, *, lease_seconds: float) -> None:
        self._workers.begin(worker, lease_seconds=lease_seconds)

    def renew(self, workers: Collection[str], *, lease_seconds: float) -> frozenset[str]:
        return self._workers.renew(workers, lease_seconds=lease_seconds)

    def report(self, reports: Mapping[str, WorkerReport]) -> None:
        self._workers.report(reports)

    def end(self, worker: str, casualty: Casualty) -> Rescue:
        return self._rescued([self._workers.end(worker, casualty)])[0]

    def rescue(self) -> Sequence[Rescue]:
        return self._rescued(self._workers.rescue())

    def _rescued(self, rescues: Sequence[Rescue]) -> Sequence[Rescue]:
        """Count those that ended dead with their worker; they are few."""
        for type in self._records.types_of([id for rescue in rescues for id in rescue.buried]):
            self._measured.moved(type, "dead")
        return rescues

    def workers(self) -> Sequence[LiveWorker]:
        return self._workers.live()

    def ended_workers(self) -> Sequence[EndedWorker]:
        """The workers that ended in the last day, the latest first: at most 200."""
        return self._workers.ended()

    def lease(
        self, worker: str, type: str, *, limit: int, lanes: Sequence[int] | None = None, by_age: bool = False
    ) -> Sequence[Transaction]:
        among = lanes if lanes is not None else FREE_LANES
        return self._measured.leased(self._leases.lease(worker, type, limit, among, by_age=by_age))

    def lease_in_order(
        self,
        worker: str,
        plugin: str,
        types: Collection[str],
        *,
        limit: int,
        lanes: Sequence[int] | None = None,
    ) -> Sequence[Transaction]:
        among = lanes if lanes is not None else KEYED_LANES
        return self._measured.leased(self._ordered.lease(worker, plugin, types, limit, among))

    def due(self, types: Collection[str], *, with_key: Collection[str] | None = None) -> Due | None:
        return self._leases.due(types, types if with_key is None else with_key)

    def seconds_to_next(self, types: Collection[str]) -> float | None:
        return self._leases.seconds_to_next(types)

    def wakeup(self, lanes: Collection[int], ring: Callable[[], None]) -> Wakeup:
        """What rings when something may have become due; see `Wakeup`."""
        bell = Wakeup(self._connection, lanes, ring, self._leases.hear)
        self._bells.append(bell)
        return bell

    def queued_types(self, prefix: str) -> frozenset[str]:
        return self._leases.queued_types(prefix)

    def settle(self, settlements: Sequence[Settlement]) -> frozenset[str]:
        lost = self._settlements.settle(settlements)
        self._measured.settled(settlements, lost)
        return lost

    def settle_in_session(self, perform: Perform, *, timeout_seconds: float) -> frozenset[str]:
        watched, settled = self._measured.watched(perform)
        lost = self._settlements.settle_in_session(watched, timeout_seconds)
        settled(lost)
        return lost

    def release(self, transactions: Sequence[Transaction]) -> None:
        self._leases.release(transactions)


def connect(uri: str, database: str, *, clock: ServerClock | None = None) -> MongoQueue:
    """Connect to the queue, check the deployment, and make the indexes where they are missing.

    `clock` is what follows the server's time, else a new one.

    Raises:
        TopologyRefused: this deployment cannot keep the promises.
        QueueUnavailable: it did not answer.
    """
    connection = Connection(uri, database, clock=clock)
    try:
        connection.prepare()
        queue = MongoQueue(connection)
        queue.measures.prepare()
    except BaseException:
        connection.close()
        raise
    return queue
