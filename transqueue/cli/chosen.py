"""Which transactions are meant: the options that `ls`, `retry` and `cancel` share, and those that match."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from ..admin.filter import Filter
from ..mongodb import MongoQueue
from ..transaction import State, Transaction

PAGE = 200
SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Moment(click.ParamType[datetime]):
    """A time: ISO 8601, UTC unless it says otherwise, or how long ago, such as 90s, 30m, 2h or 7d."""

    name = "time"

    def convert(self, value: Any, _param: click.Parameter | None, _ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        if span := SPAN.fullmatch(value):
            return datetime.now(UTC) - timedelta(seconds=float(span[1]) * SECONDS[span[2]])
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time: write 2026-01-31T12:00 (UTC), or how long ago: 90s, 30m, 2h, 7d.")
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_OPTIONS = (
    click.option("--state", type=click.Choice([str(state) for state in State]), help="Only those in this state."),
    click.option("--type", help="Only those of this type."),
    click.option("--plugin", help="Only those accepted for this plugin."),
    click.option("--submitter", help="Only those of this submitter."),
    click.option("--key", help="Only those of this ordering key."),
    click.option("--cause", help="Only dead ones of this cause, as `ls --state dead --json` has it."),
    click.option("--since", type=Moment(), help="Only those accepted since: a time, or 30m, 2h, 7d ago."),
    click.option("--until", type=Moment(), help="Only those accepted before: a time, or 30m, 2h, 7d ago."),
)


def filtered(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a filter."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def filter_of(given: dict[str, Any]) -> Filter:
    """Take the options of a filter out of a command's, and make it."""
    state = given.pop("state")
    return Filter(
        state=State(state) if state else None,
        type=given.pop("type"),
        plugin=given.pop("plugin"),
        submitter=given.pop("submitter"),
        ordering_key=given.pop("key"),
        cause=given.pop("cause"),
        since=given.pop("since"),
        until=given.pop("until"),
    )


def matching(queue: MongoQueue, filter: Filter, limit: int | None = None) -> Iterator[Transaction]:
    """Those that match, newest first, so many at most."""
    after: str | None = None
    left = limit
    while left is None or left > 0:
        page = queue.listing.page(filter, after=after, limit=PAGE if left is None else min(left, PAGE))
        yield from page.transactions
        left = None if left is None else left - len(page.transactions)
        after = page.next
        if after is None:
            return
