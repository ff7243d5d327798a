"""`plugins`: which there are, how they are, and what to do about those that are not well."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import click

from ..plugins import PluginState
from .probe import Probe
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


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def list_(setup: Setup, *, as_json: bool) -> None:
    """List the plugins with their state and types."""
    _list(setup, as_json=as_json)


def _list(setup: Setup, *, as_json: bool) -> None:
    with Probe(setup.config) as probe:
        states = probe.states()
    if as_json:
        click.echo(json.dumps({"plugins": [dataclasses.asdict(state) for state in states]}))
    else:
        _print(states)
    if any(state.state in ("broken", "missing") for state in states):
        raise SystemExit(NO)


def _print(states: Sequence[PluginState]) -> None:
    print_table(("plugin", "state", "distribution", "types"), map(_row, states), COLOURS)
    for state in states:
        if state.reason:
            click.echo(plain(f"{state.name}: {state.phase}: {state.reason}. {state.cure}"), err=True)


def _row(state: PluginState) -> tuple[str, ...]:
    return state.name, state.state, f"{state.distribution} {state.version}".strip(), ", ".join(state.types)
