"""Updates by operators or pipelines, as far as the queue uses them. One that is not known here says so: add it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .expressions import value_of
from .values import MISSING, at, kept, order, path_of, stored, with_value

Document = dict[str, Any]


def updated(document: Document, update: Any, variables: Mapping[str, Any], *, inserting: bool) -> Document:
    """A copy of the document after an update, a replacement or a pipeline."""
    if isinstance(update, list):
        return _piped(document, update, variables)
    if not any(name.startswith("$") for name in update):
        return kept({"_id": document["_id"], **update} if "_id" in document else dict(update))
    after = dict(document)
    for name, fields in update.items():
        if name not in _OPERATORS and name != "$setOnInsert":
            raise NotImplementedError(f"the simulated store does not know {name}: add it to {__name__}")
        if name == "$setOnInsert" and not inserting:
            continue
        change = _OPERATORS["$set" if name == "$setOnInsert" else name]
        for path, operand in fields.items():
            parts = path_of(path)
            with_value(after, parts, change(at(after, parts), stored(operand)))
    return after


def _piped(document: Document, stages: list[Any], variables: Mapping[str, Any]) -> Document:
    for stage in stages:
        ((name, fields),) = stage.items()
        if name == "$unset":
            document = {key: value for key, value in document.items() if key not in ([fields], fields)}
        elif name == "$replaceWith":
            document = kept(value_of(fields, document, variables))
        elif name in ("$set", "$addFields"):
            found = {path: stored(value_of(item, document, variables)) for path, item in fields.items()}
            document = dict(document)
            for path, value in found.items():
                with_value(document, path_of(path), value)
        else:
            raise NotImplementedError(f"the simulated store does not know {name}: add it to {__name__}")
    return document


def _push(present: Any, operand: Any) -> list[Any]:
    before = [] if present is MISSING else present
    if not isinstance(operand, dict) or "$each" not in operand:
        return [*before, operand]
    after = [*before, *operand["$each"]]
    if "$slice" in operand:
        after = after[operand["$slice"] :] if operand["$slice"] < 0 else after[: operand["$slice"]]
    return after


_OPERATORS = {
    "$set": lambda present, operand: operand,
    "$unset": lambda present, operand: MISSING,
    "$inc": lambda present, operand: operand if present is MISSING else present + operand,
    "$push": _push,
    "$min": lambda present, operand: operand if present is MISSING or order(operand) < order(present) else present,
    "$max": lambda present, operand: operand if present is MISSING or order(operand) > order(present) else present,
    "$pull": lambda present, operand: present if present is MISSING else [one for one in present if one != operand],
    "$addToSet": lambda present, operand: (
        [operand] if present is MISSING else present if operand in present else [*present, operand]
    ),
}
