"""What a supervisor's process does beside its workers: it measures, and keeps Q to its retention."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from ..admin.measures import FLUSH_SECONDS
from ..config import Config
from ..events import Events
from ..mongodb import MongoQueue
from ..ticker import Ticker
from .sweeper import Sweeper


@contextmanager
def housekeeping(queue: MongoQueue, config: Callable[[], Config], events: Events) -> Generator[None]:
    """Meanwhile count, write what was counted, and sweep; `config` gives the configuration in use."""
    measures = queue.measures
    measures.keep_days = config().retention.measures_days
    events.listen(measures.tally.heard)
    ticker = Ticker("measures", FLUSH_SECONDS, measures.flush, measures.refresh_depths, events=events).start()
    sweeper = Sweeper(queue, config, events=events)
    sweeper.start()
    try:
        yield
    finally:
        sweeper.close()
        ticker.close()
