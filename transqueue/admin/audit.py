"""The audit: who did what to which thing, and when. Entries are added and never changed.

Facts are bounded, so that one entry cannot fill the database, and never hold a transaction's data.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

FACTS_KEPT = 20
TEXT_LENGTH = 500
LOCAL = "local"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that was done.

    Attributes:
        id: the cursor to page on from.
        by: `key:<id>` with an API key, `local` without one, `cli:<unix user>` from a command.
        action: dotted, past tense, as events are named: `type.paused`.
        target: the id, the type or the name that it was done to.
    """

    id: str
    at: datetime
    by: str
    action: str
    target: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Some entries, newest first, and the cursor to go on from; none: there are no more."""

    entries: Sequence[AuditEntry]
    next: str | None


class Audit(ABC):
    """Where entries are kept."""

    @abstractmethod
    def record(self, by: str, action: str, target: str, facts: Mapping[str, Any] | None = None) -> None:
        """Add an entry; facts beyond the bounds are cut."""

    @abstractmethod
    def page(self, *, after: str | None = None, limit: int = 50) -> AuditPage:
        """Entries, newest first, older than the cursor `after`."""


def bounded(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts as they are kept: some plain values, long texts cut, anything else as text."""
    return {str(name)[:TEXT_LENGTH]: _plain(value) for name, value in list(facts.items())[:FACTS_KEPT]}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | float | datetime):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    if isinstance(value, Mapping):
        return {str(name)[:TEXT_LENGTH]: str(one)[:TEXT_LENGTH] for name, one in list(value.items())[:FACTS_KEPT]}
    if isinstance(value, list | tuple | set | frozenset):
        return [str(one)[:TEXT_LENGTH] for one in list(value)[:FACTS_KEPT]]
    return str(value)[:TEXT_LENGTH]
