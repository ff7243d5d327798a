"""`up`: everything on this machine, in the foreground, until Ctrl-C.

The private mongod, the door and the workers are children of this process and die with it, whatever ends it. Stopping in
good order closes the door first, then lets the workers drain, then stops the database.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import click

from .. import logs
from ..access import require_keys
from ..api.server import check_free
from ..config import Config
from ..errors import MongodNotStarted
from ..events import Events
from ..mongodb import connect
from ..mongodb.embedded import PrivateMongod
from ..plugins.probe import Probe
from ..process.lifeline import boot_time
from ..process.signals import ReloadFlag, StopFlag
from ..supervisor import Neighbour, Supervisor
from .credential import api_key, key_file
from .door import Door
from .greeting import Greeting
from .housekeeping import housekeeping
from .judging import Ruling
from .presence import Presence
from .reloader import Reloader
from .setup import Setup, log_options

AGAIN_SECONDS = 2.0


@click.command()
@key_file
@log_options
@click.pass_obj
def up(setup: Setup, key_file: Path | None) -> None:
    """Run everything on this machine: MongoDB if mongodb.uri is empty, the API, and the workers."""
    config, stop, reload, key = setup.config, StopFlag(), ReloadFlag(), api_key(key_file)
    log_json = logs.in_json(config.logs.format)
    # On a terminal what `up` itself says is not to be lost between lines that nobody needs.
    level = "WARNING" if config.logs.level == "info" and sys.stderr.isatty() else config.logs.level.upper()
    logs.configure(as_json=log_json, level=level, secrets=config.secrets)
    events = Events(logs.listener(role="supervisor"))
    click.echo(f"Starting TransQueue with {setup.path} ...")
    with Probe(config) as probe, _database(config, events) as (uri, beside):
        check_free(config.api.host, config.api.port)
        queue = connect(uri, config.mongodb.database)
        require_keys(queue.api_keys, config.api.host, loopback=config.api.loopback)
        states = probe.states()
        config = probe.config
        greeting = Greeting(config, states, stop, key)
        door = Door(config, uri, events=events, log_json=log_json)
        supervisor = Supervisor(config, uri, queue, events=events, log_json=log_json, on_ready=greeting.start)
        with Presence(queue, "up", config, events=events) as presence:
            reloader = Reloader(
                supervisor,
                Ruling(config, states),
                flag=reload,
                wake=stop.wake,
                events=events,
                tell=presence.tell,
                door=door,
            )
            presence.asked = reloader.ask
            with housekeeping(queue, lambda: reloader.config, events):
                supervisor.run(stop, beside=[reloader, door, *beside])
        queue.close()
    click.echo("Stopped. Everything accepted is kept.")


@contextmanager
def _database(config: Config, events: Events) -> Generator[tuple[str, list[Neighbour]]]:
    """Where the database is; a private one is started, and stopped at the end."""
    if config.mongodb.uri:
        yield config.mongodb.uri, []
        return
    mongod = PrivateMongod(config.data_dir, events=events)
    try:
        yield mongod.start(), [_Mongod(mongod, events)]
    finally:
        mongod.stop()


class _Mongod:
    """Starts the private mongod again when it died; what it acknowledged it still has."""

    def __init__(self, mongod: PrivateMongod, events: Events) -> None:
        self._mongod, self._events = mongod, events
        self._not_before = 0.0

    def watch(self) -> None:
        """Start it again at once; when that fails, again a moment later."""
        if self._mongod.pid is not None or boot_time() < self._not_before:
            return
        self._events.emit("mongod.died")
        try:
            self._mongod.start()
        except MongodNotStarted as error:
            self._events.emit("mongod.not_started", message=str(error))
            self._not_before = boot_time() + AGAIN_SECONDS

    def close(self) -> None:
        """It is stopped last, when the workers have drained."""
