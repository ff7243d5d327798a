"""The vocabulary of config.yaml as frozen values; every process gets them as they are, by pickling."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from ..errors import Problem
from .frozen import FrozenDict, freeze
from .positions import Positions
from .secrets import masked

# Up to the last "@", so that a password with an unescaped "@" or "/" in it is hidden whole too.
_PASSWORD = re.compile(r"(?<=://)([^:@]*):.*@", re.DOTALL)
_SECRET_OPTION = re.compile(r"(?i)((?:\w*password|authMechanismProperties)=)[^&]*")


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own; another name than `localhost` may be any."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class MongodbConfig:
    """Where the database is; an empty `uri` means a private mongod under the data folder."""

    uri: str = field(default="", repr=False)
    database: str = "transqueue"

    @property
    def uri_shown(self) -> str:
        """The URI for logs and screens: its password and other secrets masked."""
        return _SECRET_OPTION.sub(r"\1***", _PASSWORD.sub(r"\1:***@", self.uri))


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiConfig:
    """Where the door listens, how many processes answer there, and how many requests each works on at once."""

    host: str = "127.0.0.1"
    port: int = 5000
    processes: int = 1
    threads: int = 32
    max_queued: int = 10_000_000

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return is_loopback(self.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkersConfig:
    """How many worker processes, how long their lease is, how long they may take to stop, how big one may grow."""

    processes: int = 2
    lease_seconds: float = 30.0
    stop_seconds: float = 20.0
    memory_mib: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsConfig:
    """How logs look: `json`, `console`, or `auto` (console on a terminal), and from which level on they are written."""

    format: str = "auto"
    level: str = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionConfig:
    """How many days what has ended is kept, none for ever; how long keys hold; how long figures are kept."""

    done_days: float | None = 7.0
    rejected_days: float | None = 30.0
    cancelled_days: float | None = 30.0
    dead_days: float | None = None
    idempotency_days: float = 30.0
    measures_days: float = 14.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginConfig:
    """The admin's word on one plugin: `config` is the plugin's to check, `handlers` overrides fields by type."""

    enabled: bool = True
    config: Mapping[str, Any] = field(default_factory=FrozenDict, repr=False)  # may hold secrets
    handlers: Mapping[str, Mapping[str, Any]] = field(default_factory=FrozenDict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "config", freeze(self.config))
        object.__setattr__(self, "handlers", freeze(self.handlers))


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why a plugin may not be imported: during what a process did not survive it, and how that ended."""

    phase: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One checked config.yaml.

    Attributes:
        file: the file it came from, absolute; none when there is none.
        root: the folder of the file, where relative paths and `transaction_module` start from; absolute when read.
        data_dir: absolute when read.
        left_out: plugins that are switched off for this run, whatever the file says; what is routed to them waits.
        unusable: plugins that may not be imported at all, with why: another process did not survive them.
        secrets: what must not be shown, wherever it may turn up.
        positions: where each key stands in the file; no part of what makes two configurations equal.
    """

    file: Path | None = None
    root: Path = Path()
    mongodb: MongodbConfig = MongodbConfig()
    data_dir: Path = Path(".transqueue")
    api: ApiConfig = ApiConfig()
    workers: WorkersConfig = WorkersConfig()
    retention: RetentionConfig = RetentionConfig()
    logs: LogsConfig = LogsConfig()
    default_type: str = "deposit"
    plugins: Mapping[str, PluginConfig] = field(default_factory=FrozenDict)
    routes: Mapping[str, str] = field(default_factory=FrozenDict)
    transaction_module: str = ""
    left_out: tuple[str, ...] = ()
    unusable: Mapping[str, Unusable] = field(default_factory=FrozenDict)
    secrets: frozenset[str] = field(default=frozenset(), repr=False, compare=False)
    positions: Positions = field(default_factory=Positions, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "plugins", FrozenDict(self.plugins))
        object.__setattr__(self, "routes", freeze(self.routes))
        object.__setattr__(self, "unusable", freeze(self.unusable))

    def masked(self, text: str) -> str:
        """A text that may be shown: without this configuration's secrets."""
        return masked(text, self.secrets)

    def problem(self, path: Sequence[str | int] | str, message: str) -> Problem:
        """A mistake found later at a path into the file, such as `plugins.ledger.config.rate`.

        It is placed at that value or, when the file does not have it, at the nearest key above.
        """
        dotted = path if isinstance(path, str) else ".".join(str(part) for part in path)
        return self.positions.problem(dotted, message)

    def place(self, path: str) -> str:
        """Where a value stands, as `file:line:column`."""
        found = self.positions.problem(path, "")
        return f"{self.file.name if self.file else 'config.yaml'}:{found.line}:{found.column}"

    def survived(self, unusable: Mapping[str, Unusable]) -> Config:
        """The same with more plugins that may not be imported, because a process did not survive them."""
        return replace(self, unusable={**self.unusable, **unusable}) if unusable else self

    def without(self, names: Sequence[str]) -> Config:
        """The same with some plugins, or `transaction_module`, switched off."""
        off = {name: replace(plugin, enabled=False) for name, plugin in self.plugins.items() if name in names}
        return replace(self, plugins={**self.plugins, **off}, left_out=(*self.left_out, *names))
