"""Load one plugin: find, import, hold to its hooks, check its configuration, collect its handlers.

Each step may fail for its own reason and names its own cure; nothing of a plugin that failed stays registered. A
process of its own can call `load_one` with nothing but a name and the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import reduce
from importlib import import_module
from types import ModuleType
from typing import Any

import pluggy
from marshmallow import Schema

from ..config import Config
from ..handlers import Handler
from ..submission import OWN_OPTIONS
from . import claims, find, hooks, overrides, section
from .api_version import refuse_other_api
from .examples import refuse_wrong_examples
from .find import Found
from .isolation import isolated, switch_off
from .secrets import secrets_in

OPTIONS_HOOK = "transqueue_options_schema"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """A plugin that passed: its checked configuration, its handlers by the type that each claims, its own options.

    `secrets` are texts of its configuration that are never shown; `warnings` say what it uses that will go.
    """

    found: Found
    config: Mapping[str, Any]
    handlers: Mapping[str, Handler] = field(default_factory=dict)
    options: Schema | None = None
    parts: tuple[object, ...]
    hooks: pluggy.PluginManager
    secrets: tuple[str, ...] = field(default=(), repr=False)
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.found.name

    def implements(self, hook: str) -> bool:
        """Whether it has an implementation of a hook."""
        return any(hooks.implements(self.hooks, part, hook) for part in self.parts)

    def implemented(self) -> list[str]:
        """The hooks that its module implements."""
        return sorted(caller.name for caller in self.hooks.get_hookcallers(self.parts[0]) or ())

    def call(self, hook: str, **arguments: Any) -> list[Any]:
        """This plugin's answers to a hook; what it raises is raised."""
        return self.caller(hook)(**arguments)

    def caller(self, hook: str) -> Callable[..., list[Any]]:
        """What does as `call`, again and again. To be made when all plugins are loaded."""
        return hooks.caller(self.hooks, self.parts, hook)

    def drop(self) -> None:
        """Take it out of the hooks; it may be out already."""
        for part in self.parts:
            if self.hooks.is_registered(part):
                self.hooks.unregister(part)


def load_one(
    name: str,
    config: Config,
    *,
    manager: pluggy.PluginManager | None = None,
    available: Mapping[str, Found] | None = None,
) -> Plugin:
    """Load one plugin whole. Its name need not be in the configuration.

    Raises:
        PluginBroken: it cannot be used, with the phase, the reason and the cure.
    """
    available = find.installed() if available is None else available
    with ExitStack() as undo:
        plugin = open_one(name, config, manager=manager, available=available)
        undo.callback(plugin.drop)
        with isolated(name, claims.PHASE, _report(plugin.found), plugin.secrets):
            marked = claims.marked_handlers(_module(plugin), plugin.found, available)
            plugin = _answering(plugin, marked)
            undo.callback(plugin.drop)
            handlers = claims.claimed(plugin.found, _returned(plugin), marked)
        plugin = replace(plugin, handlers=_overridden(name, config, handlers), options=_options(plugin))
        undo.pop_all()
        return plugin


def open_one(
    name: str,
    config: Config,
    *,
    manager: pluggy.PluginManager | None = None,
    available: Mapping[str, Found] | None = None,
) -> Plugin:
    """Load one plugin without asking for its handlers: enough for its commands.

    Raises:
        PluginBroken: as `load_one`.
    """
    plugin = _opened(name, manager or hooks.new_hooks(), available)
    try:
        schema = _schema(plugin)
        config_of = section.checked_section(config, name, schema)
        secrets = secrets_in(schema, section.section(config, name).config) if schema else ()
        return replace(plugin, config=config_of, secrets=secrets)
    except BaseException:
        plugin.drop()
        raise


def open_schema(name: str) -> Schema | None:
    """The schema of one plugin's section, whatever is in the section.

    Raises:
        PluginBroken: it cannot be imported, or what it answers with is no schema.
    """
    return _schema(_opened(name, hooks.new_hooks(), None))


def _opened(name: str, manager: pluggy.PluginManager, available: Mapping[str, Found] | None) -> Plugin:
    found = find.find(name, find.installed() if available is None else available)
    refuse_other_api(found)
    module = _imported(found)
    warned = hooks.register(manager, name, module)
    return Plugin(found=found, config={}, parts=(module,), hooks=manager, warnings=warned)


def _imported(found: Found) -> ModuleType:
    cure = f"Correct or reinstall {found.source}, or switch it off: {switch_off(found.name)}"
    with isolated(found.name, "import", cure):
        module = reduce(getattr, found.attributes, import_module(found.module))
        if not isinstance(module, ModuleType):
            raise TypeError(f"its entry point {found.value!r} must name a module")
        return module


def _schema(plugin: Plugin) -> Schema | None:
    with isolated(plugin.name, section.PHASE, _report(plugin.found)):
        schemas = plugin.call(section.HOOK)
        return section.schema_of(schemas[0], section.HOOK) if schemas else None


def _module(plugin: Plugin) -> ModuleType:
    module = plugin.parts[0]
    assert isinstance(module, ModuleType)
    return module


def _answering(plugin: Plugin, marked: tuple[Handler, ...]) -> Plugin:
    """The plugin with an implementation of `transqueue_handlers`: its own, or one that returns what it marks."""
    if hooks.implements(plugin.hooks, _module(plugin), "transqueue_handlers"):
        return plugin
    part = claims.MarkedHandlers(marked)
    hooks.register(plugin.hooks, f"{plugin.name} @handler", part)
    return replace(plugin, parts=(*plugin.parts, part))


def _returned(plugin: Plugin) -> list[Any]:
    answers = plugin.call("transqueue_handlers", config=plugin.config)
    if len(answers) != 1:
        raise TypeError("transqueue_handlers must return the handlers, and returned nothing")
    return list(answers[0])


def _overridden(name: str, config: Config, handlers: Mapping[str, Handler]) -> Mapping[str, Handler]:
    changed, mistakes = overrides.overridden(name, handlers, section.section(config, name).handlers)
    section.refuse(config, name, mistakes)
    return changed


def _options(plugin: Plugin) -> Schema | None:
    with isolated(plugin.name, "options", _report(plugin.found), plugin.secrets):
        found = plugin.call(OPTIONS_HOOK, config=plugin.config)
        if found and plugin.name in OWN_OPTIONS:
            raise ValueError(f"options.{plugin.name} is TransQueue's own: give the entry point another name")
        schema = section.schema_of(found[0], OPTIONS_HOOK) if found else None
        refuse_wrong_examples(schema, f"options.{plugin.name}")
        return schema


def _report(found: Found) -> str:
    return f"Report it to the author of {found.source}, or switch it off: {switch_off(found.name)}"
