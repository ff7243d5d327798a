"""`api` and `work`: one part of TransQueue in the foreground, for hosts that share a database."""

from __future__ import annotations

import sys
from functools import partial

import click

from .. import logs
from ..access import require_keys
from ..events import Events
from ..signals import StopFlag
from ..supervisor import Supervisor
from .measuring import measuring
from .probe import Probe
from .setup import Setup, api_url


@click.command()
@click.pass_obj
def api(setup: Setup) -> None:
    """Serve the API of this host, until Ctrl-C."""
    from ..api.loader import load_app  # noqa: PLC0415  (only this command needs Flask)
    from ..api.server import check_free, serve  # noqa: PLC0415

    config, uri, log_json = setup.config, setup.uri, not sys.stderr.isatty()
    check_free(config.api.host, config.api.port)
    with Probe(config) as probe:
        require_keys(setup.queue.api_keys, config.api.host, loopback=config.api.loopback)
        setup.queue.close()  # it was well a moment ago: refusals come from here, with their exit codes
        probe.states()
    config = probe.config
    click.echo(f"API on {api_url(config)}/api/data/, database {config.mongodb.database}; Ctrl-C ends it")
    serve(config.api.host, config.api.port, config.api.threads, partial(load_app, config, uri, log_json=log_json))


@click.command()
@click.pass_obj
def work(setup: Setup) -> None:
    """Run the workers of this host, until Ctrl-C."""
    stop, log_json = StopFlag(), not sys.stderr.isatty()
    config, uri = setup.config, setup.uri
    logs.configure(as_json=log_json, secrets=config.secrets)
    events = Events(logs.listener(role="supervisor"))
    with Probe(config) as probe:
        queue = setup.queue
        probe.states()
    config = probe.config
    supervisor = Supervisor(config, uri, queue, events=events, log_json=log_json)
    click.echo(
        f"{config.workers.processes} workers, database {config.mongodb.database}; Ctrl-C ends them in good order"
    )
    with measuring(queue, events):
        supervisor.run(stop)
    queue.close()
