"""One attempt, judged: data loaded by the handler's schema, and what it returned or raised turned into an outcome.

Pure: no clock, no database, no process. What a handler may return is checked as strictly as what a submitter may send,
because it is stored and given back as JSON.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from json import dumps, loads  # taken now: a plugin may replace them
from typing import Any

from .backoff import backoff_seconds
from .handlers import Handler
from .outcome import Outcome, Reject, RetryLater, Verb
from .schema_load import load
from .transaction import Transaction

RESULT_BYTES = 16 * 1024
RESULT_LEVELS = 100  # MongoDB keeps 180, with those of the document around it
MESSAGE_CHARACTERS = 2_000
TRACEBACK_CHARACTERS = 8_000
INT64 = range(-(2**63), 2**63)
COMPLETED = Outcome(verb=Verb.COMPLETE)  # without a result: most are


class ResultRefused(Exception):
    """A handler's result cannot be kept as JSON."""


def loaded(transaction: Transaction, handler: Handler) -> Transaction:
    """A copy whose data is what the handler's schema makes of it, fresh for each run of the handler.

    Raises:
        marshmallow.ValidationError: the schema refuses the data (it changed since the transaction was accepted).
    """
    fresh = partial(_copied, transaction.data)  # a schema may change what it is given, and be asked again
    return transaction.with_data(load(handler.schema, fresh) if handler.schema else fresh())


def _copied(value: Any) -> Any:
    """A copy of a JSON value, whose numbers and texts never change."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def completed(value: Any, follow_ups: tuple[Transaction, ...] = ()) -> Outcome:
    """The outcome of a handler that returned `value`.

    Raises:
        ResultRefused: it is not JSON, too big, or nested too deeply.
    """
    if value is None and not follow_ups:
        return COMPLETED
    return Outcome(verb=Verb.COMPLETE, result=None if value is None else _as_json(value), follow_ups=follow_ups)


def decide(
    error: BaseException, transaction: Transaction, handler: Handler, *, now: datetime, random: Callable[[], float]
) -> Outcome:
    """The outcome of a handler that raised `error`, whatever that is."""
    try:
        if isinstance(error, Reject):
            return Outcome(verb=Verb.REJECT, error={"type": "Reject", "message": _message(error.reason)})
        if isinstance(error, RetryLater):
            return _later(error, transaction, now)
    except Exception as broken:  # a subclass without what its class promises, a time beyond the calendar
        error = broken
    told = told_error(error)
    if transaction.attempt >= transaction.max_attempts:
        return Outcome(verb=Verb.BURY, error=told)
    wait = backoff_seconds(transaction.attempt, *handler.backoff_seconds, random)
    return Outcome(verb=Verb.RETRY, error=told, due_at=now + timedelta(seconds=wait))


def told_error(error: BaseException) -> Mapping[str, str]:
    """An exception as it is stored: type, message, and the end of the traceback, all bounded."""
    trace = "".join(traceback.format_exception(error))
    return {
        "type": type(error).__name__,
        "message": _message(error),
        "traceback": _plain(trace)[-TRACEBACK_CHARACTERS:],
    }


def _later(error: RetryLater, transaction: Transaction, now: datetime) -> Outcome:
    since = transaction.deferred_since or now
    told = {"type": "RetryLater", "message": _message(error.reason)}
    if (now - since).total_seconds() >= error.expires_after_seconds:
        return Outcome(verb=Verb.BURY, error=told, charged=False)
    due_at = now + timedelta(seconds=min(error.after_seconds, error.expires_after_seconds))
    return Outcome(verb=Verb.RETRY, error=told, due_at=due_at, charged=False, deferred_since=since)


def _as_json(value: Any) -> Any:
    """The value after a round trip through JSON, as a submitter will see it."""
    try:
        text = dumps(value, allow_nan=False, ensure_ascii=False)
        size = len(text.encode())
        back = loads(text, parse_int=_int64, object_pairs_hook=_object)
        levels = _levels(back)
    except (TypeError, ValueError, RecursionError) as error:
        raise ResultRefused(f"the handler's result is not JSON: {error}") from error
    if size > RESULT_BYTES:
        raise ResultRefused(f"the handler's result is {size} bytes of JSON; at most {RESULT_BYTES} are kept")
    if levels > RESULT_LEVELS:
        raise ResultRefused(
            f"the handler's result is nested {levels} levels deep; at most {RESULT_LEVELS} levels are kept"
        )
    return back


def _int64(digits: str) -> int:
    number = int(digits)
    if number not in INT64:
        raise ValueError(f"{digits[:30]} does not fit 64 bits")
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for name, _ in pairs:
        if "\0" in name or name.startswith("$"):
            raise ValueError(f"the key {name!r} cannot be stored")
    return dict(pairs)


def _levels(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(_levels, value.values() if isinstance(value, dict) else value), default=0)


def _message(said: object) -> str:
    try:
        return _plain(str(said))[:MESSAGE_CHARACTERS]
    except Exception:  # an exception of an author's may fail to say anything
        return ""


def _plain(text: str) -> str:
    """Text that can be stored and logged: lone surrogates replaced."""
    return text.encode("utf-8", "replace").decode()
