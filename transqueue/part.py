"""The parts of TransQueue that run: one for each `up`, `api` and `work`, on whichever host, and its last reload."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Role = Literal["up", "api", "work"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """How a reload ended: put to use, or refused, and then what ran before goes on.

    Attributes:
        request: which word it answers; empty for a signal.
    """

    well: bool
    message: str
    request: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part as it was seen last; times are the server's."""

    id: str
    role: Role
    host: str
    pid: int
    version: str
    config_file: str = ""
    started_at: datetime | None = None
    seen_at: datetime | None = None
    reload: Reload | None = None
