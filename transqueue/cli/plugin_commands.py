"""A plugin's own commands, mounted under its name; only that plugin is imported for them."""

from __future__ import annotations

from typing import NoReturn

import click

from ..plugins.commands import plugin_cli
from .setup import NO, Setup, fail


class PluginCommand:
    """What a plugin's command gets by `click.pass_obj`."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup

    @property
    def database(self) -> object:
        """PyMongo's database, reads and writes on a majority."""
        return self._setup.queue.database

    def fail(self, message: str) -> NoReturn:
        """The answer is no: say so and exit with 1."""
        fail(message, NO)


def group(setup: Setup, name: str) -> click.Command | None:
    """The commands of an enabled plugin; none when no plugin of that name is configured."""
    if name not in setup.config.plugins:
        return None
    made = plugin_cli(setup.config, name)
    made.context_settings = {**made.context_settings, "obj": PluginCommand(setup)}
    return made
