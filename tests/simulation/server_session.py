"""A session as the server has it, and the errors of one that the server refuses or has ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pymongo.errors import OperationFailure

Document = dict[str, Any]


@dataclass(eq=False, slots=True)
class Session:
    """A multi-document session on the server: its snapshot, what it wrote, and what became of it."""

    snapshot: dict[str, dict[Any, Document]]
    number: int
    opened_at: datetime
    docs: dict[str, dict[Any, Document]] = field(default_factory=dict)
    wrote: dict[tuple[str, Any], Document | None] = field(default_factory=dict)
    state: str = "open"


def write_conflict() -> OperationFailure:
    """The error of a session that met another one's write."""
    labels = {"code": 112, "codeName": "WriteConflict", "errorLabels": ["TransientTransactionError"]}
    return OperationFailure("WriteConflict error: this operation conflicted with another operation", 112, labels)


def no_such_session() -> OperationFailure:
    """The error of a command in a session that the server has ended."""
    labels = {"code": 251, "codeName": "NoSuchTransaction", "errorLabels": ["TransientTransactionError"]}
    return OperationFailure("Transaction has been aborted", 251, labels)
