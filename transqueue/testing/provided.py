"""Plugins that a test makes up itself."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

from ..handlers import Handler
from ..hookspecs import hookimpl
from ..plugins import Found

_numbers = itertools.count(1)

Provided = ModuleType | Iterable[Any]


def found_in(provided: Mapping[str, Provided]) -> dict[str, Found]:
    """Plugins as if they were installed: each a module, or handlers."""
    return {name: Found(name, _module(given).__name__, f"{name} (of a test)", "0") for name, given in provided.items()}


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
