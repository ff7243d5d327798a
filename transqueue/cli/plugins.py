"""`plugins`: which there are, how they are, and what to do about those that are not well."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import click

from ..admin.report import ProcessReport
from ..errors import TransQueueError
from ..plugins import PluginState
from ..plugins.probe import Probe
from ..submission import write_json
from .plugin_new import new
from .plugin_show import show
from .plugin_switch import disable, enable
from .screen import plain, print_table
from .setup import NO, Setup

COLOURS = {"ok": "green", "missing": "red", "broken": "red"}


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_context
def plugins(ctx: click.Context, *, as_json: bool) -> None:
    """List the plugins with their state and types."""
    if ctx.invoked_subcommand is None:
        _list(ctx.ensure_object(Setup), as_json=as_json)


plugins.add_command(show)


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def list_(setup: Setup, *, as_json: bool) -> None:
    """List the plugins with their state and types."""
    _list(setup, as_json=as_json)


for command in (new, enable, disable):
    plugins.add_command(command)


def _list(setup: Setup, *, as_json: bool) -> None:
    with Probe(setup.config) as probe:
        states = probe.states()
    reports, trouble = _reports(setup)
    if as_json:
        processes = None if reports is None else [dataclasses.asdict(report) for report in reports]
        click.echo(write_json({"plugins": [dataclasses.asdict(state) for state in states], "processes": processes}))
    else:
        _print(states)
        _print_processes(states, reports, trouble)
    told = [state.state for state in states]
    told += [plugin["state"] for report in reports or () for plugin in report.plugins.values()]
    if "broken" in told or "missing" in told:
        raise SystemExit(NO)


def _reports(setup: Setup) -> tuple[Sequence[ProcessReport] | None, str]:
    """What the processes that run tell of their plugins; none, and why, when that cannot be asked."""
    try:
        return setup.queue.catalog.reports(), ""
    except TransQueueError as error:
        return None, str(error)


def _print_processes(states: Sequence[PluginState], reports: Sequence[ProcessReport] | None, trouble: str) -> None:
    """Which processes do not agree with what was found here."""
    if reports is None:
        click.echo(plain(f"The processes that run were not asked: {trouble}"), err=True)
        return
    here = {state.name: state.state for state in states}
    for report in reports:
        for name, told in report.plugins.items():
            if told["state"] != here.get(name):
                where = f"{report.role} process {report.pid} on {report.host}"
                why = f": {told['phase']}: {told['reason']}. {told['cure']}" if told["reason"] else ""
                click.echo(plain(f"{name}: {told['state']} in the {where}{why}"), err=True)


def _print(states: Sequence[PluginState]) -> None:
    print_table(("plugin", "state", "distribution", "types"), map(_row, states), COLOURS)
    for state in states:
        for warning in state.warnings:
            click.echo(plain(f"{state.name}: {warning}"), err=True)
        if state.reason:
            click.echo(plain(f"{state.name}: {state.phase}: {state.reason}. {state.cure}"), err=True)


def _row(state: PluginState) -> tuple[str, ...]:
    return state.name, state.state, f"{state.distribution} {state.version}".strip(), ", ".join(state.types)
