"""What a supervisor's process measures: its workers' starts and deaths, leases that lapsed, and how much waits."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from ..events import Events
from ..measures import FLUSH_SECONDS
from ..mongodb import MongoQueue
from ..ticker import Ticker


@contextmanager
def measuring(queue: MongoQueue, events: Events) -> Generator[None]:
    """Count and write meanwhile, and once more at the end."""
    measures = queue.measures
    events.listen(measures.tally.heard)
    ticker = Ticker("measures", FLUSH_SECONDS, measures.flush, measures.refresh_depths, events=events).start()
    try:
        yield
    finally:
        ticker.close()
