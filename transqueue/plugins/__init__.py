"""Find, load and isolate plugins; the table from type to handler."""

from .commands import plugin_cli
from .described import Described, Setting, described
from .find import Found, installed
from .health import Health, examined
from .judge import judge_plugins
from .load import Plugin, load_one
from .reporting import Reporting
from .table import HandlerTable, PluginState, load_plugins

__all__ = [
    "Described",
    "Found",
    "HandlerTable",
    "Health",
    "Plugin",
    "PluginState",
    "Reporting",
    "Setting",
    "described",
    "examined",
    "installed",
    "judge_plugins",
    "load_one",
    "load_plugins",
    "plugin_cli",
]
