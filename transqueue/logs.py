"""Logs listen to events: one line per event, with its fixed name and its facts, on stderr.

On a terminal they are coloured for people; elsewhere they are JSON, one object a line. What a plugin logs by `logging`
comes out the same way.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from .events import Event, Listener

# Events that somebody should look at; everything else is told at its quieter level.
WARNINGS = frozenset(
    {
        "door.died",
        "keeper.failed",
        "lease.lost",
        "mongod.died",
        "mongod.not_started",
        "plugin.broken",
        "plugin.missing",
        "queue.unavailable",
        "request.failed",
        "transaction.buried",
        "transactions.rescued",
        "worker.boot_failed",
        "worker.died",
        "worker.lapsed",
        "worker.timed_out",
        "worker.track_lost",
    }
)
QUIET = frozenset({"transactions.completed", "transaction.accepted"})


def configure(*, as_json: bool | None = None, level: str = "INFO") -> None:
    """Set logging up for this process."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    json = not sys.stderr.isatty() if as_json is None else as_json
    renderer: Any = structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.getLogger("pymongo").setLevel(logging.WARNING)


def listener(**facts: Any) -> Listener:
    """What logs events of this process, with these facts on every line (its role, say)."""
    log = structlog.get_logger("transqueue").bind(**facts)

    def write(event: Event) -> None:
        known = {name: value for name, value in event.facts.items() if value is not None}
        if event.name in WARNINGS:
            log.warning(event.name, **known)
        elif event.name in QUIET:
            log.debug(event.name, **known)
        else:
            log.info(event.name, **known)

    return write
