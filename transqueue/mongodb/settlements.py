"""Settling: attempts end, behind the fence, alone or together with what their handlers wrote.

Each write matches the fence of `leases`, so a worker that lost a transaction changes nothing. Ended documents keep the
token in `ended_by`: when an answer was lost, reading the ids back tells mine from lost. In a session the fence is the
last write, never only a read: a snapshot read could be overtaken by a rescue and commit all the same (write skew).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import bson
from pymongo import UpdateMany
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from ..admin.cause import cause_of
from ..errors import QueueUnavailable, TrackLost
from ..order import leaves_key
from ..outcome import Verb
from ..queue import Perform, Settlement
from ..transaction import HISTORY_KEPT, State
from .connection import CALL_SECONDS, Connection, answering, may_be_committed
from .documents import Document, encode, stored
from .endings import enqueue_at_end
from .leases import held, lease_of
from .session import SessionEffects, kept

Likeness = tuple[object, ...]

ENDS = {Verb.COMPLETE: State.DONE, Verb.REJECT: State.REJECTED, Verb.BURY: State.DEAD, Verb.RETRY: State.QUEUED}


class Settlements:
    """Settles what one worker process leased."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._q, self._clock = connection.q, connection.clock

    def settle(self, settlements: Sequence[Settlement]) -> frozenset[str]:
        """As `TransactionQueue.settle` promises."""
        enqueuing = [one for one in settlements if _enqueues(one)]
        plain = [one for one in settlements if not _enqueues(one)] if enqueuing else settlements
        lost = self._connection.insist(lambda: self._write(plain)) if plain else frozenset[str]()
        return lost | self._settle_with_follow_ups(enqueuing) if enqueuing else lost

    def _settle_with_follow_ups(self, settlements: Sequence[Settlement]) -> frozenset[str]:
        left = list(settlements)
        while left:
            unheld = self._connection.insist(lambda: self.settle_in_session(lambda _: left, CALL_SECONDS))  # noqa: B023
            left = [one for one in left if one.transaction.id not in unheld] if unheld else []
        return self._connection.insist(lambda: self._not_mine(settlements))

    def _write(self, settlements: Sequence[Settlement]) -> frozenset[str]:
        """Settle outside a session: one update for equal outcomes, one command for the others. The ids lost."""
        matched = self._write_groups(settlements, None)
        if matched == len(settlements):
            return frozenset()
        return self._not_mine(settlements)

    def _write_groups(self, settlements: Sequence[Settlement], session: ClientSession | None) -> int:
        now = self._clock.now()
        groups: dict[Likeness, list[Settlement]] = defaultdict(list)
        for one in settlements:
            groups[_likeness(one)].append(one)
        updates = [self._update(group, now) for group in groups.values()]
        if len(updates) == 1:
            return self._q.update_many(*updates[0], session=session).matched_count
        many = [UpdateMany(filter, update) for filter, update in updates]
        return self._q.bulk_write(many, ordered=session is not None, session=session).matched_count

    def _update(self, group: Sequence[Settlement], now: datetime) -> tuple[Document, Document]:
        token = lease_of(group[0].transaction).token
        return held([one.transaction.id for one in group], token), _transition(group[0], now)

    def _not_mine(self, settlements: Sequence[Settlement]) -> frozenset[str]:
        """Those that are not as this lease's settlement leaves them: they are somebody else's."""
        token = lease_of(settlements[0].transaction).token
        ids = [one.transaction.id for one in settlements]
        # A retry leaves no `ended_by`: its token stays in the history.
        look = {"ended_by": 1, "history": {"$slice": -1}}
        rows = self._q.find({"_id": {"$in": ids}}, look)
        return frozenset(ids) - {row["_id"] for row in rows if _is_left_by(token, row)}

    # Settling together with effects

    def settle_in_session(self, perform: Perform, timeout_seconds: float) -> frozenset[str]:
        """As `TransactionQueue.settle_in_session` promises."""
        run = _Run(self, perform)
        try:
            self._connection.transact(run, timeout_seconds=timeout_seconds)
        except _Nothing:
            return frozenset()
        except _Unheld as unheld:
            return self._not_held(unheld.settlements)
        except PyMongoError as error:
            return self._after(error, run.settlements)
        return frozenset()

    def perform_once(self, session: ClientSession, perform: Perform) -> Sequence[Settlement]:
        """One run of the session: the effects, the follow-ups, and as the last write the fence."""
        watch = self._connection.watch
        watch.reset()
        with session.bind(end_session=False), kept(session):
            settlements = perform(SessionEffects(self._connection.in_session, watch, session))
        if not settlements:
            raise _Nothing
        if self._write_groups(settlements, session) != len(settlements):
            raise _Unheld(settlements)
        follow_ups = [encode(new) for one in settlements for new in one.outcome.follow_ups]
        if follow_ups:
            self._q.insert_many(follow_ups, session=session)
            self._connection.follows.note(follow_ups, session)
        enqueue_at_end(self._connection, [one.transaction.id for one in settlements if _ends_with_more(one)], session)
        return settlements

    def _not_held(self, settlements: Sequence[Settlement]) -> frozenset[str]:
        """After nothing was written: which of them this lease does not hold any more.

        Asked in a session of its own: outside, a majority read may lag behind what the discarded session saw.
        """
        ids = [one.transaction.id for one in settlements]
        fence = held(ids, lease_of(settlements[0].transaction).token)
        with answering("read leases back"):
            rows = self._connection.transact(
                lambda session: list(self._q.find(fence, {"_id": 1}, session=session)), timeout_seconds=CALL_SECONDS
            )
        return frozenset(ids) - {row["_id"] for row in rows}

    def _after(self, error: PyMongoError, settlements: Sequence[Settlement]) -> frozenset[str]:
        """What an error of the session means: nothing committed, all committed, or unknown."""
        if not may_be_committed(error):
            raise QueueUnavailable(f"the session was not committed: {error}") from error
        if settlements and not self._connection.insist(lambda: self._not_mine(settlements)):
            return frozenset()
        raise TrackLost(f"unknown whether the session was committed: {error}") from error


