"""`transqueue webhook`: which URLs are disabled, and enabling them again."""

from __future__ import annotations

from typing import Any

import click

from transqueue import hookimpl

from .handlers import ENDPOINTS


@hookimpl
def transqueue_cli() -> click.Group:
    """The commands, mounted as `transqueue webhook`."""
    return webhook


@click.group()
def webhook() -> None:
    """Look after webhooks."""


@webhook.command()
@click.pass_obj
def disabled(command: Any) -> None:
    """List the URLs that answered 410, and since when they are told nothing."""
    for row in command.database[ENDPOINTS].find().sort("disabled_at"):
        click.echo(f"{row['disabled_at']:%Y-%m-%d %H:%M}  {row['_id']}")


@webhook.command()
@click.argument("url")
@click.pass_obj
def enable(command: Any, url: str) -> None:
    """Tell a URL again of what ends from now on."""
    if command.database[ENDPOINTS].delete_one({"_id": url}).deleted_count:
        click.echo(f"{url} is enabled. What ended meanwhile is under: transqueue ls --type webhook.outcome")
    else:
        command.fail(f"{url} is not disabled.")
