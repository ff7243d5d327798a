"""Find, load and isolate plugins; the table from type to handler.

Here is what every process needs that runs plugins; what commands ask besides is imported from its own file.
"""

from .find import Found, installed
from .load import Plugin, load_one
from .table import HandlerTable, PluginState, load_plugins

__all__ = [
    "Found",
    "HandlerTable",
    "Plugin",
    "PluginState",
    "installed",
    "load_one",
    "load_plugins",
]
