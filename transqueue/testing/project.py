"""The plugins of the project under test, installed or not."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from ..hookspecs import GROUP
from ..plugins import Found


def project_plugins(start: Path) -> Mapping[str, Found]:
    """What the nearest pyproject.toml at or above `start` declares in the group `transqueue.plugins`."""
    for folder in (start, *start.parents):
        file = folder / "pyproject.toml"
        project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {}) if file.is_file() else {}
        if points := project.get("entry-points", {}).get(GROUP):
            name, version = project.get("name", ""), project.get("version", "0")
            return {plugin: Found(plugin, value, name, version) for plugin, value in points.items()}
    return {}
