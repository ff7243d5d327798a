"""Plugins, the audit, and the system beneath: how each is, with nothing secret in it."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any

from .. import __version__
from . import query
from .query import Arguments
from .window import Window

MASKED = "•••"

_SECRET = re.compile(r"secret|passw|token|key|credential|private|dsn", re.IGNORECASE)
_IN_URI = re.compile(r"(://)[^/@\s]*@")


def plugins(window: Window, arguments: Arguments, now: datetime) -> dict[str, Any]:  # noqa: ARG001
    """Every plugin, here and in each process that lives."""
    reports = window.shared.look("reports", window.queue.catalog.reports)
    settings = {name: masked(dict(section.config)) for name, section in window.config.plugins.items()}
    places: dict[str, dict[str, list[Any]]] = {}
    for report in reports:
        for plugin, told in report.plugins.items():
            places.setdefault(plugin, {}).setdefault(report.role, []).append((report, told))
    return {"states": window.table.states(), "settings": settings, "places": places}


def audit(window: Window, arguments: Arguments, now: datetime) -> dict[str, Any]:  # noqa: ARG001
    """Who did what."""
    after = query.cursor(arguments)
    page = window.queue.audit.page(after=after, limit=query.limit(arguments))
    return {"entries": page.entries, "next": page.next, "after": after}


def system(window: Window, arguments: Arguments, now: datetime) -> dict[str, Any]:  # noqa: ARG001
    """Versions, the database, and the configuration in force."""
    return {
        "version": __version__,
        "python": sys.version.split()[0],
        "machine": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "host": platform.node(),
        "parts": window.queue.parts.here(),
        "condition": window.shared.look("condition", window.queue.condition),
        "settings": masked(_plain(window.config)),
        "file": str(window.config.file or "none"),
    }


def masked(value: Any, name: str = "") -> Any:
    """A setting as it may be shown: what is called like a secret is not, nor is a password within an address."""
    if isinstance(value, Mapping):
        return {str(key): masked(one, str(key)) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [masked(one, name) for one in value]
    if _SECRET.search(name) and value not in (None, "", False, True):
        return MASKED
    return _IN_URI.sub(rf"\1{MASKED}@", value) if isinstance(value, str) else value


def _plain(config: Any) -> dict[str, Any]:
    names = [field.name for field in fields(config) if field.compare and field.name not in ("file", "root", "unusable")]
    return {name: _value(getattr(config, name)) for name in names}


def _value(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _value(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _value(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_value(one) for one in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
