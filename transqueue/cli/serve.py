"""`api` and `work`: one part of TransQueue in the foreground, for hosts that share a database."""

from __future__ import annotations

import sys
from functools import partial

import click

from .. import logs
from ..events import Events
from ..signals import StopFlag
from ..supervisor import Supervisor
from .probe import Probe
from .setup import Setup


@click.command()
@click.pass_obj
def api(setup: Setup) -> None:
    """Serve the API of this host, until Ctrl-C."""
    from ..api.loader import load_app  # noqa: PLC0415  (only this command needs Flask)
    from ..api.server import serve  # noqa: PLC0415

    config, uri, log_json = setup.config, setup.uri, not sys.stderr.isatty()
    Probe(config).states()
    click.echo(f"API on http://{config.api.host}:{config.api.port}, database {config.mongodb.database}")
    serve(config.api.host, config.api.port, config.api.threads, partial(load_app, config, uri, log_json=log_json))


@click.command()
@click.pass_obj
def work(setup: Setup) -> None:
    """Run the workers of this host, until Ctrl-C."""
    stop, log_json = StopFlag(), not sys.stderr.isatty()
    config, uri = setup.config, setup.uri
    logs.configure(as_json=log_json)
    events = Events(logs.listener(role="supervisor"))
    Probe(config).states()
    supervisor = Supervisor(config, uri, setup.queue, events=events, log_json=log_json)
    click.echo(
        f"{config.workers.processes} workers, database {config.mongodb.database}; Ctrl-C ends them in good order"
    )
    supervisor.run(stop)
