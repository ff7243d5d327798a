"""Admission: from a well-formed envelope to the transaction that is enqueued.

The handler's schema only judges: what is stored is the JSON that was sent. Schemas and ordering keys are a plugin's
code, so whatever they raise is told as that plugin's trouble, and refuses this submission alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from marshmallow import ValidationError

from ..access import Access
from ..clock import Clock, whole_milliseconds
from ..config.nearest import nearest
from ..errors import SubmissionRefused, where
from ..events import Events
from ..handlers import Handler
from ..schema_load import load
from ..transaction import Idempotency, OnEnd, Stamp, Transaction, TransactionIds, free_lane, keyed_lane
from .envelope import DELAY_LIMIT_SECONDS, Envelope, Options, invalid_data, read_envelope
from .idempotency import body_hash
from .strict_json import copied, read_json, write_json
from .table import Table
from .vetting import asked, read_options, unavailable

ORDERING_KEY_LENGTH = 256
EVERYTHING = Access.local()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who submits, and in what request."""

    access: Access = EVERYTHING
    request_id: str | None = None
    traceparent: str | None = None


class Admission:
    """Judges envelopes against the table of types and makes their transactions. Safe for use by many threads."""

    def __init__(
        self, *, table: Table, default_type: str, clock: Clock, events: Events, ids: TransactionIds | None = None
    ) -> None:
        self._table, self._default_type, self._clock, self._events = table, default_type, clock, events
        self._ids = ids or TransactionIds()

    def admit(self, envelope: Envelope, *, key: str | None = None, access: Access = EVERYTHING) -> Transaction:
        """The transaction of one envelope, as `Hearing.admit` promises."""
        return self.hearing(Sender(access=access)).admit(envelope, key=key)

    def hearing(self, sender: Sender) -> Hearing:
        """What judges all that comes in one request, by one time and one look at the table."""
        return Hearing(self._table, self._default_type, self._events, self._ids, sender, self._clock.now())


class Hearing:
    """Judges the envelopes of one request. What is the same for all of one type is found out once. For one thread."""

    def __init__(
        self, table: Table, default_type: str, events: Events, ids: TransactionIds, sender: Sender, now: datetime
    ) -> None:
        self._table, self._default_type, self._events, self._ids = table, default_type, events, ids
        self._sender, self._now, self._vetters = sender, now, table.vetters()
        self._known: dict[str | None, tuple[Handler, Transaction]] = {}

    def admit(self, envelope: Envelope, *, key: str | None = None) -> Transaction:
        """The transaction of one envelope. Its own idempotency key goes before `key`.

        Raises:
            SubmissionRefused: 400 `unknown_type`, `invalid_data` or `refused`, 403 `type_not_allowed`, or 503
                `handler_unavailable`.
        """
        handler, blank = self._known.get(envelope.type) or self._look_up(envelope.type)
        options = read_options(self._vetters, envelope.options)
        self._check_data(handler, envelope)
        ordering_key = self._ordering_key(handler, envelope)
        new = self._filled(blank, envelope, ordering_key, envelope.idempotency_key or key)
        on_end = asked(self._vetters, new, options, self._prepare, self._events)
        return replace(new, on_end=on_end) if on_end else new

    def _look_up(self, given: str | None) -> tuple[Handler, Transaction]:
        """The handler of a type, and what is the same in all its transactions of this request."""
        type = self._default_type if given is None else given
        if not self._sender.access.may_submit(type):
            raise _not_allowed(type)
        handler = self._handler(type, classic=given is None)
        self._known[given] = handler, self._blank(type, handler)
        return self._known[given]

    def _prepare(self, type: str, data: Any) -> OnEnd:
        """What a plugin wants enqueued at an end, read and judged as strictly as if it came through the door now."""
        sent = read_envelope(read_json(write_json({"type": type, "data": data}, strict=True).encode()))
        handler = self._handler(type, classic=False)
        self._check_data(handler, sent)
        return OnEnd(
            type=type,
            data=sent.data,
            max_attempts=handler.max_attempts,
            ordering_key=self._ordering_key(handler, sent),
            after_dead=handler.after_dead,
            plugin=Stamp(handler.plugin, handler.version, handler.fingerprint),
        )

    def _handler(self, type: str, *, classic: bool) -> Handler:
        handler = None if type.endswith("*") else self._table.resolve(type)
        if handler is not None:
            return handler
        reason = self._table.parked(type)
        if reason is None and not classic:
            raise _unknown_type(type, self._table)
        raise _unavailable(type, reason or "no enabled plugin claims it")

    def _check_data(self, handler: Handler, envelope: Envelope) -> None:
        if handler.schema is None:
            return
        try:
            load(handler.schema, lambda: copied(envelope.data))
        except ValidationError as error:
            raise invalid_data(error.messages, "" if envelope.classic else "data.") from None
        except (Exception, SystemExit) as error:
            raise self._failed(handler, "schema", error) from error

    def _ordering_key(self, handler: Handler, envelope: Envelope) -> str | None:
        if handler.ordering_key is None:
            return None
        _check_unordered_options(envelope.options)
        key = self._ordering_value(handler, envelope.data)
        if not isinstance(key, str) or not 1 <= len(key) <= ORDERING_KEY_LENGTH:
            raise _no_ordering_key(handler, envelope)
        return key

    def _ordering_value(self, handler: Handler, data: dict[str, Any]) -> Any:
        if isinstance(handler.ordering_key, str):
            return _at_path(data, handler.ordering_key)
        try:
            return handler.ordering_key(copied(data)) if handler.ordering_key else None
        except (LookupError, TypeError, ValueError):  # the data has not what the function looks for
            return None
        except (Exception, SystemExit) as error:
            raise self._failed(handler, "ordering_key", error) from error

    def _failed(self, handler: Handler, part: str, error: BaseException) -> SubmissionRefused:
        self._events.emit("handler.failed", type=handler.type, plugin=handler.plugin, part=part, error=where(error))
        return _unavailable(handler.type, f"the {part} of plugin {handler.plugin!r} failed")

    def _blank(self, type: str, handler: Handler) -> Transaction:
        return Transaction(
            id="",
            type=type,
            data=None,
            created_at=self._now,
            due_at=self._now,
            max_attempts=handler.max_attempts,
            after_dead=handler.after_dead,
            submitter=self._sender.access.submitter,
            plugin=Stamp(handler.plugin, handler.version, handler.fingerprint),
            traceparent=self._sender.traceparent,
            request_id=self._sender.request_id,
        )

    def _filled(self, blank: Transaction, envelope: Envelope, ordering_key: str | None, key: str | None) -> Transaction:
        due_at, id = _due_at(envelope.options, self._now), self._ids.next(self._now)
        plugin = blank.plugin.name if blank.plugin else ""
        return blank.altered(
            id=id,
            data=envelope.data,
            due_at=due_at,
            priority=envelope.options.priority or 0,
            ordering_key=ordering_key,
            lane=free_lane(id) if ordering_key is None else keyed_lane(plugin, ordering_key),
            idempotency=_idempotency(envelope, key),
        )


