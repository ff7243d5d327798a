"""Find plugins by the metadata of installed distributions; nothing is imported.

pluggy would skip, in silence, the second of two distributions that share an entry-point name. Here both are told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from ..config import did_you_mean
from ..errors import PluginBroken
from ..hookspecs import GROUP
from .isolation import switch_off

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

PHASE = "find"


@dataclass(frozen=True, slots=True)
class Found:
    """An installed plugin as its distribution describes it.

    Attributes:
        name: the entry point's name: the plugin's name and its section in config.yaml.
        value: the module that the entry point names.
        rivals: what other distributions provide under the same name; then none of them can be used.
    """

    name: str
    value: str
    distribution: str
    version: str
    rivals: tuple[Found, ...] = ()

    @property
    def module(self) -> str:
        """The name of the module."""
        return self.value.partition(":")[0].partition("[")[0].strip()

    @property
    def attributes(self) -> list[str]:
        """What of the module the entry point names, an attribute of the one before; none: the module itself."""
        return [name for name in self.value.partition("[")[0].partition(":")[2].strip().split(".") if name]

    @property
    def source(self) -> str:
        """The distribution with its version."""
        return f"{self.distribution} {self.version}"


def installed() -> Mapping[str, Found]:
    """Every installed plugin by name, enabled or not.

    They are looked for when they are first asked for: that takes a while, and an author's tests often do without.
    """
    return _Installed()


def find(name: str, available: Mapping[str, Found]) -> Found:
    """The one installed plugin of this name.

    Raises:
        PluginBroken: there is none, or more than one.
    """
    found = available.get(name)
    if found is None:
        raise PluginBroken(
            name, PHASE, f"no plugin {name!r} is installed{did_you_mean(name, available)}", _install(name)
        )
    if found.rivals:
        sources = " and ".join(one.source for one in (found, *found.rivals))
        cure = f"Uninstall all but one of them, or switch it off: {switch_off(name)}"
        raise PluginBroken(name, PHASE, f"{sources} both provide a plugin of this name", cure)
    return found


class _Installed(Mapping[str, Found]):
    def __getitem__(self, name: str) -> Found:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    @cached_property
    def _found(self) -> Mapping[str, Found]:
        from importlib.metadata import entry_points  # noqa: PLC0415  (slow)

        plugins: dict[str, Found] = {}
        for found in _sorted(entry_points(group=GROUP)):
            first = plugins.setdefault(found.name, found)
            if first is not found:
                plugins[found.name] = replace(first, rivals=(*first.rivals, found))
        return plugins


def _sorted(points: Iterable[EntryPoint]) -> list[Found]:
    return sorted((_found(point) for point in points), key=lambda found: (found.name, found.distribution))


def _found(point: EntryPoint) -> Found:
    distribution = point.dist
    if distribution is None:
        return Found(point.name, point.value, "", "")
    return Found(point.name, point.value, distribution.name or "", distribution.version or "")


def _install(name: str) -> str:
    return f"Correct the name, install the distribution that provides it, or switch it off: {switch_off(name)}"
