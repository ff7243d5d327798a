"""Types: what each takes, its limits and where they come from, and how it has been doing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..admin.measures import Depth
from ..admin.pause import Pause, pause_of
from ..handlers import Handler
from . import trend
from .overview import state_of
from .query import Arguments, choice
from .window import Window

_LIMITS = ("max_attempts", "backoff_seconds", "timeout_seconds", "after_dead", "transactional", "batch", "ordering_key")
_PLAIN = Handler(type="plain", target=lambda *_: None)


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of a type, and who set it."""

    name: str
    value: str
    source: str


def types(window: Window, arguments: Arguments, now: datetime) -> dict[str, Any]:  # noqa: ARG001
    """Every claimed type, and those in the queue that nobody claims."""
    paused = window.shared.look("paused", window.queue.paused)
    depths = window.shared.look("depths", window.queue.measures.depths)
    claims = window.table.types()
    unclaimed = sorted(type for type in depths.types if window.table.resolve(type) is None)
    return {
        "rows": [
            (type, handler, state_of(window, type, paused), depths.types.get(type, Depth()), pause_of(type, paused))
            for type, handler in sorted(claims.items())
        ],
        "unclaimed": [(type, window.table.parked(type), depths.types[type]) for type in unclaimed],
    }


def kind(window: Window, type: str, handler: Handler | None, arguments: Arguments) -> dict[str, Any]:
    """One type."""
    paused: Mapping[str, Pause] = window.queue.paused()
    depths = window.shared.look("depths", window.queue.measures.depths)
    return {
        "type": type,
        "handler": handler,
        "takes": window.describe(handler) if handler else None,
        "limits": _limits(window, handler) if handler else [],
        "pause": pause_of(type, paused),
        "paused_itself": type in paused,
        "parked": None if handler else window.table.parked(type) or "no enabled plugin claims it",
        "depth": depths.types.get(type, Depth()),
        "span": choice(arguments, "span", trend.SPANS, "1h"),
        "spans": trend.SPANS,
    }


def _limits(window: Window, handler: Handler) -> list[Limit]:
    section = window.config.plugins.get(handler.plugin)
    overridden = section.handlers.get(handler.type, {}) if section else {}
    return [Limit(name, _said(getattr(handler, name)), _source(handler, name, overridden)) for name in _LIMITS]


def _source(handler: Handler, name: str, overridden: Mapping[str, Any]) -> str:
    if name in overridden:
        return "config.yaml"
    return "default" if getattr(handler, name) == getattr(_PLAIN, name) else f"plugin {handler.plugin}"


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " to ".join(f"{one:g}" for one in value)
    if value is None:
        return "none"
    return "a function of data" if callable(value) else f"{value:g}" if isinstance(value, float) else str(value)
