"""The list of transactions: filters in the address, and pages that neither lose nor repeat a row."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from ..admin.cause import CAUSE_LENGTH
from ..admin.filter import Filter
from ..transaction import State
from . import query
from .query import Arguments
from .window import Window

AGES = {"15min": 900, "1h": 3600, "24h": 86_400, "7d": 7 * 86_400}
NAMES = ("state", "type", "plugin", "key", "submitter", "cause", "age", "since", "until")


def transactions(window: Window, arguments: Arguments, now: datetime) -> dict[str, Any]:
    """One page of the list."""
    filter, limit = filter_of(arguments, now), query.limit(arguments)
    after = query.cursor(arguments)
    page = window.queue.listing.page(filter, after=after, limit=limit)
    kept = {name: arguments[name] for name in NAMES if arguments.get(name)}
    depths = window.shared.look("depths", window.queue.measures.depths)
    counts = {
        state: sum(getattr(depth, state) for depth in depths.types.values()) for state in ("queued", "running", "dead")
    }
    return {
        "rows": page.transactions,
        "next": page.next,
        "after": after,
        "filter": filter,
        "kept": kept,
        "counts": counts,
        "states": list(State),
        "ages": AGES,
        "types": sorted(set(window.table.types()) | set(depths.types)),
        "limit": limit,
    }


def filter_of(arguments: Arguments, now: datetime) -> Filter:
    """What an address asks for."""
    state = query.choice(arguments, "state", list(State), "")
    age = AGES.get(arguments.get("age", ""))
    since = query.moment(arguments, "since")
    return Filter(
        state=State(state) if state else None,
        type=query.type_name(arguments),
        plugin=query.text(arguments, "plugin"),
        ordering_key=query.text(arguments, "key"),
        submitter=query.text(arguments, "submitter"),
        cause=query.text(arguments, "cause", CAUSE_LENGTH),
        since=since or (now - timedelta(seconds=age) if age else None),
        until=query.moment(arguments, "until"),
    )
