"""Load what config.yaml enables, one plugin after the other: one that fails costs the others nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import pluggy

from ..config import Config
from ..errors import PluginBroken
from . import claims, find, hooks, transaction_module
from .find import Found
from .isolation import unsurvived
from .load import Plugin, load_one

Before = Callable[[str, str], None]  # told of each plugin, and the phase, before its code is run


def nothing(_plugin: str, _phase: str) -> None:
    """Nobody wants to know."""


def enabled(config: Config) -> Sequence[str]:
    """The names of the enabled plugins, in the configuration's order, `transaction_module` last."""
    names = [name for name, plugin in config.plugins.items() if plugin.enabled]
    if config.transaction_module and transaction_module.NAME not in names:
        names.append(transaction_module.NAME)
    return [name for name in names if name not in config.left_out]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What became of the enabled plugins: those that passed, in the configuration's order, and the others by name.

    Attributes:
        declared: the types of those that broke after their import, as they mark them.
    """

    available: Mapping[str, Found]
    plugins: Sequence[Plugin]
    broken: Mapping[str, PluginBroken]
    declared: Mapping[str, Collection[str]]
    hooks: pluggy.PluginManager


def load_enabled(config: Config, available: Mapping[str, Found] | None = None, before: Before = nothing) -> Loaded:
    """Load every enabled plugin, and `transaction_module`, each by itself. `available`: else those installed."""
    manager, available = hooks.new_hooks(), find.installed() if available is None else available
    plugins, broken, declared = list[Plugin](), dict[str, PluginBroken](), dict[str, Collection[str]]()
    for name in enabled(config):
        before(name, "import")
        try:
            _refuse_unusable(name, config)
            if name == transaction_module.NAME:
                plugins.append(transaction_module.load_transaction_module(config, manager))
            else:
                plugins.append(load_one(name, config, manager=manager, available=available))
        except PluginBroken as error:
            broken[name] = error.shown(config.masked)
            if name in available:
                declared[name] = claims.declared(available[name], available)
    return Loaded(available=available, plugins=plugins, broken=broken, declared=declared, hooks=manager)


def _refuse_unusable(name: str, config: Config) -> None:
    if name in config.unusable:
        phase, reason = config.unusable[name].phase, config.unusable[name].reason
        if name == transaction_module.NAME:
            raise PluginBroken(name, phase, reason, transaction_module.CURE)
        raise unsurvived(name, phase, reason)
