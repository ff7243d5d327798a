"""Plugins for one test: those of the project under test, installed or not, and those that a test makes up itself."""

from __future__ import annotations

import itertools
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ..handlers import Handler
from ..hookspecs import GROUP, hookimpl
from ..plugins import Found

_numbers = itertools.count(1)

Provided = ModuleType | Iterable[Any]


def found_in(provided: Mapping[str, Provided]) -> dict[str, Found]:
    """Plugins as if they were installed: each a module, or handlers."""
    return {name: Found(name, _module(given).__name__, f"{name} (of a test)", "0") for name, given in provided.items()}


def project_plugins(start: Path) -> Mapping[str, Found]:
    """What the nearest pyproject.toml at or above `start` declares in the group `transqueue.plugins`."""
    for folder in (start, *start.parents):
        file = folder / "pyproject.toml"
        project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {}) if file.is_file() else {}
        if points := project.get("entry-points", {}).get(GROUP):
            name, version = project.get("name", ""), project.get("version", "0")
            return {plugin: Found(plugin, value, name, version) for plugin, value in points.items()}
    return {}


def _module(given: Provided) -> ModuleType:
    """The module that an entry point would name: the one given, or a new one that provides the handlers given."""
    if isinstance(given, ModuleType):
        sys.modules.setdefault(given.__name__, given)
        return given
    handlers = tuple(given)
    module = ModuleType(f"transqueue_of_a_test_{next(_numbers)}")

    @hookimpl
    def transqueue_handlers() -> Iterable[Handler]:
        return handlers

    vars(module)["transqueue_handlers"] = transqueue_handlers
    sys.modules[module.__name__] = module
    return module
