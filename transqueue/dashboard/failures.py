"""What died, by what it died of, and giving a cause's dead more attempts: first a preview, then the word."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from ..admin.cause import CAUSE_LENGTH, parts_of
from ..mongodb.failures import CAUSES, COUNTED, REDRIVEN
from . import query
from .query import Arguments
from .window import Window

RECENT = timedelta(hours=1)
CONFIRMED_FROM = 100  # from so many on, the number must be typed
PACES = {"1": 1, "10": 10, "100": 100, "all": 0}  # per second; 0: all at once


def failures(window: Window, arguments: Arguments, now: datetime) -> dict[str, Any]:  # noqa: ARG001
    """The causes, those with the latest deaths first."""
    groups = window.shared.look("causes", lambda: window.queue.failures.groups(recent=RECENT))
    return {
        "groups": [(group, parts_of(group.cause)) for group in groups],
        "counted": COUNTED,
        "most": CAUSES,
        "is_cut": len(groups) == CAUSES,
    }


def preview(window: Window, arguments: Arguments, now: datetime) -> dict[str, Any]:
    """What a redrive of one cause would move: exactly those that had died when this was asked."""
    cause = query.text(arguments, "cause", CAUSE_LENGTH) or ""
    count = window.queue.failures.count(cause, until=now) if cause else 0
    type = parts_of(cause)[0]
    handler = window.table.resolve(type)
    return {
        "cause": cause,
        "parts": parts_of(cause),
        "count": count,
        "is_cut": count == REDRIVEN,
        "until": now,
        "attempts": handler.max_attempts if handler else 0,
        "parked": handler is None,
        "must_confirm": count >= CONFIRMED_FROM,
        "paces": PACES,
    }
