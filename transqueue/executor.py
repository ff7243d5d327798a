"""Runs one attempt: validate, run, decide; or one attempt of a group, for handlers that take many at once.

Whatever a handler raises becomes the outcome of its own attempt. Before each run the shared marker says what is running
and until when it may, so that whoever survives knows what to charge.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from .attempt import completed, decide, loaded
from .clock import Clock
from .facts import present
from .handlers import Context, Handler
from .outcome import Outcome, Reject, RetryLater, Verb
from .process.lifeline import boot_time
from .process.marker import Marker
from .queue import Effects, Settlement
from .transaction import Transaction

Ran = Callable[[str, float], None]  # told of each call of a handler: the type, and the seconds it took
NewTransaction = Callable[[str, Mapping[str, Any], Mapping[str, Any]], Transaction]


@dataclass(frozen=True, slots=True)
class Bound:
    """A handler ready to be called in this process: its plugin's configuration, its class form made."""

    handler: Handler
    call: Callable[..., Any]
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Company:
    """The transactions in flight beside whatever else is run: their ids, and the nearest deadline with its limit."""

    ids: tuple[str, ...] = ()
    deadline: float = float("inf")
    timeout_seconds: float = 0.0


class SessionEnded(Exception):
    """The database ended this attempt's session, because of an error of PyMongo that the handler caught."""


