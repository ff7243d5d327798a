"""A plugin's own commands: only that plugin is loaded for them."""

from __future__ import annotations

import click

from ..config import Config, did_you_mean
from ..errors import PluginBroken
from .find import installed
from .isolation import isolated
from .load import open_one

PHASE = "cli"


def plugin_cli(config: Config, name: str) -> click.Group:
    """The click group of an enabled plugin.

    Raises:
        PluginBroken: it is not enabled, cannot be used, or has no commands.
    """
    if name not in config.plugins or not config.plugins[name].enabled:
        reason = f"no plugin {name!r} is enabled{did_you_mean(name, config.plugins)}"
        raise PluginBroken(name, PHASE, reason, f"Enable it in config.yaml: plugins: {{{name}: {{enabled: true}}}}")
    plugin = open_one(name, config, available=installed())
    with isolated(name, PHASE, "Report it to the plugin's author"):
        groups = plugin.call("transqueue_cli", config=plugin.config)
    if not groups:
        raise PluginBroken(name, PHASE, "it has no commands", "See its README for what it does")
    if not isinstance(groups[0], click.Group):
        raise PluginBroken(name, PHASE, "transqueue_cli must return a click.Group", "Report it to the plugin's author")
    return groups[0]