def _due_at(options: Options, now: datetime) -> datetime:
    if options.delay_seconds is not None:
        return whole_milliseconds(now + timedelta(seconds=float(options.delay_seconds)))
    if options.run_at is None or options.run_at <= now:
        return now
    if options.run_at - now > timedelta(seconds=DELAY_LIMIT_SECONDS):
        raise invalid_data({"options": {"run_at": ["Must be at most 10 years ahead."]}})
    return whole_milliseconds(options.run_at.astimezone(UTC))


def _idempotency(envelope: Envelope, key: str | None) -> Idempotency | None:
    return Idempotency(key, body_hash(envelope.type, envelope.data, envelope.options.sent)) if key else None


def _check_unordered_options(options: Options) -> None:
    given = [name for name in ("delay_seconds", "run_at", "priority") if name in options.sent]
    if given:
        taken = "Transactions with an ordering key are processed in the order accepted."
        raise invalid_data({"options": {name: [taken] for name in given}})


def _no_ordering_key(handler: Handler, envelope: Envelope) -> SubmissionRefused:
    path = handler.ordering_key if isinstance(handler.ordering_key, str) else "_schema"
    message = f"Must be the ordering key: a text of 1 to {ORDERING_KEY_LENGTH} characters."
    return invalid_data({path: [message]}, "" if envelope.classic else "data.")


def _at_path(data: Any, path: str) -> Any:
    for name in path.split("."):
        if not isinstance(data, dict) or name not in data:
            return None
        data = data[name]
    return data


def _unknown_type(type: str, table: Table) -> SubmissionRefused:
    names = nearest(type, table.types(), 3)
    cure = f"Did you mean {' or '.join(map(repr, names))}?" if names else "GET /api/types lists what there is."
    message = f"No enabled plugin claims the type {type!r}. {cure}"
    return SubmissionRefused(400, "unknown_type", message, errors={"type": ["Unknown type."]})


def _not_allowed(type: str) -> SubmissionRefused:
    return SubmissionRefused(403, "type_not_allowed", f"This key may not submit transactions of type {type!r}.")


def _unavailable(type: str, reason: str) -> SubmissionRefused:
    return unavailable(f"Transactions of type {type!r} are not accepted now: {reason}.")
