"""What a search gives back of the documents it finds: which, in which order, and which of their fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .values import MISSING, at, copied, order, path_of, picked

Document = dict[str, Any]


@dataclass(slots=True)
class Shape:
    """Which of the found documents are wanted, and which of their fields."""

    projection: Mapping[str, Any] | None = None
    sort: Sequence[tuple[str, int]] = ()
    skip: int = 0
    limit: int = 0

    def of(self, found: list[Document]) -> list[Document]:
        """The documents wanted, as copies."""
        if not found:
            return []
        rows = in_order(found, self.sort)[self.skip :]
        rows = rows[: self.limit] if self.limit else rows
        return [projected(row, self.projection) for row in rows]


def in_order(documents: list[Document], sort: Sequence[tuple[str, int]]) -> list[Document]:
    """Sorted by the last key first, as stable sorts want it."""
    if len(documents) < 2:
        return documents
    for name, direction in reversed(sort):
        path = path_of(name)
        documents = sorted(documents, key=lambda one: order(at(one, path)), reverse=direction < 0)
    return documents


def projected(document: Document, projection: Mapping[str, Any] | None) -> Document:
    """A copy with the fields that a projection keeps."""
    if not projection:
        return copied(document)
    if all(value == 0 for value in projection.values()):
        return {name: copied(value) for name, value in document.items() if name not in projection}
    row: Document = {}
    for name, wanted in {"_id": 1, **projection}.items():
        first, *rest = path_of(name)
        value = document.get(first, MISSING)
        if rest:
            value = picked(value, rest)
        if wanted == 0 or value is MISSING:
            continue
        if isinstance(wanted, Mapping):
            value = value[wanted["$slice"] :] if wanted["$slice"] < 0 else value[: wanted["$slice"]]
        row[first] = {**row[first], **copied(value)} if type(row.get(first)) is dict else copied(value)
    return row
