"""What a supervisor knows of a worker of its own, told now and then, for those who look on. Nothing depends on it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """One worker at one moment.

    Attributes:
        doing: `running` one transaction, a `group` of them at once, or `idle`.
        transaction: the id of the one that is running.
        seconds: for how long it had been running.
        memory_bytes: what the process had resident; 0 when that is not known.
        at: when it was told, by the server's clock; none before it is.
    """

    doing: str = "idle"
    transaction: str | None = None
    seconds: float | None = None
    memory_bytes: int = 0
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedWorker:
    """A worker that is no more, and what it ended of, in words."""

    id: str
    host: str
    pid: int
    slot: int
    started_at: datetime
    ended_at: datetime
    ending: str


def resident_bytes(pid: int | None) -> int:
    """The memory that a process has resident, from the kernel's own figures; 0 where they cannot be read."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessReport:
    """How each plugin is in one process, as that process tells while it lives.

    Attributes:
        role: `api` or `worker`.
        slot: tells apart the processes of one role on a host; the next process in the same place follows this one.
        plugins: what is to be told of each plugin, by its name: at least its `state`.
        at: when it was last told, by the server's clock; none before it is.
    """

    role: str
    host: str
    slot: int
    pid: int
    plugins: Mapping[str, Mapping[str, Any]]
    at: datetime | None = None
