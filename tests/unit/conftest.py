"""Throw-away distributions of plugins, as pip would leave them, on the path of one test."""

from __future__ import annotations

import sys
import textwrap
import uuid
from pathlib import Path

import pytest

from transqueue.config import Config
from transqueue.events import Events
from transqueue.plugins import load_plugins


class Site:
    """A folder of installed distributions."""

    def __init__(self, folder: Path):
        self.folder = folder

    def install(self, name, code="", *, distribution="", version="1.0", files=None):
        """One plugin in a package of its own; the package's name."""
        package = f"package_{uuid.uuid4().hex[:12]}"
        for file, text in {"__init__.py": code, **(files or {})}.items():
            path = self.folder / package / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        self.describe(name, package, distribution or f"transqueue-{name}", version)
        return package

    def describe(self, name, value, distribution, version):
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        points = info / "entry_points.txt"
        before = points.read_text() if points.exists() else "[transqueue.plugins]\n"
        points.write_text(f"{before}{name} = {value}\n")


@pytest.fixture
def site(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    monkeypatch.delenv("TRANSQUEUE_STRICT", raising=False)
    before = set(sys.modules)
    yield Site(folder)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def heard():
    return []


@pytest.fixture
def load(heard):
    """`load(plugins, ...)`: the table of a configuration with these plugins."""

    def load(plugins, *, known_types=None, **more):
        return load_plugins(Config(plugins=plugins, **more), events=Events(heard.append), known_types=known_types)

    return load
