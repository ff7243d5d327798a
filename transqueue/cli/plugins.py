"""`plugins`: which there are, how they are, and what to do about those that are not well."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table

from ..plugins import PluginState
from .probe import Probe
from .setup import Setup

_COLOURS = {"ok": "green", "disabled": "dim", "missing": "red", "broken": "red"}


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_context
def plugins(ctx: click.Context, *, as_json: bool) -> None:
    """List the plugins with their state and types."""
    if ctx.invoked_subcommand is None:
        _list(ctx.ensure_object(Setup), as_json=as_json)


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def list_(setup: Setup, *, as_json: bool) -> None:
    """List the plugins with their state and types."""
    _list(setup, as_json=as_json)


def _list(setup: Setup, *, as_json: bool) -> None:
    states = Probe(setup.config).states()
    if as_json:
        click.echo(json.dumps({"plugins": [dataclasses.asdict(state) for state in states]}))
    else:
        _print(states)
    if any(state.state in ("broken", "missing") for state in states):
        raise SystemExit(1)


def _print(states: Sequence[PluginState]) -> None:
    table = Table("plugin", "state", "types", "distribution", box=None, pad_edge=False)
    for state in states:
        colour = _COLOURS[state.state]
        table.add_row(
            state.name,
            f"[{colour}]{state.state}[/]",
            ", ".join(state.types),
            f"{state.distribution} {state.version}".strip(),
        )
    Console(soft_wrap=True).print(table)
    for state in states:
        if state.reason:
            click.echo(f"{state.name}: {state.phase}: {state.reason}. {state.cure}", err=True)
