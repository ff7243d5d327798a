"""A transaction: one submitted unit of work, its states, and its id.

A value: frozen, changed only by making a copy. What handlers receive is this same class with `data` as their schema
loaded it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from threading import Lock
from typing import Any
from zlib import crc32

# Fixed: a key's lane must never change while versions run side by side. Keyed transactions have lanes of their own.
LANES = 16
FREE_LANES = range(LANES)
KEYED_LANES = range(LANES, 2 * LANES)
VERSION = 1  # of the stored document; the next version of TransQueue writes at most one higher
MAX_CRASHES = 3
HISTORY_KEPT = 20
ID_LENGTH = 21

_RANDOM_DIGITS = 8
_RANDOM_RANGE = 10**_RANDOM_DIGITS


class State(StrEnum):
    """Where a transaction is in its life. Waiting for a retry or a start time is `queued` with `due_at` to come."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    REJECTED = "rejected"
    DEAD = "dead"
    CANCELLED = "cancelled"


ENDED = frozenset({State.DONE, State.REJECTED, State.DEAD, State.CANCELLED})


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds a running transaction, and since when: a token, random and new per lease, and the worker's id."""

    token: str
    worker: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Idempotency:
    """The submitter's key and the SHA-256 (hex) of what was sent with it."""

    key: str
    body_hash: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """The plugin, its version, and the mark of the schema that the data passed when the transaction was accepted."""

    name: str
    version: str
    schema: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnEnd:
    """What is enqueued when a transaction ends: made whole at its acceptance, so that ending it takes no plugin."""

    type: str
    data: Any
    max_attempts: int
    ordering_key: str | None = None
    after_dead: str = "block"
    plugin: Stamp | None = None


@dataclass(frozen=True, kw_only=True)  # without slots: with them a copy takes five times as long
class Transaction:
    """One unit of work as it is stored in Q; handlers get it with `data` loaded by their schema.

    Attributes:
        id: 21 digits, unique in Q.
        attempts: attempts charged so far.
        crashes: how many of them ended with the death of their process.
        ordering_key: those of one plugin that share it are processed in the order accepted, one at a time.
        after_dead: what it does, once dead, to the later ones of its key: `block` or `skip`.
        alone: it was in a group that died together, so it next runs by itself.
        deferred_since: since when its handler has been raising `RetryLater`.
        traceparent: the W3C trace context that it was submitted in; what follows from it has the same.
        request_id: of the request that submitted it; on each line that is logged of it.
        history: the last 20 things that happened to it, oldest first.
        v: the format that it is stored in; of a newer one than this version's only what it is called is known.
        on_end: what is enqueued in the session of each end that it comes to: done, rejected, dead or cancelled.
        parent: the transaction whose handler enqueued it, or whose end did; none: it was submitted.
        origin: for one that was enqueued so, the transaction that ended, as `ending` tells of it.
    """

    id: str
    type: str
    data: Any
    created_at: datetime
    due_at: datetime
    max_attempts: int
    state: State = State.QUEUED
    priority: int = 0
    finished_at: datetime | None = None
    attempts: int = 0
    crashes: int = 0
    ordering_key: str | None = None
    after_dead: str = "block"
    lane: int = 0
    lease: Lease | None = None
    ended_by: str | None = None
    alone: bool = False
    deferred_since: datetime | None = None
    result: Any = None
    error: Mapping[str, Any] | None = None
    history: tuple[Mapping[str, Any], ...] = ()
    submitter: str = ""
    idempotency: Idempotency | None = None
    plugin: Stamp | None = None
    traceparent: str | None = None
    request_id: str | None = None
    v: int = VERSION
    on_end: tuple[OnEnd, ...] = ()
    origin: Mapping[str, Any] | None = None
    parent: str | None = None

    @property
    def attempt(self) -> int:
        """The number of the attempt that is being made, from 1."""
        return self.attempts + 1

    def with_data(self, data: Any) -> Transaction:
        """A copy with other data."""
        return self.altered(data=data)

    def altered(self, **fields: Any) -> Transaction:
        """A copy with some fields replaced; `dataclasses.replace`, but made for every submission and attempt."""
        copied = self.__dict__.copy()
        copied.update(fields)
        return made_of(copied)

    def effect_key(self, name: str) -> str:
        """A key for one effect outside MongoDB, the same on every attempt: the receiver's idempotency key."""
        return f"{self.id}:{name}"


def made_of(fields: dict[str, Any]) -> Transaction:
    """The transaction that keeps this very dictionary as its fields; those it leaves out have their defaults."""
    made = object.__new__(Transaction)
    object.__setattr__(made, "__dict__", fields)
    return made


def ending(ended: Transaction) -> Mapping[str, Any]:
    """What those that it enqueues at its end are told of a transaction: how it ended, without its data."""
    error = ended.error and {name: ended.error[name] for name in ("type", "message")}
    return {
        "transaction_id": ended.id,
        "type": ended.type,
        "state": str(ended.state),
        "submitter": ended.submitter,
        "attempts": ended.attempts,
        "created_at": ended.created_at,
        "finished_at": ended.finished_at,
        "result": ended.result,
        "error": error,
    }


def enqueued_at_end(ended: Transaction, new_id: Callable[[datetime], str], now: datetime) -> list[Transaction]:
    """The transactions that are enqueued because this one ended, due at once."""
    return [_following(one, ended, new_id(now), now) for one in ended.on_end]


def _following(one: OnEnd, ended: Transaction, id: str, now: datetime) -> Transaction:
    keyed = one.ordering_key is not None
    return Transaction(
        id=id,
        type=one.type,
        data=one.data,
        created_at=now,
        due_at=now,
        max_attempts=one.max_attempts,
        ordering_key=one.ordering_key,
        after_dead=one.after_dead,
        lane=keyed_lane(one.plugin.name if one.plugin else "", one.ordering_key or "") if keyed else free_lane(id),
        submitter=ended.submitter,
        plugin=one.plugin,
        traceparent=ended.traceparent,
        origin=ending(ended),
        parent=ended.id,
    )


def free_lane(transaction_id: str) -> int:
    """The lane of a transaction without an ordering key: any will do, spread evenly."""
    return FREE_LANES[crc32(transaction_id.encode()) % LANES]


def keyed_lane(plugin: str, ordering_key: str) -> int:
    """The lane of an ordering key. Two plugins never share a key."""
    return KEYED_LANES[crc32(f"{plugin}\0{ordering_key}".encode()) % LANES]


class TransactionIds:
    """Makes ids: 13 digits of Unix milliseconds, then 8 that start at random; one maker's ids never go backwards."""

    def __init__(self, randrange: Callable[[int], int] = lambda stop: int(random.random() * stop)) -> None:  # noqa: S311
        self._randrange = randrange
        self._last = 0
        self._lock = Lock()

    def next(self, now: datetime) -> str:
        """A new id, greater than every one made before."""
        fresh = round(now.timestamp() * 1000) * _RANDOM_RANGE + self._randrange(_RANDOM_RANGE)
        with self._lock:
            # Within one millisecond, and after the server's clock stepped back, the next one follows the last.
            self._last = fresh if fresh > self._last else self._last + 1
            return str(self._last)
