"""`api` and `work`: one part of TransQueue in the foreground, for hosts that share a database."""

from __future__ import annotations

import signal

import click

from .. import logs
from ..access import require_keys
from ..config import Config
from ..errors import PluginBroken
from ..events import Events
from ..plugins.probe import Probe
from ..process.signals import ReloadFlag, StopFlag
from ..supervisor import Supervisor
from .housekeeping import housekeeping
from .judging import Ruling
from .presence import Presence
from .reloader import Reloader
from .setup import Setup, api_url, log_options


@click.command()
@log_options
@click.pass_obj
def api(setup: Setup) -> None:
    """Serve the API of this host, until Ctrl-C."""
    from ..api.boot import LeftOut  # noqa: PLC0415
    from ..api.loading import Loader, Loading  # noqa: PLC0415  (only this command serves)
    from ..api.server import check_free, serve  # noqa: PLC0415
    from .renewals import OwnRenewals  # noqa: PLC0415

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it is served
    config, uri, log_json = setup.config, setup.uri, logs.in_json(setup.config.logs.format)
    logs.configure(as_json=log_json, level=config.logs.level.upper(), secrets=config.secrets)
    events = Events(logs.listener(role="api"))
    check_free(config.api.host, config.api.port)
    with Probe(config) as probe:
        queue = setup.queue  # refusals come from here, with their exit codes
        require_keys(queue.api_keys, config.api.host, loopback=config.api.loopback)
        states = probe.states()
    config = probe.config
    click.echo(f"API on {api_url(config)}/api/data/, database {config.mongodb.database}; Ctrl-C ends it")

    left_out = LeftOut(events)

    def loading(config: Config) -> Loader:
        return Loading(left_out.usable(config), uri, log_json)

    with Presence(queue, "api", config, events=events) as presence:
        renewals = OwnRenewals(Ruling(config, states), loading=loading, events=events, tell=presence.tell)
        presence.asked = renewals.ask
        while True:
            try:
                serve(config.api, loading(config), renewals, events=events)
                break
            except PluginBroken as stuck:
                left_out.blame(stuck)
    queue.close()


@click.command()
@log_options
@click.pass_obj
def work(setup: Setup) -> None:
    """Run the workers of this host, until Ctrl-C."""
    stop, reload, log_json = StopFlag(), ReloadFlag(), logs.in_json(setup.config.logs.format)
    config, uri = setup.config, setup.uri
    logs.configure(as_json=log_json, level=config.logs.level.upper(), secrets=config.secrets)
    events = Events(logs.listener(role="supervisor"))
    with Probe(config) as probe:
        queue = setup.queue
        states = probe.states()
    config = probe.config
    supervisor = Supervisor(config, uri, queue, events=events, log_json=log_json)
    click.echo(
        f"{config.workers.processes} workers, database {config.mongodb.database}; Ctrl-C ends them in good order"
    )
    with Presence(queue, "work", config, events=events) as presence:
        reloader = Reloader(
            supervisor, Ruling(config, states), flag=reload, wake=stop.wake, events=events, tell=presence.tell
        )
        presence.asked = reloader.ask
        with housekeeping(queue, lambda: reloader.config, events):
            supervisor.run(stop, beside=[reloader])
    queue.close()
