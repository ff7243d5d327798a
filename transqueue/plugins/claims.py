"""The handlers of one plugin: what it claims, from its `@handler` marks or from its own `transqueue_handlers`."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

from ..handlers import Handler, marks
from ..hookspecs import hookimpl
from .examples import refuse_wrong_examples
from .find import Found
from .fingerprint import fingerprint

PHASE = "handlers"


class MarkedHandlers:
    """The `transqueue_handlers` of a plugin that only marks its handlers."""

    def __init__(self, marked: Iterable[Handler]) -> None:
        self._marked = tuple(marked)

    @hookimpl
    def transqueue_handlers(self) -> Iterable[Handler]:
        return self._marked


def marked_handlers(module: ModuleType, found: Found, available: Mapping[str, Found]) -> tuple[Handler, ...]:
    """The marks of the objects that the plugin's own package defines, as far as it is imported."""
    others = [other.module for name, other in available.items() if name != found.name] if _is_packaged(module) else []
    package = _package(module, others)
    nested = [other for other in others if _is_below(other, package) and other != module.__name__]
    marked: dict[int, Handler] = {}
    for one in (module, *_imported_below(package, nested)):
        for value in list(getattr(one, "__dict__", {}).values()):
            if _is_own(value, package, nested):
                marked.update((id(handler), handler) for handler in _marks(value))
    return tuple(marked.values())


def declared(found: Found, available: Mapping[str, Found]) -> Collection[str]:
    """The types that a plugin's own package marks, as far as it is imported: what is known of one that broke later."""
    module = sys.modules.get(found.module)
    try:
        return {mark.type for mark in marked_handlers(module, found, available)} if module else ()
    except (Exception, SystemExit):  # what it marks may be what it breaks of
        return ()


def claimed(found: Found, returned: Iterable[Any], marked: Iterable[Handler]) -> Mapping[str, Handler]:
    """The plugin's handlers by type, with the plugin's name, distribution and version on them.

    Raises:
        TypeError: something returned is not a handler.
        ValueError: a type is claimed twice, a marked handler is left out, or a handler is not well formed.
    """
    handlers: dict[str, Handler] = {}
    for handler in _handlers(returned):
        if handler.type in handlers:
            raise ValueError(f"it claims {handler.type!r} twice")
        refuse_wrong_examples(handler.schema, repr(handler.type))
        handlers[handler.type] = handler.overridden(
            plugin=found.name,
            distribution=found.distribution,
            version=found.version,
            fingerprint=fingerprint(handler.schema),
        )
    _refuse_left_out(handlers, marked)
    return handlers


def _handlers(returned: Iterable[Any]) -> Iterator[Handler]:
    for one in returned:
        handlers = (one,) if isinstance(one, Handler) else _marks(one)
        if not handlers:
            raise TypeError(f"transqueue_handlers returned {one!r}, neither a Handler nor marked with @handler")
        yield from handlers


def _refuse_left_out(handlers: Mapping[str, Handler], marked: Iterable[Handler]) -> None:
    kept = {(handler.type, id(handler.target)) for handler in handlers.values()}
    left_out = sorted(mark.type for mark in marked if (mark.type, id(mark.target)) not in kept)
    if left_out:
        raise ValueError(f"transqueue_handlers leaves out what is marked with @handler: {', '.join(left_out)}")


def _marks(target: Any) -> tuple[Handler, ...]:
    found = marks(target)
    for mark in found:
        if mark.target is not target:  # another decorator copied the mark, and would not be run
            raise ValueError(f"@handler({mark.type!r}) must stand above all other decorators")
    return found


def _package(module: ModuleType, others: Iterable[str]) -> str:
    """The package that is the plugin's alone: its module's parent, unless another plugin or a namespace shares that."""
    parent = _parent(module)
    if not parent or getattr(sys.modules.get(parent), "__file__", None) is None:
        return module.__name__
    shared = any(_is_below(other, parent) for other in others)
    return module.__name__ if shared else parent


def _is_packaged(module: ModuleType) -> bool:
    """Whether it is, or is in, a package, of which others may have their part."""
    return bool(_parent(module))


def _parent(module: ModuleType) -> str:
    return (module.__spec__.parent or "") if module.__spec__ else ""


def _imported_below(package: str, nested: Iterable[str]) -> list[ModuleType]:
    names = [name for name in sorted(sys.modules) if _is_below(name, package)]
    return [sys.modules[name] for name in names if not any(_is_below(name, other) for other in nested)]


def _is_own(value: Any, package: str, nested: Iterable[str]) -> bool:
    try:
        defined_in = str(value.__module__)
    except Exception:  # an object may answer for attributes as it likes
        return False
    return _is_below(defined_in, package) and not any(_is_below(defined_in, other) for other in nested)


def _is_below(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")