class Executor:
    """Executes attempts in one worker process, one at a time."""

    def __init__(
        self,
        *,
        clock: Clock,
        marker: Marker,
        new_transaction: NewTransaction,
        ran: Ran = lambda _type, _seconds: None,
        monotonic: Callable[[], float] = time.monotonic,
        boot_time: Callable[[], float] = boot_time,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._clock, self._marker, self._new, self._ran = clock, marker, new_transaction, ran
        self._monotonic, self._boot_time, self._random = monotonic, boot_time, random
        self._company, self._pid = Company(), os.getpid()

    def attempt(self, bound: Bound, transaction: Transaction, effects: Effects | None = None) -> Settlement:
        """Run the handler once.

        Raises:
            Exception: the database asks to run the whole session again (`Effects.is_conflict`).
        """
        self.mark([transaction], bound.handler.timeout_seconds)
        return self.run(bound, transaction, effects)

    def run(self, bound: Bound, transaction: Transaction, effects: Effects | None = None) -> Settlement:
        """As `attempt`, for one that is marked already; safe in any thread.

        Raises:
            Exception: as `attempt`.
        """
        context = self._context(bound, [transaction], effects)
        try:
            value = self._timed(transaction.type, bound, loaded(transaction, bound.handler), context)
            _refuse_ended(effects)
            outcome = completed(value, _following(context.follow_ups, transaction))
        except BaseException as error:
            _raise_conflict(error, effects)
            outcome = self.decide(error, transaction, bound.handler)
        return Settlement(transaction, outcome)

    def attempt_group(
        self, bound: Bound, members: Sequence[Transaction], effects: Effects | None = None
    ) -> list[Settlement]:
        """Run a `batch=True` handler once for all members; if it raises, the attempt of each has failed.

        Raises:
            Exception: as `attempt`.
        """
        self.mark(members, bound.handler.timeout_seconds)
        context = self._context(bound, members, effects)
        try:
            given = [loaded(member, bound.handler) for member in members]
            entries = self._timed(members[0].type, bound, given, context)
            _refuse_ended(effects)
            outcomes = self._outcomes(list(entries), members, bound.handler)
            outcomes = _with_follow_ups(outcomes, context.follow_ups, members)
        except BaseException as error:
            _raise_conflict(error, effects)
            outcomes = [self.decide(error, member, bound.handler) for member in members]
        return [Settlement(*pair) for pair in zip(members, outcomes, strict=True)]

    def decide(self, error: BaseException, transaction: Transaction, handler: Handler) -> Outcome:
        """The outcome of an attempt that ended with `error`."""
        return decide(error, transaction, handler, now=self._clock.now(), random=self._random)

    def mark(self, members: Sequence[Transaction], seconds: float = float("inf")) -> None:
        """Whoever dies from now on dies of this transaction, or of a group that must be told apart."""
        self._mark(tuple([member.id for member in members]), self._boot_time() + seconds, seconds)

    def unmark(self) -> None:
        """Nothing is running, but for what is in flight."""
        self._mark((), float("inf"), 0.0)

    def accompany(self, company: Company) -> None:
        """These, and no others, are in flight from now on, whatever else is run."""
        self._company = company
        self.unmark()

    def _mark(self, ids: tuple[str, ...], deadline: float, seconds: float) -> None:
        ids += self._company.ids
        if self._company.deadline < deadline:
            deadline, seconds = self._company.deadline, self._company.timeout_seconds
        if not ids:
            self._marker.idle()
        elif len(ids) == 1:
            self._marker.running(ids[0], deadline=deadline, timeout_seconds=seconds)
        else:
            self._marker.group(deadline=deadline, timeout_seconds=seconds)

    def _timed(self, type: str, bound: Bound, given: Any, context: Context) -> Any:
        """Call the handler; what anybody logs meanwhile has the transaction's facts on its line."""
        began, before = time.perf_counter(), present.set(context.facts)
        try:
            return bound.call(given, context)
        finally:
            if os.getpid() != self._pid:
                os._exit(0)  # the handler forked, and this is the child: it must not go on as a second worker
            present.reset(before)
            self._ran(type, time.perf_counter() - began)

    def _outcomes(self, entries: list[Any], members: Sequence[Transaction], handler: Handler) -> list[Outcome]:
        if len(entries) != len(members):
            raise TypeError(f"a batch handler returns one entry each: {len(entries)} came for {len(members)}")
        return [
            self.decide(entry, member, handler) if isinstance(entry, Reject | RetryLater) else completed(entry)
            for entry, member in zip(entries, members, strict=True)
        ]

    def _context(self, bound: Bound, members: Sequence[Transaction], effects: Effects | None) -> Context:
        return Context(
            config=bound.config,
            facts=partial(_told, members),
            deadline=self._monotonic() + bound.handler.timeout_seconds,
            _db=effects.db if effects else None,
            _new=self._new,
        )


def _told(members: Sequence[Transaction]) -> dict[str, Any]:
    """What is on each line that is logged of an attempt."""
    if len(members) > 1:
        return {"transaction": [member.id for member in members], "type": members[0].type}
    one = members[0]
    told = {"transaction": one.id, "type": one.type, "attempt": one.attempt}
    return told | ({"request_id": one.request_id} if one.request_id else {})


def is_completion(settlement: Settlement) -> bool:
    """Whether the handler returned, rather than raised."""
    return settlement.outcome.verb is Verb.COMPLETE


def _following(follow_ups: tuple[Transaction, ...], transaction: Transaction) -> tuple[Transaction, ...]:
    """What follows from one: of the same trace, and of the same request."""
    trace, request = transaction.traceparent, transaction.request_id
    return tuple(replace(one, parent=transaction.id, traceparent=trace, request_id=request) for one in follow_ups)


def _with_follow_ups(
    outcomes: list[Outcome], follow_ups: tuple[Transaction, ...], members: Sequence[Transaction]
) -> list[Outcome]:
    """A group's follow-ups are written with its first completion, and follow from that one."""
    first = next((at for at, outcome in enumerate(outcomes) if outcome.verb is Verb.COMPLETE), None)
    if first is None or not follow_ups:
        return outcomes
    following = tuple(replace(one, parent=members[first].id) for one in follow_ups)
    return [replace(one, follow_ups=following) if at == first else one for at, one in enumerate(outcomes)]


def _refuse_ended(effects: Effects | None) -> None:
    if effects and effects.broken:
        raise SessionEnded((SessionEnded.__doc__ or "").strip())


def _raise_conflict(error: BaseException, effects: Effects | None) -> None:
    if effects and effects.is_conflict(error):
        raise error
