"""Stages of an aggregation, as far as the queue uses them. One that is not known here says so: add it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .expressions import value_of
from .matching import matches
from .values import MISSING, order

Document = dict[str, Any]


def staged(rows: list[Document], stage: Mapping[str, Any], variables: Mapping[str, Any]) -> list[Document]:
    """What one stage makes of the documents."""
    ((name, given),) = stage.items()
    if name == "$match":
        return [row for row in rows if matches(row, given, variables)]
    if name == "$group":
        return _grouped(rows, given, variables)
    if name == "$sort":
        for path, direction in reversed(list(given.items())):
            rows = sorted(rows, key=lambda row: order(value_of(f"${path}", row, variables)), reverse=direction < 0)
        return rows
    if name == "$limit":
        return rows[:given]
    if name == "$project":
        return [_projected(row, given, variables) for row in rows]
    raise NotImplementedError(f"the simulated store does not know {name}: add it to {__name__}")


def _projected(row: Document, given: Mapping[str, Any], variables: Mapping[str, Any]) -> Document:
    fields = {"_id": 1, **given}
    found = {
        name: row.get(name, MISSING) if wanted == 1 else value_of(wanted, row, variables)
        for name, wanted in fields.items()
        if wanted != 0
    }
    return {name: value for name, value in found.items() if value is not MISSING}


def _grouped(rows: list[Document], given: Mapping[str, Any], variables: Mapping[str, Any]) -> list[Document]:
    groups: dict[Any, list[Document]] = {}
    ids: dict[Any, Any] = {}
    for row in rows:
        id = value_of(given["_id"], row, variables)
        id = None if id is MISSING else id
        place = repr(order(id))
        ids.setdefault(place, id)
        groups.setdefault(place, []).append(row)
    made = []
    for place, members in groups.items():
        document: Document = {"_id": ids[place]}
        for name, accumulator in given.items():
            if name != "_id":
                ((how, expression),) = accumulator.items()
                values = [value_of(expression, member, variables) for member in members]
                document[name] = _ACCUMULATORS[how]([value for value in values if value is not MISSING])
        made.append(document)
    return made


_ACCUMULATORS = {
    "$sum": lambda values: sum(value for value in values if isinstance(value, int | float)),
    "$min": lambda values: min((one for one in values if one is not None), key=order, default=None),
    "$max": lambda values: max((one for one in values if one is not None), key=order, default=None),
    "$first": lambda values: values[0] if values else None,
    "$last": lambda values: values[-1] if values else None,
    "$push": list,
    "$addToSet": lambda values: list({repr(order(value)): value for value in values}.values()),
}
