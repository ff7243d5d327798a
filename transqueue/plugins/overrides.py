"""The admin's word over a plugin's defaults: `plugins.<name>.handlers.<type>` in config.yaml replaces fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config import did_you_mean
from ..handlers import Handler
from .section import Mistake

OVERRIDABLE = ("max_attempts", "backoff_seconds", "timeout_seconds", "after_dead")


def overridden(
    plugin: str, handlers: Mapping[str, Handler], overrides: Mapping[str, Mapping[str, Any]]
) -> tuple[Mapping[str, Handler], list[Mistake]]:
    """Handlers by type with the admin's values, and what is wrong with those values."""
    changed, mistakes = dict(handlers), list[Mistake]()
    for type, fields in overrides.items():
        path = f"plugins.{plugin}.handlers.{type}"
        if type in handlers:
            changed[type], wrong = _with(handlers[type], path, fields)
            mistakes += wrong
        else:
            mistakes.append((path, f"plugin {plugin!r} does not claim {type!r}{did_you_mean(type, handlers)}"))
    return changed, mistakes


def _with(handler: Handler, path: str, fields: Mapping[str, Any]) -> tuple[Handler, list[Mistake]]:
    mistakes = list[Mistake]()
    for name, value in fields.items():
        if name not in OVERRIDABLE:
            mistakes.append((f"{path}.{name}", f"unknown key{did_you_mean(name, OVERRIDABLE)}"))
            continue
        try:
            handler = handler.overridden(**{name: value})
        except (TypeError, ValueError) as error:
            mistakes.append((f"{path}.{name}", str(error)))
    return handler, mistakes
