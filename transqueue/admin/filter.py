"""Which transactions are meant: what a list shows, and what a verb for many is applied to."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime

from ..transaction import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """All of these at once; what is not given does not matter.

    Attributes:
        cause: of dead ones, as `cause.cause_of` words it.
        since, until: accepted at this moment or later, and before that one.
    """

    state: State | None = None
    type: str | None = None
    plugin: str | None = None
    submitter: str | None = None
    ordering_key: str | None = None
    cause: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether everything is meant."""
        return all(getattr(self, field.name) is None for field in fields(self))
