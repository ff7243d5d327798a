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
    """One part as it was seen last; times are the server's.

    Attributes:
        asked: the request for a reload that was made last; empty without one.
    """

    id: str
    role: Role
    host: str
    pid: int
    version: str
    config_file: str = ""
    started_at: datetime | None = None
    seen_at: datetime | None = None
    reload: Reload | None = None
    asked: str = ""

    @property
    def is_reloading(self) -> bool:
        """It was asked to reload, and has not answered yet."""
        return self.asked not in ("", self.reload.request if self.reload else "")
