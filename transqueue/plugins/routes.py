"""Who processes what: the claims of all plugins settled into one, by `routes:` where two claim one type.

A claim of a plugin that is broken or missing is kept, as parked: its type waits for it and never goes to another
plugin by chance. Two working plugins with one claim and no route are refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..config import Config, did_you_mean
from ..errors import ClaimConflict, ConfigInvalid, PluginBroken, Problem
from ..handlers import TYPE_LENGTH, TYPE_PATTERN, Handler
from . import transaction_module
from .isolation import switch_off
from .load import Plugin


@dataclass(frozen=True, slots=True)
class Parked:
    """A claim without a working handler: whose it is, and why it waits."""

    plugin: str
    reason: str


@dataclass(frozen=True, slots=True)
class Claims:
    """Each claimed type or family, with its handler or with why it is parked."""

    handlers: Mapping[str, Handler]
    parked: Mapping[str, Parked]

    def of(self, type: str) -> Handler | Parked | None:
        """The exact claim of a type, else that of the longest family it is in."""
        for claim in _matching(type) if _is_type(type) else ():
            if claim in self.parked:
                return self.parked[claim]
            if claim in self.handlers:
                return self.handlers[claim]
        return None

    def parking(self, broken: PluginBroken, claims: Collection[str]) -> Claims:
        """The claims with more of a broken plugin's own, where they are new and fall under none that is there."""
        there = {**self.handlers, **self.parked}
        new = [claim for claim in claims if not any(wider in there for wider in _matching(claim))]
        return Claims(self.handlers, {**self.parked, **dict.fromkeys(new, Parked(broken.name, str(broken)))})

    def without(self, broken: PluginBroken) -> Claims:
        """The claims after one plugin broke: its own are parked, and go to nobody else."""
        lost = {claim for claim, handler in self.handlers.items() if handler.plugin == broken.name}
        kept = {claim: handler for claim, handler in self.handlers.items() if claim not in lost}
        return Claims(kept, {**self.parked, **dict.fromkeys(lost, Parked(broken.name, str(broken)))})


def claims_of_broken(
    config: Config, broken: Collection[str], known: Mapping[str, Collection[str]]
) -> dict[str, set[str]]:
    """What plugins that did not load are known to claim: from before, by the admin's overrides, by routes."""
    claims = {name: set(known.get(name, ())) for name in broken}
    for name, types in claims.items():
        if name in config.plugins:
            types.update(config.plugins[name].handlers)
        types.update(type for type, plugin in routes_of(config).items() if plugin == name)
    return claims


def together(*known: Mapping[str, Collection[str]]) -> Mapping[str, Collection[str]]:
    """All that is known of what each plugin claims."""
    names = {name for one in known for name in one}
    return {name: {claim for one in known for claim in one.get(name, ())} for name in names}


def routes_of(config: Config) -> Mapping[str, str]:
    """`routes:`, with `transaction_module` as the entry for `default_type`."""
    module = {config.default_type: transaction_module.NAME} if config.transaction_module else {}
    return {**config.routes, **module}


def settle(
    config: Config,
    plugins: Sequence[Plugin],
    broken: Mapping[str, PluginBroken],
    known: Mapping[str, Collection[str]],
) -> Claims:
    """One owner for each claim. `known` is what plugins claimed when they last worked.

    Raises:
        ConfigInvalid: a route names a plugin that does not claim its type.
        ClaimConflict: two working plugins claim one type, and no route says which.
    """
    settling = _Settling(config, plugins, broken, claims_of_broken(config, broken, known))
    settling.run()
    if settling.problems:
        raise ConfigInvalid(str(config.file or "config.yaml"), settling.problems)
    if settling.conflicts:
        raise ClaimConflict("\n".join(settling.conflicts))
    return Claims(settling.handlers, settling.parked)


