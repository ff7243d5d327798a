"""The table from type to handler of one process, and the state of each plugin behind it.

Each process builds its own from the frozen configuration; nothing of it crosses a process border. A plugin that breaks
while the process starts leaves the table: its types park, the others go on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from ..config import Config
from ..errors import PluginBroken
from ..events import Events
from ..handlers import Handler
from ..hookspecs import Role
from ..submission import Vetter
from . import routes, transaction_module
from .enabled import Before, Loaded, enabled, load_enabled, nothing
from .find import Found
from .isolation import is_strict, isolated, switch_off
from .load import Plugin
from .observers import Observer
from .routes import Claims, Parked
from .running import Call, Running
from .vetters import vetters_of

OBSERVER_SECONDS = 2.0  # for a plugin to hear, at the end, of what already happened


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginState:
    """How one plugin is in this process.

    Attributes:
        phase, reason, cure: for `broken` and `missing`: during what, why, and what to do; else empty.
        types: what it claims, or is known to claim.
        hooks: what it implements, when it works.
        warnings: what it uses of the plugin contract that will go.
    """

    name: str
    state: Literal["ok", "disabled", "missing", "broken"]
    phase: str = ""
    reason: str = ""
    cure: str = ""
    distribution: str = ""
    version: str = ""
    types: Sequence[str] = ()
    hooks: Sequence[str] = ()
    warnings: Sequence[str] = ()


def load_plugins(
    config: Config,
    *,
    events: Events,
    known_types: Mapping[str, Collection[str]] | None = None,
    available: Mapping[str, Found] | None = None,
    before: Before = nothing,
) -> HandlerTable:
    """Load the enabled plugins into a table. `known_types` is what each plugin claimed when it last worked.

    `available` stands in for the plugins that are installed. `before` is told of each plugin, and the phase,
    before its code is run.

    With TRANSQUEUE_STRICT=1 in the environment, a plugin that is broken or missing is raised.

    Raises:
        ClaimConflict: two plugins claim one type.
        ConfigInvalid: a route names a plugin that does not claim its type.
        PluginBroken: only when strict.
    """
    loaded = load_enabled(config, available, before)
    for error in loaded.broken.values():
        _tell(events, error)
        if is_strict():
            raise error
    for plugin in loaded.plugins:
        for warning in plugin.warnings:
            events.emit("plugin.deprecated", plugin=plugin.name, version=plugin.found.version, message=warning)
    known = routes.together(known_types or {}, loaded.declared)
    claims = routes.settle(config, loaded.plugins, loaded.broken, known)
    return HandlerTable(config, loaded, claims, events=events, known_types=known)


class HandlerTable:
    """From a transaction type to its handler, and the plugins that provide them."""

    def __init__(
        self,
        config: Config,
        loaded: Loaded,
        claims: Claims,
        *,
        events: Events,
        known_types: Mapping[str, Collection[str]],
    ) -> None:
        self._config, self._available, self._claims, self._events = config, loaded.available, claims, events
        self._plugins = {plugin.name: plugin for plugin in loaded.plugins}
        self._broken = dict(loaded.broken)
        self._failed: dict[str, PluginBroken] = {}
        self._known = known_types
        self._started: list[Plugin] = []
        self._observers: dict[str, Observer] = {}
        self._running = Running(loaded.hooks)
        self._vetters = vetters_of(loaded.plugins, loaded.broken)

    def resolve(self, type: str) -> Handler | None:
        """The working handler of a type: by its exact claim, else by the longest family."""
        claim = self._claims.of(type)
        return claim if isinstance(claim, Handler) else None

    def parked(self, type: str) -> str | None:
        """Why the type waits, when an enabled plugin that claims it is broken or missing."""
        claim = self._claims.of(type)
        return claim.reason if isinstance(claim, Parked) else None

    def types(self) -> Mapping[str, Handler]:
        """Every claim with a working handler; a family ends in `.*`."""
        return MappingProxyType(dict(self._claims.handlers))

    def vetters(self) -> Sequence[Vetter]:
        """What the plugins have to say about submissions, in the order in which they are asked."""
        return self._vetters

    def wrapped(self, handler: Handler, call: Call) -> Call:
        """What calls a handler inside the wrappers that plugins put around attempts."""
        return self._running.wrapped(handler, call)

    def config_of(self, plugin: str) -> Mapping[str, Any]:
        """A working plugin's own section, checked, with its defaults.

        Raises:
            KeyError: no such plugin works here.
        """
        return self._plugins[plugin].config

    def states(self) -> Sequence[PluginState]:
        """Every plugin that is enabled, in the configuration's order, and then every other one that is installed."""
        names = enabled(self._config)
        others = sorted((set(self._available) | set(self._config.plugins)) - set(names))
        return [*(self._state(name) for name in names), *(self._disabled(name) for name in others)]

    def working_types(self) -> Mapping[str, Sequence[str]]:
        """What each plugin that works here claims."""
        return {state.name: state.types for state in self.states() if state.state == "ok"}

    def learn(self, known_types: Mapping[str, Collection[str]]) -> None:
        """What plugins that are broken here have claimed elsewhere since: it parks, unless somebody claims it here."""
        for name, error in self._broken.items():
            self._claims = self._claims.parking(error, known_types.get(name, ()))
        self._known = routes.together(self._known, known_types)

    def failures(self) -> Sequence[PluginState]:
        """Those that are enabled, and broken or missing."""
        states = [self._state(name) for name in enabled(self._config)]
        return [state for state in states if state.state in ("broken", "missing")]

    def fail(self, plugin: str, type: str, reason: str) -> None:
        """The handler of a type cannot be made in this process: its plugin is broken here, and the type parks.

        Raises:
            PluginBroken: only when strict.
        """
        cure = f"Correct what it needs, or switch it off: {switch_off(plugin)}"
        self._failed[plugin] = PluginBroken(plugin, "handlers", f"{type!r}: {reason}", cure)
        if is_strict():
            raise self._failed[plugin]

    def startup(self, role: Role, before: Before = nothing) -> None:
        """Tell each plugin that this process has started; one that raises is broken here, and its types park.

        Raises:
            PluginBroken: only when strict.
        """
        for plugin in list(self._plugins.values()):
            if plugin.implements("transqueue_startup"):
                before(plugin.name, "startup")
            cure = f"Correct what it needs, or switch it off: {switch_off(plugin.name)}"
            try:
                with isolated(plugin.name, "startup", cure, plugin.secrets):
                    plugin.call("transqueue_startup", role=role, config=plugin.config)
                self._started.append(plugin)
                self._observe(plugin)
            except PluginBroken as error:
                self._break(plugin, error.shown(self._config.masked))
                if is_strict():
                    raise error.shown(self._config.masked) from None

    def shutdown(self, role: Role) -> None:
        """Tell each started plugin, the last one first, that this process ends; one that raises stops no other."""
        while self._started:
            plugin = self._started.pop()
            if observer := self._observers.pop(plugin.name, None):
                observer.close(OBSERVER_SECONDS)
            try:
                with isolated(plugin.name, "shutdown", "Report it to the plugin's author", plugin.secrets):
                    plugin.call("transqueue_shutdown", role=role, config=plugin.config)
            except PluginBroken as error:
                _tell(self._events, error)

    def _observe(self, plugin: Plugin) -> None:
        if plugin.implements("transqueue_event"):
            call = plugin.caller("transqueue_event")
            observer = Observer(plugin.name, lambda event: call(event=event, config=plugin.config), self._events)
            self._observers[plugin.name] = observer
            self._events.listen(observer)

    def _break(self, plugin: Plugin, error: PluginBroken) -> None:
        del self._plugins[plugin.name]
        plugin.drop()
        self._broken[plugin.name] = error
        self._known = {**self._known, plugin.name: tuple(plugin.handlers)}
        self._claims = self._claims.without(error)
        self._vetters = vetters_of(self._plugins.values(), self._broken)
        _tell(self._events, error)

    def _state(self, name: str) -> PluginState:
        found = self._available.get(name)
        source = {"distribution": found.distribution, "version": found.version} if found else {}
        if name in self._plugins and name not in self._failed:
            plugin = self._plugins[name]
            types, warned = sorted(plugin.handlers), list(plugin.warnings)
            return PluginState(
                name=name, state="ok", types=types, hooks=plugin.implemented(), warnings=warned, **source
            )
        error = self._failed.get(name) or self._broken[name]
        own = self._plugins[name].handlers if name in self._plugins else ()
        known = {*routes.claims_of_broken(self._config, [name], self._known)[name], *own}
        missing = found is None and name != transaction_module.NAME
        return PluginState(
            name=name,
            state="missing" if missing else "broken",
            phase=error.phase,
            reason=error.reason,
            cure=error.cure,
            types=sorted(known),
            **source,
        )

    def _disabled(self, name: str) -> PluginState:
        found = self._available.get(name)
        if found is None:
            return PluginState(name=name, state="disabled")
        return PluginState(name=name, state="disabled", distribution=found.distribution, version=found.version)


def _tell(events: Events, error: PluginBroken) -> None:
    events.emit("plugin.broken", plugin=error.name, phase=error.phase, reason=error.reason, cure=error.cure)
