"""`plugins show NAME`: every option of one plugin, its default, its help, its value, and where that comes from."""

from __future__ import annotations

import dataclasses

import click

from ..errors import PluginBroken
from ..plugins.described import Described, Setting, described
from ..plugins.probe import look_apart
from ..submission import write_json
from .screen import plain, print_table
from .setup import NO, Setup, fail

HELP_SHOWN = 70


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def show(setup: Setup, name: str, *, as_json: bool) -> None:
    """Show every option of a plugin: default, help, value, and where the value comes from. Secrets are masked."""
    try:
        found: Described = look_apart(name, described, name, setup.config)
    except PluginBroken as error:
        fail(str(error), NO)
    if as_json:
        click.echo(write_json(dataclasses.asdict(found)))
    else:
        _print(found)
    raise SystemExit(NO if found.broken else 0)


def _print(found: Described) -> None:
    enabled = "enabled" if found.enabled else "not enabled"
    click.echo(plain(f"{found.name}: {found.distribution} {found.version}, {enabled}"))
    click.echo(plain(f"types: {', '.join(found.types) or 'none'}"))
    if found.broken:
        click.echo(plain(f"broken: {found.broken}. {found.cure}"), err=True)
    if found.settings:
        rows = [_row(one) for one in found.settings]
        print_table((f"under plugins.{found.name}", "value", "from", "default", "help"), rows)
    else:
        click.echo("It has no options.")


def _row(one: Setting) -> tuple[str, ...]:
    default = "required" if one.required else _shown(one.default)
    words = f"{one.kind}{': ' if one.help else ''}{one.help}"
    return one.path, _shown(one.value), one.source, "" if one.kind == "override" else default, words[:HELP_SHOWN]


def _shown(value: object) -> str:
    return value if isinstance(value, str) else write_json(value)