class _Settling:
    """The claims while they are being settled, one after the other."""

    def __init__(
        self,
        config: Config,
        plugins: Sequence[Plugin],
        broken: Mapping[str, PluginBroken],
        waiting: Mapping[str, Collection[str]],
    ) -> None:
        self.config, self.routes, self.broken, self.waiting = config, routes_of(config), broken, waiting
        self.plugins = {plugin.name: plugin for plugin in plugins}
        self.handlers: dict[str, Handler] = {}
        self.parked: dict[str, Parked] = {}
        self.problems: list[Problem] = []
        self.conflicts: list[str] = []

    def run(self) -> None:
        claimed = {claim for plugin in self.plugins.values() for claim in plugin.handlers}
        for claim in sorted(claimed.union(self.routes, *self.waiting.values())):
            if claim in self.routes:
                self._follow(claim, self.routes[claim])
            else:
                self._choose(claim)

    def _follow(self, claim: str, name: str) -> None:
        handlers = self.plugins[name].handlers if name in self.plugins else {}
        handler = next((handlers[wider] for wider in _matching(claim) if wider in handlers), None)
        if name in self.broken:
            self.parked[claim] = Parked(name, str(self.broken[name]))
        elif name in self.config.left_out:
            self.parked[claim] = Parked(name, f"plugin {name!r} is left out (--without)")
        elif handler is not None:
            self.handlers[claim] = handler.overridden(type=claim)
        else:
            self.problems.append(self.config.problem(f"routes.{claim}", self._wrong_route(claim, name)))

    def _choose(self, claim: str) -> None:
        working = [plugin for plugin in self.plugins.values() if claim in plugin.handlers]
        waiting = [name for name in self.waiting if claim in self.waiting[name]]
        if len(working) > 1:
            self.conflicts.append(_conflict(self.config, claim, working))
        elif waiting:
            self.parked[claim] = Parked(waiting[0], self._waits(claim, waiting[0], [*waiting[1:], *_names(working)]))
        else:
            self.handlers[claim] = working[0].handlers[claim]

    def _waits(self, claim: str, name: str, others: Sequence[str]) -> str:
        reason = str(self.broken[name])
        if others:
            claimants = ", ".join(repr(other) for other in others)
            reason += f" {claim!r} is also claimed by {claimants}: to decide, add routes: {{{claim}: {others[-1]}}}"
        return reason

    def _wrong_route(self, claim: str, name: str) -> str:
        if name in self.plugins:
            return f"plugin {name!r} does not claim {claim!r}{did_you_mean(claim, self.plugins[name].handlers)}"
        return f"plugin {name!r} is not enabled{did_you_mean(name, [*self.plugins, *self.broken])}"


def _conflict(config: Config, claim: str, rivals: Sequence[Plugin]) -> str:
    file = config.file.name if config.file else "config.yaml"
    width = max(len(plugin.name) for plugin in rivals)
    return "\n".join(
        (
            f"{file}: transaction type {claim!r} is claimed by {len(rivals)} plugins:",
            *(f"    {plugin.name:<{width}}  {plugin.found.source}" for plugin in rivals),
            "Choose one, at the top level of the file:",
            f"    routes: {{{claim}: {rivals[0].name}}}",
            "or disable the other:",
            f"    {switch_off(rivals[-1].name)}",
        )
    )


def _is_type(name: str) -> bool:
    """Whether a transaction could have this type: well formed, and no family."""
    return len(name) <= TYPE_LENGTH and not name.endswith(".*") and TYPE_PATTERN.fullmatch(name) is not None


def _names(plugins: Sequence[Plugin]) -> list[str]:
    return [plugin.name for plugin in plugins]


def _matching(claim: str) -> Iterator[str]:
    """The claims that a type or family falls under, the narrowest first."""
    yield claim
    parts = claim.removesuffix(".*").split(".")
    for length in range(len(parts) - 1, 0, -1):
        yield f"{'.'.join(parts[:length])}.*"
