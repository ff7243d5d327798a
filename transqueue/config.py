"""config.yaml: read once, judged whole, then frozen.

The dataclasses are the whole vocabulary; every process gets them as they are, by pickling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class MongodbConfig:
    """Where the database is; an empty `uri` means a private mongod under the data folder."""

    uri: str = ""
    database: str = "transqueue"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiConfig:
    """Where the door listens, and how many requests it works on at once."""

    host: str = "127.0.0.1"
    port: int = 5000
    threads: int = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkersConfig:
    """How many worker processes, how long their lease is, and how long they may take to stop."""

    processes: int = 2
    lease_seconds: float = 30.0
    stop_seconds: float = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginConfig:
    """The admin's word on one plugin: `config` is the plugin's to check, `handlers` overrides fields by type."""

    enabled: bool = True
    config: Mapping[str, Any] = field(default_factory=dict)
    handlers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One checked config.yaml. `file` is none when there is none; `data_dir` is absolute."""

    file: Path | None = None
    mongodb: MongodbConfig = MongodbConfig()
    data_dir: Path = Path(".transqueue")
    api: ApiConfig = ApiConfig()
    workers: WorkersConfig = WorkersConfig()
    default_type: str = "deposit"
    plugins: Mapping[str, PluginConfig] = field(default_factory=dict)
    routes: Mapping[str, str] = field(default_factory=dict)
    transaction_module: str = ""
