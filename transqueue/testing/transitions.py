"""The transitions of a transaction, as values: what each verb makes of it, whoever stores the copy.

Pure functions: the moment and the randomness are arguments. They write what `mongodb.MongoQueue` writes, field by
field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from ..backoff import backoff_seconds
from ..clock import whole_milliseconds
from ..outcome import Outcome, Verb
from ..transaction import HISTORY_KEPT, MAX_CRASHES, Lease, State, Transaction
from .json_values import copied

CRASH_BACKOFF_SECONDS = (2.0, 300.0)

STATE_AFTER: Mapping[Verb, State] = {
    Verb.COMPLETE: State.DONE,
    Verb.REJECT: State.REJECTED,
    Verb.RETRY: State.QUEUED,
    Verb.BURY: State.DEAD,
}


def accepted(given: Transaction) -> Transaction:
    """What is stored of a new transaction: nothing has happened to it yet, whatever the given one says."""
    return replace(
        given,
        data=copied(given.data),
        created_at=whole_milliseconds(given.created_at),
        due_at=whole_milliseconds(given.due_at),
        finished_at=None,
        lease=None,
        ended_by=None,
        alone=False,
        deferred_since=None,
        result=None,
        error=None,
        history=(),
        on_end=tuple(replace(one, data=copied(one.data)) for one in given.on_end),
    )


def leased(transaction: Transaction, lease: Lease) -> Transaction:
    """`queued` → `running`, held by `lease`."""
    return replace(transaction, state=State.RUNNING, lease=lease)


def released(transaction: Transaction, *, alone: bool = False) -> Transaction:
    """`running` → `queued`, unharmed and at its place; `alone` makes it run by itself next."""
    return replace(transaction, state=State.QUEUED, lease=None, alone=transaction.alone or alone)


def settled(transaction: Transaction, outcome: Outcome, now: datetime) -> Transaction:
    """What the end of its attempt makes of a running transaction."""
    settle = _put_off if outcome.verb is Verb.RETRY else _ended
    return replace(
        settle(transaction, outcome, now),
        state=STATE_AFTER[outcome.verb],
        lease=None,
        alone=False,
        attempts=transaction.attempts + outcome.charged,
        result=copied(outcome.result),
        error=copied(outcome.error),
        deferred_since=outcome.deferred_since,
    )


def crashed(transaction: Transaction, reason: str, now: datetime, random: Callable[[], float]) -> Transaction:
    """Charge a running transaction the attempt and the crash: `queued` after a backoff, or `dead`."""
    crashes, attempts = transaction.crashes + 1, transaction.attempts + 1
    error = {"type": "WorkerDied", "message": reason}
    spent = crashes >= MAX_CRASHES or attempts >= transaction.max_attempts
    state = State.DEAD if spent else State.QUEUED
    history = _with_attempt(transaction, state, now, error)
    charged = replace(
        transaction, state=state, lease=None, attempts=attempts, crashes=crashes, error=error, history=history
    )
    if spent:
        return replace(charged, finished_at=now)
    wait = timedelta(seconds=backoff_seconds(crashes, *CRASH_BACKOFF_SECONDS, random))
    return replace(charged, due_at=whole_milliseconds(now + wait))


def cancelled(transaction: Transaction, now: datetime) -> Transaction:
    """`queued` or `dead` → `cancelled`; a dead one keeps the time at which it ended."""
    finished_at = transaction.finished_at or now
    history = _with_move(transaction, State.CANCELLED, now)
    return replace(transaction, state=State.CANCELLED, finished_at=finished_at, history=history)


def redriven(transaction: Transaction, more_attempts: int, now: datetime) -> Transaction:
    """`dead` → `queued`, due now, with `more_attempts` more and its crashes forgiven."""
    return replace(
        transaction,
        state=State.QUEUED,
        due_at=now,
        max_attempts=transaction.attempts + more_attempts,
        crashes=0,
        finished_at=None,
        ended_by=None,
        deferred_since=None,
        history=_with_move(transaction, State.QUEUED, now),
    )


def _ended(transaction: Transaction, outcome: Outcome, now: datetime) -> Transaction:
    history = _with_attempt(transaction, STATE_AFTER[outcome.verb], now, outcome.error)
    return replace(transaction, finished_at=now, ended_by=_token(transaction), history=history)


def _put_off(transaction: Transaction, outcome: Outcome, now: datetime) -> Transaction:
    if outcome.due_at is None:
        raise ValueError("a retry must say when: its due_at is missing")
    # It leaves no `ended_by`, so its token stays in the history: a repeated settlement is known by it.
    history = _with_attempt(transaction, State.QUEUED, now, outcome.error, lease=_token(transaction))
    return replace(transaction, due_at=whole_milliseconds(outcome.due_at), history=history)


def _with_attempt(
    transaction: Transaction, state: State, now: datetime, error: Mapping[str, Any] | None, **facts: Any
) -> tuple[Mapping[str, Any], ...]:
    worker = transaction.lease.worker if transaction.lease else None
    entry = {"at": now, "state": str(state), "attempt": transaction.attempt, "worker": worker, **facts}
    if transaction.lease and transaction.lease.at:
        entry["leased_at"] = transaction.lease.at
    if error:
        entry["error"] = {"type": error["type"], "message": error["message"]}
    return (*transaction.history, entry)[-HISTORY_KEPT:]


def _with_move(transaction: Transaction, state: State, now: datetime) -> tuple[Mapping[str, Any], ...]:
    entry = {"at": now, "state": str(state), "attempt": transaction.attempts}
    return (*transaction.history, entry)[-HISTORY_KEPT:]


def _token(transaction: Transaction) -> str | None:
    return transaction.lease.token if transaction.lease else None