class _Nothing(Exception):
    """There is nothing to commit."""


class _Unheld(Exception):
    """The session's settlement of these matched nothing; everything is discarded."""

    def __init__(self, settlements: Sequence[Settlement]) -> None:
        self.settlements = settlements
        super().__init__()


class _Run:
    """The callback of `with_transaction`: it may be called several times; the last run's settlements are kept."""

    def __init__(self, settling: Settlements, perform: Perform) -> None:
        self._settling, self._perform = settling, perform
        self.settlements: Sequence[Settlement] = ()

    def __call__(self, session: ClientSession) -> None:
        self.settlements = self._settling.perform_once(session, self._perform)


def _transition(one: Settlement, now: datetime) -> Document:
    """The update that settles a transaction with its outcome, the same for every one of a likeness."""
    transaction, outcome = one.transaction, one.outcome
    lease, state = lease_of(transaction), ENDS[one.outcome.verb]
    entry: Document = {"at": now, "state": str(state), "attempt": transaction.attempt, "worker": lease.worker}
    if lease.at:
        entry["leased_at"] = lease.at
    if outcome.error:
        entry["error"] = {"type": outcome.error["type"], "message": outcome.error["message"]}
    if state is State.QUEUED:
        ending: Document = {"due_at": outcome.due_at}
        entry["lease"] = lease.token
    else:
        ending = {"finished_at": now, "ended_by": lease.token}
    if state is State.DEAD:
        ending["cause"] = cause_of(transaction.type, outcome.error)
    gone: Document = {"lease": 1, "alone": 1} | ({"ordered": 1} if leaves_key(state, transaction.after_dead) else {})
    _put(ending, gone, "result", stored(outcome.result))
    _put(ending, gone, "error", outcome.error)
    _put(ending, gone, "deferred_since", outcome.deferred_since)
    return {
        "$set": {"state": str(state), **ending},
        "$unset": gone,
        "$inc": {"attempts": int(outcome.charged)},
        "$push": {"history": {"$each": [entry], "$slice": -HISTORY_KEPT}},
    }


def _enqueues(one: Settlement) -> bool:
    """Whether settling it stores new transactions, which takes a session."""
    return bool(one.outcome.follow_ups) or _ends_with_more(one)


def _ends_with_more(one: Settlement) -> bool:
    return bool(one.transaction.on_end) and one.outcome.verb is not Verb.RETRY


def _is_left_by(token: str, row: Document) -> bool:
    last = row["history"][-1] if row["history"] else {}
    return row.get("ended_by") == token or last.get("lease") == token


def _put(fields: Document, gone: Document, name: str, value: Any) -> None:
    if value is None:
        gone[name] = 1
    else:
        fields[name] = value


def _likeness(one: Settlement) -> Likeness:
    """Equal for settlements that one update can write."""
    outcome, transaction = one.outcome, one.transaction
    said = None
    if outcome.result is not None or outcome.error:
        said = bson.encode({"result": stored(outcome.result), "error": outcome.error})
    return (
        outcome.verb,
        outcome.charged,
        outcome.due_at,
        outcome.deferred_since,
        transaction.attempt,
        transaction.after_dead,
        transaction.type if outcome.verb is Verb.BURY else "",
        said,
    )
