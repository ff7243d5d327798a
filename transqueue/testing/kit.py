"""A whole TransQueue in the test's own process: the real door, the real worker, and a clock that the test moves.

Everything between a submission and its end is the code that runs in production: strict reading, admission, Q's states
and fences, batches, executor, outcomes. Different are only the queue (in memory, or on a real mongod), the processes
(none: what a worker would die of is told by `deaths`), and the time. Use it from one thread.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from ..api.reception import Reception
from ..config import Config, made_config
from ..errors import PluginBroken
from ..events import Event, Events
from ..handlers import Handler
from ..plugins import Found, HandlerTable, installed, load_plugins
from ..queue import Page
from ..submission import Admission
from ..transaction import State, Transaction
from ..worker.binding import follow_ups
from .door import Door
from .inline_worker import InlineWorker
from .memory_queue import MemoryQueue
from .provided import Provided, found_in
from .settable_clock import SettableClock

TURNS = 1_000  # after so many without an end, a run has none
PAGE = 200


class MovableClock(Protocol):
    """A clock that can be advanced."""

    def now(self) -> datetime: ...

    def advance(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Performed:
    """One attempt, and what it left.

    Attributes:
        transaction: as it is stored after the attempt.
        follow_ups: what the attempt enqueued, in order; none unless it completed.
    """

    transaction: Transaction
    follow_ups: tuple[Transaction, ...] = ()

    @property
    def state(self) -> State:
        """`done`, `rejected` or `dead`; `queued` when it is to be tried again."""
        return self.transaction.state

    @property
    def result(self) -> Any:
        """What the handler returned, as a submitter gets it."""
        return self.transaction.result

    @property
    def error(self) -> str | None:
        """What ended it otherwise, as `type: message`."""
        error = self.transaction.error
        return f"{error['type']}: {error['message']}" if error else None


class Kit:
    """TransQueue for tests.

    Args:
        config: as in config.yaml, and judged as strictly. What is left out has its default.
        provides: plugins of this test by name, each a module or a list of handlers; they need not be installed, and
            are enabled unless `config` lists plugins itself.
        available: the plugins that may be enabled, else those installed.
        queue: a `TransactionQueue` with a clock that can be advanced, else a new `MemoryQueue`.
        root: the folder that relative paths and `transaction_module` start from.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        *,
        provides: Mapping[str, Provided] | None = None,
        available: Mapping[str, Found] | None = None,
        queue: Any = None,
        root: Path | None = None,
    ) -> None:
        made = found_in(provides or {})
        values = {"plugins": {name: {} for name in made}, **(config or {})}
        self.config: Config = made_config(values, root or Path.cwd())
        self.queue: Any = queue or _in_memory()
        self.clock: MovableClock = self.queue.clock
        self.events: list[Event] = []
        doors, workers = Events(self.events.append), Events(self.events.append)
        others: Any = installed() if available is None else available
        self.available: Mapping[str, Found] = ChainMap(made, others)  # the others are looked for only where they matter
        self._doors_table, self._table = self._loaded(doors), self._loaded(workers)
        self._doors_table.startup("api")
        self._table.startup("worker")
        self._refuse_broken()
        self.door = self._door(doors)
        admission = Admission(
            table=self._table, default_type=self.config.default_type, clock=self.clock, events=workers
        )
        self._new = follow_ups(admission)
        self._worker = InlineWorker(
            self.queue, self._table, clock=self.clock, new_transaction=self._new, events=workers
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What goes in

    def submit(self, type: str, data: Mapping[str, Any], *, idempotency_key: str | None = None, **options: Any) -> str:
        """Submit through the door, as HTTP would; the transaction's id.

        Raises:
            SubmissionRefused: with the status, code, message and field errors of the answer.
        """
        body = {"type": type, "data": data} | ({"options": options} if options else {})
        return self.door.submit(body, idempotency_key=idempotency_key)

    def perform(self, type: str, data: Mapping[str, Any], *, attempt: int = 1, **options: Any) -> Performed:
        """Make one attempt of one transaction, here and now, and settle it. Nothing else is run.

        `data` makes the round trip through JSON and the schema; `attempt` is the number that the handler sees.

        Raises:
            SubmissionRefused: the door would refuse it.
            RuntimeError: another transaction goes before it; `run` that one first.
        """
        given = replace(self._new(type, data, options), attempts=attempt - 1)
        before = {one.id for one in self.transactions()}
        self.queue.enqueue([given])
        self._worker.work_off(self._leased(given))
        new = [one for one in self.transactions() if one.id not in {*before, given.id}]
        return Performed(self.get(given.id), tuple(new))

    # What happens

    def run(self) -> None:
        """Work off everything that is due, follow-ups included, as a worker does. Retries wait: see `advance`.

        Raises:
            RuntimeError: there seems to be no end to it.
        """
        for _ in range(TURNS):
            if not self._worker.turn():
                return
        raise RuntimeError(f"after {TURNS} turns something is still due: does a handler retry without a wait?")

    def advance(self, seconds: float | None = None) -> float:
        """Let time pass: so many seconds or, without a number, until the next waiting transaction is due.

        Returns:
            How many seconds passed.

        Raises:
            RuntimeError: nothing waits for its time.
        """
        if seconds is None:
            now = self.clock.now()
            times = [one.due_at for one in self.transactions(state=State.QUEUED) if one.due_at > now]
            if not times:
                raise RuntimeError("nothing waits for its time: advance by a number of seconds, or submit something")
            seconds = (min(times) - now).total_seconds()
        self.clock.advance(seconds)
        return seconds

    # What came of it

    def get(self, transaction_id: str) -> Transaction:
        """The transaction of this id, as it is stored.

        Raises:
            LookupError: there is none.
        """
        found: Transaction | None = self.queue.get(transaction_id)
        if found is None:
            raise LookupError(f"there is no transaction {transaction_id!r}")
        return found

    def transactions(self, *, type: str | None = None, state: State | str | None = None) -> list[Transaction]:
        """All that match, in the order in which they were made."""
        wanted = None if state is None else State(state)
        found: list[Transaction] = []
        page: Page = self.queue.page(type=type, state=wanted, limit=PAGE)
        found += page.transactions
        while page.next:
            page = self.queue.page(type=type, state=wanted, after=page.next, limit=PAGE)
            found += page.transactions
        return sorted(found, key=lambda one: (one.created_at, one.id))

    @property
    def types(self) -> Mapping[str, Handler]:
        """The handlers by type, or family, with what `config` overrides."""
        return self._table.types()

    @property
    def database(self) -> Any:
        """The database that `context.db` writes to, as others see it."""
        return self.queue.database

    @property
    def client(self) -> Any:
        """Flask's test client, for any request to the door."""
        return self.door.client

    def close(self) -> None:
        """Shut the plugins down, as processes do that end in good order."""
        self._worker.close()
        self._table.shutdown("worker")
        self._doors_table.shutdown("api")

    def _loaded(self, events: Events) -> HandlerTable:
        return load_plugins(self.config, events=events, available=self.available)

    def _door(self, events: Events) -> Door:
        reception = Reception(
            queue=self.queue, table=self._doors_table, config=self.config, clock=self.clock, events=events
        )
        return Door(reception, lambda: import_module("transqueue.api.app").app_around(reception))

    def _refuse_broken(self) -> None:
        for state in (*self._doors_table.failures(), *self._table.failures()):
            raise PluginBroken(state.name, state.phase, state.reason, state.cure)

    def _leased(self, given: Transaction) -> Sequence[Transaction]:
        worker = self._worker.id
        if given.ordering_key is None:
            leased = self.queue.lease(worker, given.type, limit=1, lanes=[given.lane])
        else:
            plugin = given.plugin.name if given.plugin else ""
            leased = self.queue.lease_in_order(worker, plugin, [given.type], limit=1, lanes=[given.lane])
        if [one.id for one in leased] == [given.id]:
            return list(leased)
        self.queue.release(leased)
        raise RuntimeError(
            f"the new {given.type!r} is not the next one to be processed: it must be due, and others of its type or "
            "ordering key go before it. `run` them first, or submit this one and `run`"
        )


def _in_memory() -> Any:
    return MemoryQueue(SettableClock())
