"""Logs listen to events: one line per event, with its fixed name and its facts, on stderr.

On a terminal they are coloured for people; elsewhere they are JSON, one object a line. What a plugin logs by `logging`
comes out the same way.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Collection, Iterator, MutableMapping
from typing import Any

import structlog

from .events import Event, Listener
from .facts import present

MASK = "***"

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
        "processes.left_behind",
        "queue.unavailable",
        "reload.refused",
        "request.failed",
        "ticker.failed",
        "transaction.buried",
        "transactions.rescued",
        "worker.boot_failed",
        "worker.died",
        "worker.lapsed",
        "worker.timed_out",
        "worker.too_big",
        "worker.track_lost",
    }
)
# What a handler says of a transaction may hold its data, which no log shows: it is on the transaction itself.
PRIVATE = frozenset({"message"})
QUIET = frozenset({"transactions.completed", "transaction.accepted"})


def in_json(format: str) -> bool:
    """Whether a format (`json`, `console`, or `auto`: console on a terminal) comes to JSON here."""
    return format == "json" or (format == "auto" and not sys.stderr.isatty())


def configure(*, as_json: bool | None = None, level: str = "INFO", secrets: Collection[str] = ()) -> None:
    """Set logging up for this process; `secrets` are masked in every line, whoever logs it."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _with_present,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    json_lines = in_json("auto") if as_json is None else as_json
    renderer: Any = structlog.processors.JSONRenderer() if json_lines else structlog.dev.ConsoleRenderer()
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
                _masking(secrets),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.getLogger("pymongo").setLevel(logging.WARNING)


def _with_present(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    facts = present.get()
    for name, value in facts().items() if facts else ():
        event.setdefault(name, value)
    return event


def _masking(secrets: Collection[str]) -> Callable[[Any, str, Any], str]:
    """The last step of a line: no secret is in it, whoever wrote it, quotes and all."""
    hidden = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)

    def mask(_logger: Any, _name: str, line: Any) -> str:
        for secret in hidden:
            line = line.replace(secret, MASK)
        return str(line)

    return mask


def _forms(secret: str) -> Iterator[str]:
    """As it is, and as JSON and Python quote it."""
    yield from (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1])


def listener(**facts: Any) -> Listener:
    """What logs events of this process, with these facts on every line (its role, say)."""
    log = structlog.get_logger("transqueue").bind(**facts)

    def write(event: Event) -> None:
        private = PRIVATE if event.name.startswith("transaction.") else ()
        known = {name: value for name, value in event.facts.items() if value is not None and name not in private}
        if event.name in WARNINGS:
            log.warning(event.name, **known)
        elif event.name in QUIET:
            log.debug(event.name, **known)
        else:
            log.info(event.name, **known)

    return write
