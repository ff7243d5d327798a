"""The commented file that `transqueue init` writes: every key with its default."""

from __future__ import annotations

from importlib import resources

DEFAULT_CONFIG: str = resources.files(__package__).joinpath("default.yaml").read_text(encoding="utf-8")
