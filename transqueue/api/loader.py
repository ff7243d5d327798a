"""What a process that answers requests makes for itself after it was spawned: logs, database, plugins, routes."""

from __future__ import annotations

import atexit

from flask import Flask

from .. import logs
from ..access import Guard, Keyring, Strangers, require_keys
from ..admin.measures import FLUSH_SECONDS
from ..config import Config
from ..events import Events
from ..mongodb import connect
from ..plugins import load_plugins
from ..plugins.enabled import Before, nothing
from ..plugins.reporting import Reporting
from ..ticker import Ticker
from .app import create_app
from .loading import BROKEN
from .overload import Overload
from .window import window

PORTS = 2**16  # more than there are on a host


def load_app(config: Config, uri: str, *, log_json: bool, number: int = 0, before: Before = nothing) -> Flask:
    """The application of this process, on the database at `uri`: of those of its door, the one with this number.

    Raises:
        TransQueueError: it cannot be served, and why.
    """
    logs.configure(as_json=log_json, level=config.logs.level.upper(), secrets=config.secrets)
    events = Events(logs.listener(role="api"))
    queue = connect(uri, config.mongodb.database)
    require_keys(queue.api_keys, config.api.host, loopback=config.api.loopback)
    table = load_plugins(config, events=events, known_types=queue.catalog.known_types(), before=before)
    table.startup("api", before)
    before("", "")
    queue.catalog.remember(table.working_types())
    atexit.register(table.shutdown, "api")
    atexit.register(Reporting(table, queue.catalog, "api", number * PORTS + config.api.port, events).close)
    measures = queue.measures
    measures.keep_days = config.retention.measures_days
    overload = Overload(measures, queue.clock, config.api.max_queued)
    turns = (measures.flush, measures.refresh_depths, overload.look)
    ticker = Ticker("measures", FLUSH_SECONDS, *turns, events=events).start()
    atexit.register(ticker.close)
    strangers = Strangers(events, queue.audit, processes=config.api.processes)
    guard = Guard(Keyring(queue.api_keys, queue.clock), strangers, loopback=config.api.loopback)
    app = create_app(
        queue=queue,
        table=table,
        config=config,
        clock=queue.clock,
        events=events,
        guard=guard,
        overload=overload,
        reports=queue.catalog.reports,
        parts=queue.parts.here,
        dashboard=window(queue, table, config, events, guard, overload),
    )
    app.config[BROKEN] = {state.name: state.reason for state in table.failures()}
    return app
