"""What each plugin has to say about submissions, from its hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..draft import Draft
from ..errors import PluginBroken
from ..submission import Vetter
from .load import Plugin

HOOK = "transqueue_before_enqueue"


def vetters_of(plugins: Iterable[Plugin], broken: Mapping[str, PluginBroken]) -> tuple[Vetter, ...]:
    """The vetters of the plugins that have one, in their order, and of those that might have one if they worked."""
    working = [Vetter(plugin=plugin.name, schema=plugin.options, before=_before(plugin)) for plugin in plugins]
    waiting = [Vetter(plugin=name, broken=error.reason) for name, error in broken.items()]
    return (*(vetter for vetter in working if vetter.schema or vetter.before), *waiting)


def _before(plugin: Plugin) -> Callable[[Draft, Mapping[str, Any] | None], object] | None:
    if not plugin.implements(HOOK):
        return None
    call = plugin.caller(HOOK)
    return lambda draft, options: call(transaction=draft, options=options, config=plugin.config)
