"""How an attempt ends.

Authors say it by returning a value, or by raising (or, from a `batch=True` handler, returning) `Reject` or
`RetryLater`. Inside, an ended attempt is one frozen `Outcome`: the verb that settles it and what to write with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

DEFER_EXPIRES_SECONDS = 7 * 24 * 3600.0


class Reject(Exception):
    """The handler's own final no: the transaction ends `rejected`, with the reason, and is not tried again."""

    def __init__(self, reason: str) -> None:
        self.reason = str(reason)
        super().__init__(self.reason)


class RetryLater(Exception):
    """Not now: try again after a while. No attempt is charged; after `expires_after_seconds` of this it ends `dead`."""

    def __init__(
        self, reason: str = "", *, after_seconds: float, expires_after_seconds: float = DEFER_EXPIRES_SECONDS
    ) -> None:
        self.reason = str(reason)
        self.after_seconds = float(after_seconds)
        self.expires_after_seconds = float(expires_after_seconds)
        if not 0 <= self.after_seconds < float("inf"):
            raise ValueError(f"after_seconds must be a finite number, 0 or more, not {after_seconds!r}")
        super().__init__(self.reason or f"retry after {after_seconds} s")


class Verb(StrEnum):
    """What settles an attempt."""

    COMPLETE = "complete"
    REJECT = "reject"
    RETRY = "retry"
    BURY = "bury"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One decided end of an attempt.

    Attributes:
        result: the handler's JSON value, for `complete`.
        error: `{type, message, traceback?}` for the other verbs.
        due_at: when to try again, for `retry`.
        charged: whether the attempt counts against `max_attempts`.
        deferred_since: since when the handler has been asking for later (`RetryLater`), else none.
        follow_ups: transactions to enqueue in the very write that settles a completion.
    """

    verb: Verb
    result: Any = None
    error: Mapping[str, str] | None = None
    due_at: datetime | None = None
    charged: bool = True
    deferred_since: datetime | None = None
    follow_ups: tuple[Any, ...] = ()
