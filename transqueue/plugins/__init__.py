"""Find, load and isolate plugins; the table from type to handler."""

from .commands import plugin_cli
from .find import Found, installed
from .judge import judge_plugins
from .load import Plugin, load_one
from .table import HandlerTable, PluginState, load_plugins

__all__ = [
    "Found",
    "HandlerTable",
    "Plugin",
    "PluginState",
    "installed",
    "judge_plugins",
    "load_one",
    "load_plugins",
    "plugin_cli",
]
