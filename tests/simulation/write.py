"""What was written at once, and who has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .server_session import Document


@dataclass(slots=True)
class Write:
    """Documents as they became, or None where deleted. A majority has them from `at` on."""

    at: float
    documents: Sequence[tuple[str, Any, Document | None]]

    def reach(self, collections: dict[str, dict[Any, Document]]) -> None:
        """Let somebody have it."""
        for name, id, after in self.documents:
            put(collections.setdefault(name, {}), id, after)


def put(documents: dict[Any, Document], id: Any, after: Document | None) -> None:
    """Store a document, or delete it."""
    if after is None:
        documents.pop(id, None)
    else:
        documents[id] = after
