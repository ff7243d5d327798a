"""Query filters, as far as the queue uses them. An operator that is not known here says so: add it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from operator import ge, gt, le, lt
from typing import Any

from .expressions import is_true, value_of
from .values import MISSING, at, order, path_of, rank

_ALIKE = frozenset({int, float, str, datetime})  # kinds that Python compares as MongoDB does


def matches(document: dict[str, Any], query: Mapping[str, Any], variables: Mapping[str, Any]) -> bool:
    """Whether a document matches the query."""
    for name, wanted in query.items():
        if name[0] == "$":
            if not _logic(name, wanted, document, variables):
                return False
            continue
        value = at(document, path_of(name)) if "." in name else document.get(name, MISSING)
        if type(wanted) is dict and next(iter(wanted), "")[:1] == "$":
            for operator, operand in wanted.items():
                if not _test(operator)(value, operand):
                    return False
        elif not _equals(value, wanted):
            return False
    return True


def candidates(documents: dict[Any, dict[str, Any]], query: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """Those that a query can find, if it says which ids it looks for; else all."""
    wanted = query.get("_id")
    if isinstance(wanted, str):
        return [documents[wanted]] if wanted in documents else []
    if type(wanted) is dict and "$in" in wanted and len(wanted) == 1:
        return [documents[one] for one in sorted(set(wanted["$in"])) if one in documents]
    return list(documents.values())


def equalities(query: Mapping[str, Any]) -> dict[str, Any]:
    """What an upsert takes over from its query."""
    return {
        name: value
        for name, value in query.items()
        if not name.startswith("$")
        and not (isinstance(value, Mapping) and any(inner.startswith("$") for inner in value))
    }


def _logic(name: str, wanted: Any, document: dict[str, Any], variables: Mapping[str, Any]) -> bool:
    if name == "$expr":
        return is_true(value_of(wanted, document, variables))
    if name == "$and":
        return all(matches(document, one, variables) for one in wanted)
    if name in ("$or", "$nor"):
        return any(matches(document, one, variables) for one in wanted) is (name == "$or")
    raise NotImplementedError(f"the simulated store does not know {name}: add it to {__name__}")


def _test(operator: str) -> Callable[[Any, Any], bool]:
    if operator not in _TESTS:
        raise NotImplementedError(f"the simulated store does not know {operator}: add it to {__name__}")
    return _TESTS[operator]


def _equals(value: Any, wanted: Any) -> bool:
    if type(value) is list:
        return value == wanted or wanted in value
    if wanted is None:
        return value is None or value is MISSING
    return bool(value == wanted) and (type(value) is type(wanted) or rank(value) == rank(wanted))


def _in(value: Any, among: Any) -> bool:
    if type(value) is list:
        return any(item in among for item in value)
    return (None if value is MISSING else value) in among


def _compared(holds: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def test(value: Any, operand: Any) -> bool:
        kind = type(value)
        if kind is type(operand) and kind in _ALIKE:
            return holds(value, operand)
        return rank(value) == rank(operand) and holds(order(value), order(operand))

    return test


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": _equals,
    "$ne": lambda value, operand: not _equals(value, operand),
    "$in": _in,
    "$nin": lambda value, operand: not _in(value, operand),
    "$gt": _compared(gt),
    "$gte": _compared(ge),
    "$lt": _compared(lt),
    "$lte": _compared(le),
    "$exists": lambda value, operand: (value is not MISSING) is bool(operand),
}
